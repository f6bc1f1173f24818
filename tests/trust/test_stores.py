"""A store that came with a stranger's folder is not believed, one of one's own is, and one that was named is."""

import json
import os
import shutil

import pytest
from tests_project import SMALL_TREES, make_project, write_spec

from pgx_compiler.cli import main
from pgx_compiler.diagnostics.diagnostic import AuthorError
from pgx_compiler.evidence.store import Artifact, Store
from pgx_compiler.trust import stores
from pgx_compiler.trust.stores import MARK, key_path, require_own_store


@pytest.fixture(autouse=True)
def me(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "me"))
    monkeypatch.delenv("PGX_STORE", raising=False)
    return tmp_path


def somebody_else(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "somebody else"))


def used(root):
    assert require_own_store(root) is None
    Store(root).keep("ab" * 32, Artifact({"a": 1}), {}, {}, 0.0)
    return root


def test_ones_own_is_believed_wherever_it_is_moved(me):
    root = used(me / "a" / ".pgx" / "store")
    assert require_own_store(root) is None
    moved = shutil.copytree(root.parent, me / "b" / ".pgx") / "store"
    assert require_own_store(moved) is None
    assert key_path().stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("spoil", ["another's", "unsigned", "forged", "pipe", "nonsense"])
def test_another_ones_is_refused_with_two_ways_out(me, monkeypatch, spoil):
    root = used(me / ".pgx" / "store")
    mark = root / MARK
    if spoil == "another's":
        somebody_else(me, monkeypatch)
    else:
        mark.unlink()
    if spoil == "forged":
        mark.write_text(json.dumps({"store": "x", "signature": "0" * 64}))
    if spoil == "nonsense":
        mark.write_text('["é"]')
    if spoil == "pipe":
        os.mkfifo(mark)
    with pytest.raises(AuthorError) as refused:
        require_own_store(root)
    (said,) = refused.value.diagnostics
    assert said.code.number == 5019
    assert f"PGX_STORE={root}" in (said.help or "")
    assert "delete or move" in (said.help or "")


@pytest.mark.parametrize("where", [".pgx", ".pgx/store"])
def test_a_link_is_not_followed(me, where):
    elsewhere = used(me / "elsewhere" / "store")
    link = me / "project" / where
    link.parent.mkdir(parents=True)
    link.symlink_to(elsewhere if where.endswith("store") else elsewhere.parent)
    with pytest.raises(AuthorError, match="is a link"):
        require_own_store(me / "project" / ".pgx" / "store")


def test_without_a_home_it_is_said_that_nothing_was_checked(me, monkeypatch):
    (me / "file").write_text("")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(me / "file"))
    told = require_own_store(me / ".pgx" / "store")
    assert told is not None
    assert "cannot be told" in told


def test_two_first_runs_at_once_have_one_key(me, monkeypatch):
    held = stores._own_key()
    key_path().unlink()
    link = os.link

    def late(temporary, path):
        path.write_bytes(held)  # the other one comes first
        link(temporary, path)

    monkeypatch.setattr(os, "link", late)
    assert stores._own_key() == held
    assert [path.name for path in key_path().parent.iterdir()] == [key_path().name]


@pytest.mark.frameworks
def test_results_that_a_stranger_brings_along_are_not_believed(me, monkeypatch, capsys):
    project = make_project(me / "project")
    spec = write_spec(project, "german-credit-trees", SMALL_TREES)
    somebody_else(me, monkeypatch)
    assert main(["run", str(spec), "-o", str(me / "theirs")]) in (0, 1)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(me / "me"))
    capsys.readouterr()
    assert main(["run", str(spec), "-o", str(me / "mine")]) == 2
    assert "PGX5019" in capsys.readouterr().err
    assert not (me / "mine").exists()
    monkeypatch.setenv("PGX_STORE", str(project / ".pgx" / "store"))
    assert main(["run", str(spec), "-o", str(me / "mine")]) in (0, 1)
