"""`pgx doctor`: what is there, what is missing, and what to do about it."""

import json
import os
import sys
from collections import namedtuple

import pytest

from pgx_compiler.authoring import host
from pgx_compiler.cli import main


def by_name(looked):
    return {one.name: one for one in looked}


@pytest.fixture
def store(tmp_path):
    return tmp_path / ".pgx" / "store"


def test_says_what_is_here_without_importing_it(store):
    looked = by_name(host.look(store))
    assert looked["Python"].found.startswith(".".join(map(str, sys.version_info[:3])))
    assert looked["tensorflow"].state == "good"
    assert ".keras" in looked["tensorflow"].found
    assert ".onnx" in looked["onnxruntime"].found
    assert looked["cores"].found == str(len(os.sched_getaffinity(0)))
    assert looked["store"].found == f"{store} (will be made)"


def test_whatever_is_not_good_says_what_to_do(store, monkeypatch):
    monkeypatch.setattr(host, "_version", lambda name: "")
    monkeypatch.setattr(host, "_opens", lambda library: False)
    monkeypatch.setattr(host.shutil, "which", lambda name: None)
    looked = host.look(store)
    assert {one.name for one in looked if one.state == "missing"} >= {"tensorflow", "onnxruntime", "libraries"}
    assert [one.name for one in looked if one.state != "good" and not one.advice] == []
    assert [one.name for one in looked if one.state == "good" and one.advice] == []


def test_a_missing_library_of_the_system_costs_only_the_pdf(store, monkeypatch, capsys):
    monkeypatch.setattr(host, "_opens", lambda library: "pango" not in library)
    looked = by_name(host.look(store))
    assert looked["Pango"].state == "advice"
    assert "apt-get install libpango-1.0-0" in looked["Pango"].advice
    assert looked["HarfBuzz subset"].state == "good"
    monkeypatch.chdir(store.parents[1])
    assert main(["doctor"]) == 0
    assert "-> for PDF" in capsys.readouterr().out


def test_a_missing_runtime_is_a_reason_to_end_with_1(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    real = host._version
    monkeypatch.setattr(host, "_version", lambda name: "" if name == "onnxruntime" else real(name))
    assert main(["doctor"]) == 1
    told = capsys.readouterr().out
    assert "without it no .onnx is run: pip install onnxruntime" in told
    assert "An audit cannot run here: onnxruntime" in told
    assert main(["doctor", "--format", "json"]) == 1
    assert json.loads(capsys.readouterr().out)["ready"] is False


def test_a_store_that_cannot_be_made_is_a_reason_to_end_with_1(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PGX_STORE", str(tmp_path / "file" / "store"))
    assert main(["doctor"]) == 1
    assert "PGX_STORE" in capsys.readouterr().out


def test_a_full_disk_and_little_memory_are_worth_a_word(store, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(host.shutil, "disk_usage", lambda path: usage(10**9, 10**9 - 10**6, 10**6))
    monkeypatch.setattr(host, "_memory", lambda: (4 * 10**9, 10**9))
    looked = by_name(host.look(store))
    assert looked["disk"].found == "1 MB free"
    assert looked["disk"].state == looked["memory"].state == "advice"


def test_what_is_required_is_read_from_the_programs_own_metadata(monkeypatch):
    declared = ["numpy>=2.0", "weasyprint>=70,<71", "h5py (>=3.11)", 'ray>=2 ; extra == "cluster"']
    monkeypatch.setattr(host.importlib.metadata, "requires", lambda name: declared)
    assert host._required() == ["numpy", "weasyprint", "h5py"]


def test_ready_here(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PGX_STORE", raising=False)
    assert main(["doctor", "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["ready"] is True
    assert {one["state"] for one in told["host"]} <= {"good", "advice"}
