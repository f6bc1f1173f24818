"""Sweeping a store: nothing that a run rests on goes, and nothing goes while anybody takes part."""

import os
import time

import numpy as np
import pytest

from pgx_compiler.cli import main
from pgx_compiler.evidence.canonical import digest
from pgx_compiler.evidence.retention import Rule
from pgx_compiler.evidence.store import Artifact, Store
from pgx_compiler.evidence.sweep import LostTrack, NotForgotten, seal_run, sweep

NOW = time.time()
LATER = NOW + 48 * 3600


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def keep(store, name):
    return store.keep(digest(name), Artifact({"name": name}, {"v": np.arange(4) + len(name)}), {}, {}, 0.0)


def run(store, audit, *names):
    records = {name: keep(store, name) for name in names}
    return seal_run(store, {"audit": audit}, {n: (r.key, r.content) for n, r in records.items()}, (), ())


def there(store, *names):
    return [store.find(digest(name)) is not None and store.whole(store.find(digest(name))) for name in names]


def test_what_a_run_rests_on_stays_and_the_rest_goes(store):
    run(store, "a", "used")
    keep(store, "unused")
    swept = sweep(store, Rule(), pretend=False, now=LATER)
    assert there(store, "used", "unused") == [True, False]
    # a record, a document and an archive
    assert len(swept.moved) == 3
    assert swept.runs == 1


def test_what_is_young_stays_because_its_run_may_not_have_ended(store):
    keep(store, "of a run that is going on")
    swept = sweep(store, Rule(), pretend=False, now=NOW)
    assert (swept.moved, swept.young) == ([], 3)
    assert there(store, "of a run that is going on") == [True]


def test_nothing_is_touched_in_a_pretence(store):
    keep(store, "unused")
    before = sorted(p for p in store.root.rglob("*") if "locks" not in p.parts)
    swept = sweep(store, Rule(), pretend=True, now=LATER)
    assert len(swept.moved) == 3
    assert sorted(p for p in store.root.rglob("*") if "locks" not in p.parts and p.name != "layout.json") == before


def test_nobody_sweeps_while_a_run_goes_on(store):
    with store.enter():
        assert sweep(store, Rule(), pretend=False, now=LATER) is None
    assert sweep(store, Rule(), pretend=False, now=LATER) is not None


def test_a_shared_object_stays_as_long_as_one_run_rests_on_it(store):
    first, second = (
        keep(store, "x"),
        store.keep(digest("y"), Artifact({"name": "x"}, {"v": np.arange(4) + 1}), {}, {}, 0.0),
    )
    assert (first.document, first.arrays) == (second.document, second.arrays)
    seal_run(store, {"audit": "a"}, {"y": (second.key, second.content)}, (), ())
    sweep(store, Rule(), pretend=False, now=LATER)
    assert there(store, "x", "y") == [False, True]


def test_of_each_audit_the_last_runs_count(store):
    for number in range(4):
        run(store, "a", f"a{number}")
    run(store, "b", "b0")
    sweep(store, Rule(keep_runs=2), pretend=False, now=LATER)
    assert there(store, "a0", "a1", "a2", "a3", "b0") == [False, False, True, True, True]


def test_the_trash_is_emptied_by_the_next_sweep(store):
    keep(store, "unused")
    sweep(store, Rule(), pretend=False, now=LATER)
    assert len([p for p in (store.root / "trash").rglob("*") if p.is_file()]) == 3
    swept = sweep(store, Rule(), pretend=False, now=LATER)
    assert swept.emptied_bytes > 0
    assert not (store.root / "trash").exists()


def test_a_size_is_kept_to_by_forgetting_the_oldest_runs_but_never_the_newest(store):
    for number in range(5):
        run(store, "a", f"a{number}")
    swept = sweep(store, Rule(most_bytes=1), pretend=False, now=LATER)
    assert swept.runs == 1
    assert there(store, "a3", "a4") == [False, True]


def test_what_dead_processes_left_goes_at_once(store):
    run(store, "a", "used")
    for name in (
        "boxes/box-1/arrays.npz",
        "boxes/view-2/objects/ab/x",
        "incoming/.incoming.1.ab",
        "objects/ab/.x.npz.1.cd",
    ):
        (store.root / name).parent.mkdir(parents=True, exist_ok=True)
        (store.root / name).write_bytes(b"x")
    swept = sweep(store, Rule(), pretend=False, now=NOW)
    assert swept.litter == 4
    assert not list((store.root / "boxes").iterdir())
    assert there(store, "used") == [True]


def test_a_swept_result_is_computed_again_as_if_it_had_never_been(store):
    keep(store, "unused")
    sweep(store, Rule(), pretend=False, now=LATER)
    assert keep(store, "unused") == store.find(digest("unused"))
    assert there(store, "unused") == [True]


def test_a_sweep_is_written_into_the_ledger(store):
    keep(store, "unused")
    sweep(store, Rule(), pretend=False, now=LATER)
    assert [entry.body["event"] for entry in store.ledger.entries()] == ["sweep"]


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setenv("PGX_STORE", str(tmp_path / "store"))
    store = Store(tmp_path / "store")
    keep(store, "unused")
    for path in store.root.rglob("*"):
        if path.is_file():
            os.utime(path, (NOW - 90_000, NOW - 90_000))
    return store


def test_the_word_pretends_unless_it_is_told_to(project, capsys):
    assert main(["gc"]) == 0
    assert "would go   3 files" in capsys.readouterr().out
    assert there(project, "unused") == [True]
    assert main(["gc", "--yes"]) == 0
    assert "to trash   3 files" in capsys.readouterr().out
    assert there(project, "unused") == [False]


def test_the_word_says_that_the_store_is_busy(project, capsys):
    with project.enter():
        assert main(["gc", "--yes"]) == 3
    assert "a run is using" in capsys.readouterr().err


def test_the_word_touches_nothing_where_the_ledger_is_damaged(project, capsys):
    project.ledger.append({"event": "run", "audit": "a", "evidence": "0" * 64})
    project.ledger.path.write_bytes(project.ledger.path.read_bytes().replace(b'"a"', b'"b"'))
    assert main(["gc", "--yes"]) == 5
    assert "line 1 of the ledger was changed" in capsys.readouterr().err
    assert there(project, "unused") == [True]


@pytest.mark.parametrize("words", [["--older", "soon"], ["--max-size", "big"], ["--keep-runs", "0"]])
def test_the_word_refuses_what_it_cannot_read(words, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["gc", *words])
    assert caught.value.code == 2


# runs that are given up


def damage(path):
    path.chmod(0o644)
    path.write_bytes(b"no longer what it was")


def lost(store):
    """A damaged run of `a`, the only one of that audit; returns its name, what it is told by, and the path of its list."""
    root, seal = run(store, "a", "used")
    damage(store.path(root, ".json"))
    return seal[:12], store.path(root, ".json")


def test_a_lost_run_that_is_given_up_blocks_no_sweep_any_more(store):
    name, listed = lost(store)
    run(store, "b", "of another")
    with pytest.raises(LostTrack) as caught:
        sweep(store, Rule(), pretend=False, now=LATER)
    assert caught.value.run == name
    swept = sweep(store, Rule(), pretend=False, now=LATER, forget=[name])
    assert (swept.runs, swept.forgotten) == (1, [name])
    assert there(store, "used", "of another") == [False, True]
    assert not listed.exists()
    # and of no later one either
    assert sweep(store, Rule(), pretend=False, now=LATER).runs == 1


def test_what_was_given_up_stands_in_the_ledger_once(store):
    name, _ = lost(store)
    for _ in range(2):
        sweep(store, Rule(), pretend=False, now=LATER, forget=[name])
    bodies = [entry.body for entry in store.ledger.entries() if entry.body["event"] == "forget"]
    (body,) = bodies
    assert (body["audit"], body["run"]) == ("a", name)
    assert body["line"].startswith(name)
    assert "was changed, on which the run of `a` at line 1 of the ledger rests" in body["why"]


def test_a_pretence_gives_nothing_up(store):
    name, listed = lost(store)
    before = store.ledger.path.read_bytes()
    swept = sweep(store, Rule(), pretend=True, now=LATER, forget=[name])
    assert swept.forgotten == [name]
    assert len(swept.moved) == 4  # its list, and a record, a document and an archive
    assert listed.exists()
    assert store.ledger.path.read_bytes() == before
    with pytest.raises(LostTrack):
        sweep(store, Rule(), pretend=True, now=LATER)


def test_only_a_run_that_was_lost_can_be_given_up(store):
    _, seal = run(store, "a", "used")
    with pytest.raises(NotForgotten, match="all that the run .* rests on is known"):
        sweep(store, Rule(), pretend=False, now=LATER, forget=[seal[:12]])
    with pytest.raises(NotForgotten, match="no run that is called `abc`"):
        sweep(store, Rule(), pretend=False, now=LATER, forget=["abc"])
    with pytest.raises(NotForgotten, match="no run"):  # too short to tell one line from another
        sweep(store, Rule(), pretend=False, now=LATER, forget=[seal[:4]])
    assert there(store, "used") == [True]
    assert [entry.body["event"] for entry in store.ledger.entries()] == ["run"]


def test_an_earlier_run_of_the_audit_counts_in_place_of_one_that_is_given_up(store):
    run(store, "a", "earlier")
    name, _ = lost(store)
    swept = sweep(store, Rule(keep_runs=1), pretend=False, now=LATER, forget=[name])
    assert swept.runs == 1
    assert there(store, "earlier", "used") == [True, False]


def test_of_two_lost_runs_each_is_named_in_turn(store):
    first, _ = lost(store)
    root, seal = run(store, "b", "more")
    damage(store.path(root, ".json"))
    with pytest.raises(LostTrack) as caught:
        sweep(store, Rule(), pretend=False, now=LATER, forget=[first])
    assert caught.value.run == seal[:12]
    # nothing is given up where nothing can be swept
    assert all(entry.body["event"] == "run" for entry in store.ledger.entries())
    assert sweep(store, Rule(), pretend=False, now=LATER, forget=[first, seal[:12]]).runs == 0


def test_the_word_names_the_run_that_stands_in_the_way_and_gives_it_up(store, capsys, monkeypatch):
    monkeypatch.setenv("PGX_STORE", str(store.root))
    name, _ = lost(store)
    for path in store.root.rglob("*"):
        if path.is_file():
            os.utime(path, (NOW - 48 * 3600, NOW - 48 * 3600))
    assert main(["gc", "--yes"]) == 5
    assert f"`pgx gc --forget {name}` gives that run up" in capsys.readouterr().err
    assert main(["gc", "--forget", "nothing"]) == 2
    assert "no run that is called `nothing`; nothing was touched" in capsys.readouterr().err
    assert main(["gc", "--forget", name]) == 0
    assert f"would be given up   {name}" in capsys.readouterr().out
    assert main(["gc", "--forget", name, "--yes"]) == 0
    assert f"given up   {name}" in capsys.readouterr().out
    assert main(["gc"]) == 0
