"""However a run comes to its folder, its manifest is true; and what is damaged is never used."""

import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from tests_project import write_spec
from verifying.conftest import CHANGES
from verifying.verified_runs import every_file, flip

from pgx_compiler import driver
from pgx_compiler.cli import main
from pgx_compiler.evidence.canonical import canonical_json, digest
from pgx_compiler.evidence.inspection import inspect_store
from pgx_compiler.evidence.ledger import BrokenLedger
from pgx_compiler.evidence.manifest import PLACE, read_manifest
from pgx_compiler.evidence.retention import Rule
from pgx_compiler.evidence.store import Artifact, Store
from pgx_compiler.evidence.sweep import sweep
from pgx_compiler.sealing import list_again
from pgx_compiler.verifying import verify

pytestmark = pytest.mark.frameworks


@pytest.fixture
def here(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the whole project, so that more runs can be made in it."""
    monkeypatch.delenv("PGX_STORE", raising=False)
    return Path(shutil.copytree(project, tmp_path / "project"))


def store_of(here: Path) -> Store:
    return Store(here / ".pgx" / "store")


def without_pages(here: Path, **changes: object) -> None:
    """Typesetting takes most of such a run; the steps are the same."""
    write_spec(here, "german-credit-trees", {**CHANGES, "factsheet": {"formats": ["json"]}, **changes}, "audit.yaml")


def again(here: Path, name: str, *more: str) -> int:
    return main(["run", str(here / "audit.yaml"), "-o", str(here / "runs" / name), "--engine", "inline", *more])


def assert_true(folder: Path) -> None:
    found = verify(folder)
    assert (found.problems, found.notes) == ([], [])
    assert found.derived
    assert found.files == len(every_file(folder)) - 1


def sheets(folder: Path) -> list[bytes]:
    return [(folder / f"factsheet.{suffix}").read_bytes() for suffix in ("json", "html", "pdf")]


def test_a_cached_repetition_has_the_same_factsheet_and_a_line_of_its_own(here):
    assert again(here, "b") == 0
    assert sheets(here / "runs" / "a") == sheets(here / "runs" / "b")
    ours, theirs = (here / "runs" / name / "evidence" / "outcomes.json" for name in "ab")
    assert ours.read_bytes() == theirs.read_bytes()
    assert_true(here / "runs" / "b")
    assert verify(here / "runs" / "b").ledger.startswith("line 2 of ")
    assert_true(here / "runs" / "a")


def test_a_run_into_the_folder_of_an_earlier_one_leaves_nothing_of_it_but_its_events(here):
    folder = here / "runs" / "a"
    steps = [step for step in CHANGES["explain.perturbation"] if step["use"] != "occlusion"]
    without_pages(here, **{"explain.perturbation": steps})
    assert again(here, "a") == 0
    assert not list((folder / "evidence" / "occlusion").glob("*"))
    assert_true(folder)
    # two runs stand in the file of events, which is listed as it is now
    assert len({json.loads(line)["run_id"] for line in (folder / "events.jsonl").read_text().splitlines()}) == 2


def test_a_run_that_is_killed_leaves_no_manifest_and_the_next_one_a_true_one(here, monkeypatch):
    folder = here / "runs" / "a"

    def killed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(driver, "write_factsheet", killed)
    assert again(here, "a") == 130
    assert not (folder / PLACE).exists()
    monkeypatch.undo()
    assert again(here, "a") == 0
    assert_true(folder)


def test_an_incomplete_run_has_a_true_manifest(here):
    without_pages(here)
    assert again(here, "part", "--select", "occlusion") == 3
    assert_true(here / "runs" / "part")
    assert read_manifest(here / "runs" / "part").run["verdict"] == "incomplete"


def test_files_that_were_there_before_are_no_part_of_the_run(here):
    folder = here / "runs" / "c"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    assert again(here, "c") == 0
    assert read_manifest(folder).beside == ["notes.txt"]
    (folder / "notes.txt").write_text("mine, and changed")
    assert verify(folder).problems == []


def test_pages_that_are_drawn_again_leave_the_manifest_true(here, monkeypatch):
    monkeypatch.setattr(driver, "formats", lambda: {"html": None, "json": None})  # the PDF would take ten seconds
    folder = here / "runs" / "a"
    before = (folder / PLACE).read_bytes()
    flip(folder / "factsheet.html", 500)
    assert main(["report", str(folder)]) == 0
    assert (folder / PLACE).read_bytes() == before
    assert_true(folder)


def test_other_pages_are_sealed_anew(here):
    folder, store = here / "runs" / "a", store_of(here)
    manifest = read_manifest(folder)
    (folder / "factsheet.pdf").write_bytes(b"%PDF of another version of the typesetter")
    list_again(folder, manifest, [folder / "factsheet.pdf"], store)
    assert_true(folder)
    assert verify(folder).ledger.startswith("line 2 of ")
    assert [entry.body["event"] for entry in store.ledger.entries()] == ["run", "report"]
    # a sweep goes by the run's own line
    assert sweep(store, Rule(grace=0.0), pretend=False, now=9e9) is not None
    assert verify(folder).problems == []


def test_drawing_pages_of_a_factsheet_that_was_changed_does_not_hide_it(here, monkeypatch):
    monkeypatch.setattr(driver, "formats", lambda: {"html": None, "json": None})  # the PDF would take ten seconds
    folder = here / "runs" / "a"
    sheet = folder / "factsheet.json"
    sheet.write_bytes(sheet.read_bytes().replace(b'"status": "passed"', b'"status": "failed"', 1))
    assert main(["report", str(folder)]) == 0
    assert "factsheet.json" in {problem.file for problem in verify(folder).problems}
    assert main(["baseline", "accept", str(folder)]) == 5


def test_a_swept_store_is_no_damage_of_the_run(here):
    store = store_of(here)
    for number in range(2):
        without_pages(here, seed=100 + number)
        assert again(here, f"seed{number}") == 0
    sweep(store, Rule(keep_runs=1, grace=0.0), pretend=False, now=9e9)
    found = verify(here / "runs" / "a")
    assert found.problems == []
    assert "has swept away" in found.notes[0]


def test_no_file_of_a_run_says_where_on_this_host_it_was_made(here):
    said = [
        name for name in every_file(here / "runs" / "a") if str(here).encode() in _bytes(here / "runs" / "a" / name)
    ]
    assert said == []
    parts = (str(here.parent), f"{tempfile.gettempdir()}/")
    kept = (here / "runs" / "a" / "evidence" / "audit.json").read_text()
    assert [part for part in parts if part in kept] == []


def _bytes(path: Path) -> bytes:
    return path.read_bytes()


def test_evidence_of_the_store_that_was_changed_is_computed_again_and_never_used(here, capsys):
    store = store_of(here)
    for record in store.records():
        for name, suffix in ((record.document, ".json"), (record.arrays, ".npz")):
            if name is not None and record.ingredients["operation"][0] not in ("render", "occasion"):
                flip(store.path(name, suffix), store.path(name, suffix).stat().st_size // 2)
    without_pages(here)
    assert again(here, "b") == 0
    assert "evidence that was damaged has been computed again" in capsys.readouterr().err
    facts = [json.loads((here / "runs" / name / "factsheet.json").read_bytes()) for name in "ab"]
    assert [fact["value"] for fact in facts[0]["facts"]] == [fact["value"] for fact in facts[1]["facts"]]
    assert inspect_store(store).problems == []
    assert_true(here / "runs" / "b")


def test_a_run_does_not_begin_on_a_damaged_ledger(here, capsys):
    path = store_of(here).ledger.path
    flip(path, 50)
    with pytest.raises(BrokenLedger):
        store_of(here).ledger.check_end()
    assert again(here, "b") == 5
    assert not (here / "runs" / "b").exists()
    assert "move it out of the store" in capsys.readouterr().err
    path.rename(path.with_name("ledger-of-before.jsonl"))
    assert again(here, "b") == 0
    assert_true(here / "runs" / "b")


def test_a_result_that_comes_out_otherwise_is_a_note_of_the_run(here, capsys):
    """A record that points to another result, whose object is then damaged: what is computed again differs from it."""
    store = store_of(here)
    record = next(one for one in store.records() if one.ingredients["operation"][0] == "check")
    store.record_path(record.key).unlink()
    other = store.keep(record.key, Artifact({"other": 1}), record.ingredients, {}, 0.0)
    flip(store.path(other.document, ".json"), 3)
    without_pages(here)
    again(here, "b")
    said = capsys.readouterr().err
    assert "was computed again and gave another result than before" in said
    assert (store.root / "conflicts" / record.key / f"{other.content}.json").exists()
    assert verify(here / "runs" / "b").problems == []


def test_a_record_that_was_made_to_point_elsewhere_is_found_by_the_runs_before(here):
    store = store_of(here)
    first, second = list(store.records())[:2]
    forged = replace(first, content=second.content, document=second.document, arrays=second.arrays)
    path = store.record_path(first.key)
    body = canonical_json({"record": vars(forged), "sha256": digest(vars(forged))})
    path.chmod(0o644)
    path.write_bytes(body)
    said = {problem.file: problem.what for problem in inspect_store(store).problems}
    if first.key in {key for key, _ in json.loads(store.get(_root(store), ".json"))["nodes"].values()}:
        assert "has another result than the ledger's runs rest on" in said[path.relative_to(store.root).as_posix()]
    # a record under another key's name is refused whatever it says
    store.record_path(second.key).write_bytes(body)
    assert store.find(second.key) is None


def _root(store: Store) -> str:
    return next(str(entry.body["evidence"]) for entry in store.ledger.entries())


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda store: (store.root / "layout.json").write_bytes(b'{"layout":2}'), "PGX5015"),
        (lambda store: _link(store.root / "locks" / "store"), "PGX5016"),
    ],
)
def test_a_store_that_cannot_be_used_is_a_diagnostic_with_a_way_out(here, capsys, spoil, code):
    store = store_of(here)
    spoil(store)
    assert again(here, "b") == 2
    said = capsys.readouterr().err
    assert code in said
    assert "PGX_STORE" in said
    assert not (here / "runs" / "b").exists()


def _link(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(path.parent / "elsewhere")


def test_nothing_is_swept_while_a_run_goes_on(here, monkeypatch):
    seen = []
    whole = driver.gather

    def meanwhile(*given):
        seen.append(sweep(store_of(here), Rule(), pretend=False))
        return whole(*given)

    monkeypatch.setattr(driver, "gather", meanwhile)
    assert again(here, "b") == 0
    assert seen == [None]
