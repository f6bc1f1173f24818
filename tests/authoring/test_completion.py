"""Completion: the script is made from the parser, and a real bash completes with it."""

import shutil
import subprocess

import pytest

from pgx_compiler.authoring.completion import SHELLS, commands
from pgx_compiler.cli import main, parser
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.words import words

bash = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")


@pytest.fixture
def script(capsys):
    def written(shell):
        assert main(["completion", shell]) == 0
        return capsys.readouterr().out

    return written


@pytest.fixture
def completed(script, tmp_path):
    """What bash offers for a line; the last word is being written."""
    path = tmp_path / "pgx.bash"
    path.write_text(script("bash"))
    (tmp_path / "audit.yaml").write_text("")

    def ask(line):
        typed = line.split(" ")
        array = " ".join(f"'{word}'" for word in typed)
        asked = f"source {path}; COMP_WORDS=({array}); COMP_CWORD={len(typed) - 1}; _pgx; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        ran = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, check=True, cwd=tmp_path)
        assert ran.stderr == ""
        return set(ran.stdout.split())

    return ask


@bash
def test_bash_accepts_the_script(script, tmp_path):
    path = tmp_path / "pgx.bash"
    path.write_text(script("bash"))
    subprocess.run(["bash", "-n", str(path)], check=True)
    loaded = subprocess.run(
        ["bash", "-c", f"source {path}; complete -p pgx"], capture_output=True, text=True, check=True
    )
    assert "-F _pgx pgx" in loaded.stdout


@bash
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("pgx che", {"check"}),
        ("pgx run --eng", {"--engine"}),
        ("pgx run --engine ", {"processes", "inline", "ray"}),
        ("pgx methods --stage grad", {"gradient"}),
        ("pgx completion ", set(SHELLS)),
        ("pgx check aud", {"audit.yaml"}),
        ("pgx init -o aud", {"audit.yaml"}),
        ("pgx explain integrated", {"integrated_gradients"}),
        ("pgx run -j ", set()),
        ("pgx nonsense ", set()),
    ],
)
def test_bash_completes(line, offered, completed):
    assert completed(line) == offered


@bash
def test_bash_offers_every_word(completed):
    assert completed("pgx ") == {*words(), "--help", "--version"}


@pytest.mark.parametrize("shell", SHELLS)
def test_every_word_and_long_option_stands_in_the_script(shell, script):
    text = script(shell)
    for command in commands(parser(), {}):
        assert command.name in text
        for option in command.options:
            for name in option.options:
                assert (name if shell != "fish" else name.lstrip("-")) in text


def test_the_parser_is_the_only_source():
    """A word that is added appears with its options, choices and files."""
    found = {command.name: command for command in commands(parser(), {"explain": {"what": sorted(catalogue())}})}
    assert set(found) == set(words())
    (what,) = found["explain"].places
    assert "kernel_shap" in what.choices
    assert [place.takes for place in found["check"].places] == ["file"]
    assert found["check"].places[0].many
    flags = {option.options[-1]: option.takes for option in found["init"].options}
    assert flags["--force"] == ""
    assert flags["--output"] == "file"
    assert flags["--format"] == "choice"
