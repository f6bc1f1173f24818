"""What cannot be planned or agreed to is a mistake with a code and a way out."""

from pathlib import Path

import pytest

from pgx_compiler.cli import main

SPEC = str(Path(__file__).parents[2] / "specs" / "german-credit-trees.yaml")


def test_a_selection_of_nothing_lists_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compile", SPEC, "--select", "nonsense"]) == 2
    told = capsys.readouterr().err
    assert "error[PGX5031]: `nonsense` selects no node" in told
    assert "class_balance" in told.split("help:")[1]


def test_a_plan_that_cannot_be_read_says_how_to_write_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", SPEC, "--plan", str(tmp_path / "nowhere.json"), "--output", str(tmp_path / "run")]) == 2
    told = capsys.readouterr().err
    assert "error[PGX5032]: " in told
    assert "pgx compile SPEC --format json" in told
    assert not (tmp_path / "run").exists()
