"""What `make audit`, `make test` and `pip install .` rest on: the locks, the set-up script, the wheel."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
RUN = [*PROJECT["build-system"]["requires"], *PROJECT["project"]["dependencies"]]
DEV = [*RUN, *PROJECT["dependency-groups"]["dev"]]
PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;]+) \\$")
HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$")


def pins(lock: str) -> dict[str, str]:
    lines = (ROOT / lock).read_text().splitlines()
    return {canonicalize_name(match[1]): match[2] for match in map(PIN.match, lines) if match}


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_a_lock_holds_names_versions_and_hashes_and_nothing_else(lock: str) -> None:
    lines = [line for line in (ROOT / lock).read_text().splitlines() if line and not line.startswith("#")]
    assert [line for line in lines if not PIN.match(line) and not HASH.match(line)] == []
    follows = list(zip(lines, [*lines[1:], ""], strict=True))
    assert [line for line, following in follows if PIN.match(line) and not HASH.match(following)] == []


@pytest.mark.parametrize(("lock", "wanted"), [("requirements.lock", RUN), ("requirements-dev.lock", DEV)])
def test_a_lock_pins_what_the_project_asks_for(lock: str, wanted: list[str]) -> None:
    pinned = pins(lock)
    for requirement in map(Requirement, wanted):
        version = pinned.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} is not in {lock}: run `make lock`"
        assert requirement.specifier.contains(version), f"{requirement} against {version}: run `make lock`"


def test_one_environment_serves_both_commands() -> None:
    assert pins("requirements.lock").items() <= pins("requirements-dev.lock").items()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose environment is a stand-in that writes down what it is asked to do."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    shutil.copytree(ROOT / ".ci", tmp_path / ".ci")
    for name in ("Makefile", "pyproject.toml", "requirements.lock", "requirements-dev.lock"):
        shutil.copy(ROOT / name, tmp_path)
    # System packages have their own script; installing them is not what is tried here.
    (tmp_path / "scripts" / "system-packages").write_text("#!/bin/sh\n")
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "activate").write_text(f"VIRTUAL_ENV={tmp_path.resolve() / '.venv'}\n")
    for name in ("python", "pgx", "ruff", "mypy", "lint-imports"):
        (programs / name).write_text(f'#!/bin/sh\necho {name} "$@" >>"{tmp_path}/asked"\n')
        (programs / name).chmod(0o755)
    return tmp_path


def asked(checkout: Path, *command: str) -> list[str]:
    """What the environment was asked to do by a command that ends well."""
    (checkout / "asked").unlink(missing_ok=True)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "PYTEST"))}
    ran = subprocess.run(command, cwd=checkout, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=clean)
    assert ran.returncode == 0, ran.stderr
    lines = (checkout / "asked").read_text().splitlines()
    return [line for line in lines if line != "python -c "]


def installs(lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith("python -m pip install")]


def test_auditing_sets_up_once_and_then_reuses_it(checkout: Path) -> None:
    first = asked(checkout, "make", "audit")
    assert len(installs(first)) == 2
    assert "--require-hashes" in first[0]
    assert first[0].endswith("--requirement requirements.lock")
    assert first[-1] == "pgx run specs/digits.yaml"
    assert asked(checkout, "make", "audit") == ["pgx run specs/digits.yaml"]


def test_testing_adds_to_the_environment_and_auditing_reuses_that(checkout: Path) -> None:
    asked(checkout, "make", "audit")
    tested = asked(checkout, "make", "test")
    assert installs(tested)[0].endswith("--requirement requirements-dev.lock")
    assert [line.split()[0] for line in tested[2:]] == ["ruff", "ruff", "mypy", "lint-imports", "python"]
    assert installs(asked(checkout, "make", "audit")) == []


def test_a_changed_lock_is_installed_again(checkout: Path) -> None:
    asked(checkout, "make", "audit")
    with (checkout / "requirements.lock").open("a") as lock:
        lock.write("# changed\n")
    assert len(installs(asked(checkout, "make", "audit"))) == 2


def test_an_interrupted_installation_is_not_taken_for_a_whole_one(checkout: Path) -> None:
    python = checkout / ".venv" / "bin" / "python"
    whole = python.read_text()
    python.write_text(whole + 'case "$*" in *--require-hashes*) exit 1 ;; esac\n')
    assert subprocess.run(["make", "setup"], cwd=checkout, capture_output=True).returncode != 0
    python.write_text(whole)
    assert len(installs(asked(checkout, "make", "setup"))) == 2


@pytest.mark.parametrize("failing", ["ruff", "mypy", "lint-imports", "python"])
def test_continuous_integration_fails_when_anything_fails(checkout: Path, failing: str) -> None:
    assert asked(checkout, ".ci/run")[-1].startswith("python -m pytest ")
    (checkout / ".venv" / "bin" / failing).write_text('#!/bin/sh\n[ "$1" = -c ]\n')
    assert subprocess.run([".ci/run"], cwd=checkout, capture_output=True, stdin=subprocess.DEVNULL).returncode != 0


def test_without_a_python_one_sentence_says_what_to_install(checkout: Path) -> None:
    shutil.rmtree(checkout / ".venv")
    ran = subprocess.run(
        ["make", "setup", "PYTHON=python3.0"], cwd=checkout, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert ran.returncode != 0
    assert "Python 3.11 or newer is needed; install it (Debian: apt-get install python3 python3-venv)" in ran.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built and unpacked as an installation lays it out."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], cwd=ROOT, check=True)
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "site")
    return folder / "site"


def test_the_wheel_holds_all_code_and_templates(installed: Path) -> None:
    def files(root: Path) -> set[str]:
        return {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file() and "__pycache__" not in p.parts}

    for package in ("pgx_compiler", "runtimes"):
        assert {f for f in files(ROOT / package) if f.endswith(".py")} <= files(installed / package)
    templates = files(ROOT / "templates")
    assert "factsheet/page.html.j2" in templates
    assert files(installed / "pgx_compiler" / "templates") == templates
    assert {path.name for path in installed.iterdir() if "." not in path.name} == {"pgx_compiler", "runtimes"}


def test_the_installed_command_works_away_from_the_checkout(installed: Path, tmp_path: Path) -> None:
    """`pgx methods` walks the installed catalogue; the templates are those of the installation."""
    program = (
        "import sys; from pgx_compiler.report.templates import folder; print(folder(), file=sys.stderr);"
        "from pgx_compiler.cli import main; sys.exit(main(['methods']))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert Path(ran.stderr.splitlines()[0]) == installed / "pgx_compiler" / "templates" / "factsheet"
    assert "integrated_gradients" in ran.stdout
    (entry,) = installed.glob("*.dist-info/entry_points.txt")
    assert "pgx = pgx_compiler.cli:main" in entry.read_text()
