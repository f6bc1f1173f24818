"""The import law, and that checking an audit costs no framework."""

import pkgutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import pgx_compiler
import runtimes

ROOT = Path(__file__).parents[2]
LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")
HEAVY = ("tensorflow", "keras", "onnxruntime", "shap", "hyperopt", "weasyprint", "sklearn", "scipy.stats", "tf_explain")


def contracts() -> list[dict[str, object]]:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    assert config["root_packages"] == ["pgx_compiler", "runtimes"]
    return list(config["contracts"])


def layers() -> list[list[str]]:
    (law,) = [contract for contract in contracts() if contract["type"] == "layers"]
    assert isinstance(law["layers"], list)
    return [[name.strip() for name in layer.split("|")] for layer in law["layers"]]


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LINT_IMPORTS, "--no-cache"], cwd=folder, capture_output=True, text=True, env={"PYTHONPATH": str(folder)}
    )


def modules_loaded_by(code: str) -> set[str]:
    """Names in ``sys.modules`` after the code ran in a fresh Python."""
    # A command may end by SystemExit; what it had loaded by then is what counts.
    program = f"import sys\ntry:\n    {code}\nexcept SystemExit:\n    pass\nsys.stderr.write('\\n'.join(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]
    return set(ran.stderr.splitlines())


def test_arrows_point_down() -> None:
    found = lint_imports(ROOT)
    assert found.returncode == 0, found.stdout


def test_every_package_has_its_place_in_the_law() -> None:
    placed = {name for layer in layers() for name in layer} | {"pgx_compiler.__main__"}  # which calls cli alone
    there = {f"pgx_compiler.{entry.name}" for entry in pkgutil.iter_modules(pgx_compiler.__path__)}
    there |= {f"runtimes.{entry.name}" for entry in pkgutil.iter_modules(runtimes.__path__)}
    assert there - placed == set(), "a package outside the layers is a package without a law"


def test_the_page_on_architecture_shows_this_order() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    shown = page.split("## The import law")[1].split("```")[1].strip().splitlines()
    order = [" | ".join(name.partition(".")[2] for name in layer) for layer in layers()]
    assert [line for line in shown if not line.startswith("─")] == order


def test_the_law_has_no_exceptions() -> None:
    assert not [contract["name"] for contract in contracts() if "ignore_imports" in contract]


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("runtimes.target", "pgx_compiler.diagnostics"),
        ("pgx_compiler.methods.anything", "pgx_compiler.passes"),
        ("pgx_compiler.report", "pgx_compiler.execute"),
        ("pgx_compiler.passes", "runtimes.frameworks"),
        ("pgx_compiler.execute", "tensorflow"),
    ],
)
def test_an_arrow_that_points_up_is_found(tmp_path: Path, importer: str, imported: str) -> None:
    """The same law over a house of empty rooms with one wrong door."""
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    for name in [name for layer in layers() for name in layer]:
        folder = tmp_path / name.replace(".", "/")
        folder.mkdir(parents=True)
        for place in (folder.parent, folder):
            (place / "__init__.py").touch()
    assert lint_imports(tmp_path).returncode == 0

    folder = tmp_path / importer.replace(".", "/")
    folder.mkdir(exist_ok=True)
    (folder / "__init__.py").write_text(f"import {imported}\n")
    found = lint_imports(tmp_path)
    assert found.returncode == 1
    assert f"{importer} -> {imported}" in found.stdout or f"import {imported}" in found.stdout


def test_the_whole_compiler_imports_no_framework() -> None:
    """Every module but those that run: reading a spec, planning it and listing methods cost nothing heavy."""
    loaded = modules_loaded_by(
        "import pgx_compiler, pgx_compiler.analysis, pgx_compiler.methods.catalogue as c; dict(c.catalogue())"
    )
    assert "pgx_compiler.methods.perturbation.kernel_shap" in loaded
    assert sorted(loaded.intersection(HEAVY)) == []


@pytest.mark.parametrize("word", ["check", "compile"])
@pytest.mark.parametrize("spec", ["digits", "german-credit", "german-credit-trees"])
def test_check_and_compile_import_no_framework(word: str, spec: str) -> None:
    loaded = modules_loaded_by(f"from pgx_compiler.cli import main; assert main([{word!r}, 'specs/{spec}.yaml']) == 0")
    assert "pgx_compiler.analysis" in loaded
    assert sorted(loaded.intersection(HEAVY)) == []


LATER = (
    "numpy.ma",
    "networkx",
    "jinja2",
    "pgx_compiler.driver",
    "pgx_compiler.execute",
    "pgx_compiler.report",
    "pgx_compiler.passes",
)
"""What only later stages need, and what checking would pay for at every start."""


def test_the_command_starts_with_next_to_nothing() -> None:
    """What every word pays for: no numpy, no pydantic, nothing of the compiler but the words themselves."""
    loaded = modules_loaded_by("import pgx_compiler.cli as cli; cli.parser()")
    assert (
        sorted(loaded.intersection({*HEAVY, *LATER, "numpy", "pydantic", "yaml", "onnx", "importlib.metadata"})) == []
    )


@pytest.mark.parametrize("spec", ["digits", "german-credit", "german-credit-trees"])
def test_check_loads_no_later_stage(spec: str) -> None:
    loaded = modules_loaded_by(f"from pgx_compiler.cli import main; assert main(['check', 'specs/{spec}.yaml']) == 0")
    assert "pgx_compiler.analysis.checked" in loaded
    assert sorted(loaded.intersection({*HEAVY, *LATER})) == []


def test_check_imports_the_methods_that_a_spec_names_and_no_others() -> None:
    loaded = modules_loaded_by("from pgx_compiler.cli import main; assert main(['check', 'specs/digits.yaml']) == 0")
    spec = (ROOT / "specs" / "digits.yaml").read_text("utf-8")
    of_methods = {name.rpartition(".")[2] for name in loaded if name.startswith("pgx_compiler.methods.p")}
    precaution = {entry.name for entry in pkgutil.iter_modules([str(ROOT / "pgx_compiler" / "methods" / "precaution")])}
    named = {name for name in precaution if f"use: {name}" in spec}
    assert {name for name in of_methods & precaution if not name.startswith("_")} == named


def test_every_module_can_be_imported_without_a_framework() -> None:
    """Heavy libraries are imported inside functions, even by the files that need them."""
    names = [
        entry.name
        for package in (pgx_compiler, runtimes)
        for entry in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        if not entry.name.endswith("__main__")
    ]
    loaded = modules_loaded_by(f"import importlib; [importlib.import_module(name) for name in {names!r}]")
    assert "runtimes.frameworks.onnx_runtime" in loaded
    assert sorted(loaded.intersection(HEAVY)) == []
