"""What bad input gets: a diagnostic or a clear sentence, the right exit status, and no half-written result."""

import os
import shutil

import numpy as np
import pytest
from tests_project import SMALL_TREES, make_project, write_spec

from pgx_compiler.cli import main
from pgx_compiler.diagnostics.diagnostic import AuthorError
from pgx_compiler.driver import _folder_of_ones_own
from pgx_compiler.evidence.locks import try_lock_folder


@pytest.fixture
def project(tmp_path, monkeypatch):
    folder = make_project(tmp_path / "project")
    monkeypatch.delenv("PGX_STORE", raising=False)
    return folder


def said_by(capsys, *arguments):
    status = main([str(argument) for argument in arguments])
    told = capsys.readouterr()
    assert "Traceback" not in told.err + told.out
    return status, told.err


BAD_TEXT = {
    "syntax": ("metadata: {name: x\n", "PGX1"),
    "list": ("- a\n- b\n", "PGX"),
    "empty": ("", "PGX"),
    "twice": ("apiVersion: pgx/v1\napiVersion: pgx/v1\n", "PGX1"),
    "bomb": ("a: &a [x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n", "PGX1"),
    "deep": ("[" * 5000, "PGX1"),
    "tag": ("a: !!python/name:os.system\n", "PGX1"),
}


@pytest.mark.parametrize("kind", BAD_TEXT)
def test_bad_text_is_a_diagnostic_with_a_place(tmp_path, capsys, kind):
    text, code = BAD_TEXT[kind]
    spec = tmp_path / "audit.yaml"
    spec.write_text(text)
    status, said = said_by(capsys, "check", spec)
    assert status == 2
    assert code in said
    assert "audit.yaml:" in said


def test_ten_megabytes_a_folder_a_pipe_and_nothing_at_all(tmp_path, capsys):
    big = tmp_path / "big.yaml"
    big.write_text("# " + "x" * 10_000_000)
    assert said_by(capsys, "check", big)[0] == 2
    status, said = said_by(capsys, "check", tmp_path)
    assert status == 2
    assert "not a regular file" in said
    os.mkfifo(tmp_path / "pipe.yaml")
    assert said_by(capsys, "check", tmp_path / "pipe.yaml")[0] == 2
    status, said = said_by(capsys, "check", tmp_path / "missing.yaml")
    assert status == 2
    assert "missing.yaml" in said


BAD_MODELS = {
    "empty": b"",
    "html": b"<!DOCTYPE html><html></html>",
    "pickle": b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00}\x94.",
    "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
    "noise": bytes(range(256)) * 8,
}


@pytest.mark.parametrize("suffix", ["keras", "onnx"])
@pytest.mark.parametrize("kind", BAD_MODELS)
def test_a_file_that_is_no_model_is_said_at_the_line_that_names_it(project, capsys, kind, suffix):
    (project / "models" / f"digits.{suffix}").write_bytes(BAD_MODELS[kind])
    status, said = said_by(capsys, "check", write_spec(project, "digits"))
    assert status == 2
    assert f"digits.{suffix}" in said
    assert "PGX" in said
    assert "help" in said


@pytest.mark.parametrize("suffix", ["keras", "onnx"])
def test_a_truncated_model_is_found(project, capsys, suffix):
    path = project / "models" / f"digits.{suffix}"
    path.write_bytes(path.read_bytes()[:20_000])
    status, said = said_by(capsys, "check", write_spec(project, "digits"))
    assert status == 2
    assert f"digits.{suffix}" in said


def test_a_folder_where_a_file_is_meant(project, capsys):
    (project / "models" / "digits.onnx").unlink()
    (project / "models" / "digits.onnx").mkdir()
    status, said = said_by(capsys, "check", write_spec(project, "digits"))
    assert status == 2
    assert "digits.onnx" in said


def test_paths_may_not_leave_the_folder(project, capsys):
    for path in ("../secret.npz", "/etc/passwd", "~/x.npz", "http://example.org/x.npz"):
        status, said = said_by(capsys, "check", write_spec(project, "digits", {"data.train.path": path}))
        assert status == 2
        assert "PGX" in said


def test_a_missing_target_column_is_said_with_the_nearest(project, capsys):
    spec = write_spec(project, "german-credit-trees", {"data.train.target": "bad_rsk"})
    status, said = said_by(capsys, "check", spec)
    assert status == 2
    assert "bad_risk" in said


def test_a_wrong_feature_count_is_said(project, capsys):
    spec = write_spec(project, "german-credit", {"data.train.path": "data/german-credit-train.csv"})
    status, said = said_by(capsys, "check", spec)
    assert status == 2
    assert "61" in said


def changed_csv(project, change):
    path = project / "data" / "german-credit-test.csv"
    header, *rows = path.read_text().splitlines()
    path.write_text("\n".join([header, *change(rows)]) + "\n")


def run_trees(project, capsys, **changes):
    spec = write_spec(project, "german-credit-trees", {**SMALL_TREES, **changes})
    return said_by(capsys, "run", spec, "-o", project / "out", "--engine", "inline")


@pytest.mark.frameworks
def test_a_label_that_is_no_class_stops_what_needs_it_and_names_the_row(project, capsys):
    changed_csv(project, lambda rows: [rows[0].rsplit(",", 1)[0] + ",7", *rows[1:]])
    status, said = run_trees(project, capsys)
    assert status == 2
    assert "row 0 has the label 7, and the 2 classes are 0 to 1" in said


@pytest.mark.frameworks
def test_a_missing_label_is_counted_and_placed(project, capsys):
    changed_csv(project, lambda rows: [*rows[:3], rows[3].rsplit(",", 1)[0] + ",", *rows[4:]])
    status, said = run_trees(project, capsys)
    assert status == 2
    assert "a row has no `bad_risk`; the first is row 3" in said


@pytest.mark.frameworks
def test_words_where_the_model_reads_numbers(project, capsys):
    changed_csv(project, lambda rows: ["many" + rows[0][rows[0].index(",") :], *rows[1:]])
    status, said = run_trees(project, capsys)
    assert status == 2
    assert "checking_status" in said


@pytest.mark.frameworks
def test_nan_that_the_model_cannot_take_is_said_with_its_column(project, capsys):
    path = project / "data" / "german-credit-onehot-test.csv"
    lines = path.read_text().splitlines()
    lines[5] = "," + lines[5].split(",", 1)[1]
    path.write_text("\n".join(lines) + "\n")
    changes = {
        "model.keras": None,
        "explain.gradient": None,
        "tuning": None,
        "gates": None,
        "agreement": None,
        "precaution": [{"use": "class_balance"}],
        "explain.perturbation": [{"use": "occlusion"}],
        "factsheet": {"formats": ["json"]},
    }
    spec = write_spec(project, "german-credit", changes)
    status, said = said_by(capsys, "run", spec, "-o", project / "out", "--engine", "inline")
    assert status == 2
    assert "no finite score" in said
    assert "`duration_months`" in said


@pytest.mark.frameworks
def test_a_full_disk_ends_with_a_sentence_and_the_next_run_finishes(project, capsys, monkeypatch):
    real = os.fsync
    calls = []

    def full(handle):
        calls.append(handle)
        if len(calls) > 12:
            raise OSError(28, "No space left on device")
        return real(handle)

    monkeypatch.setattr(os, "fsync", full)
    status, said = run_trees(project, capsys)
    assert status in (2, 3)
    assert "No space left on device" in said
    assert not list((project / "out").glob("factsheet.*"))
    monkeypatch.setattr(os, "fsync", real)
    assert run_trees(project, capsys)[0] == 0
    assert (project / "out" / "factsheet.json").exists()
    assert not [path for path in (project / ".pgx").rglob(".*") if path.is_file()]


def test_an_output_that_cannot_be_made_is_said(project, capsys):
    (project / "taken").write_text("a file")
    spec = write_spec(project, "german-credit-trees", SMALL_TREES)
    status, said = said_by(capsys, "run", spec, "-o", project / "taken" / "out", "--engine", "inline")
    assert status == 2
    assert "PGX5011" in said
    assert "--output" in said


def test_a_run_that_is_no_run(tmp_path, capsys):
    for word in ("report", "verify"):
        status, said = said_by(capsys, word, tmp_path)
        assert status == 2
        assert "PGX5012" in said
    (tmp_path / "factsheet.json").write_text("{}")
    assert said_by(capsys, "report", tmp_path)[0] == 2


@pytest.mark.frameworks
def test_no_permission_is_said(project, capsys):
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    shutil.copy(project / "data" / "german-credit-train.csv", project / "data" / "locked.csv")
    (project / "data" / "locked.csv").chmod(0)
    status, said = said_by(
        capsys, "check", write_spec(project, "german-credit-trees", {"data.train.path": "data/locked.csv"})
    )
    assert status == 2
    assert "locked.csv" in said


@pytest.mark.frameworks
def test_an_archive_of_objects_is_refused(project, capsys):
    np.savez(project / "data" / "digits-train.npz", x=np.array([object()]), y=np.array([1]))
    status, said = said_by(capsys, "check", write_spec(project, "digits"))
    assert status == 2
    assert "digits-train.npz" in said


@pytest.mark.frameworks
def test_a_folder_that_another_run_is_writing_to(project, capsys):
    folder = project / "out"
    folder.mkdir()
    spec = write_spec(project, "german-credit-trees", SMALL_TREES)
    with try_lock_folder(folder):
        status, said = said_by(capsys, "run", spec, "-o", folder)
        assert status == 2
        assert "PGX5018" in said
        assert "--output" in said
        assert list(folder.iterdir()) == []
    assert said_by(capsys, "run", spec, "-o", folder)[0] in (0, 1)


def test_two_runs_of_one_second_have_a_folder_each(tmp_path):
    with _folder_of_ones_own(tmp_path / "runs" / "x", named=False) as first:
        with _folder_of_ones_own(tmp_path / "runs" / "x", named=False) as second:
            assert [first.name, second.name] == ["x", "x-2"]
        with pytest.raises(AuthorError), _folder_of_ones_own(first, named=True):
            pass
    with _folder_of_ones_own(first, named=True) as again:
        assert again == first
