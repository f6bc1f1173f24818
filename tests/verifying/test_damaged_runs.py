"""Every change of a run's folder is found, and the file is named."""

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from verifying.verified_runs import every_file, flip, make_fit

from pgx_compiler.cli import main
from pgx_compiler.evidence.canonical import archive, unarchive
from pgx_compiler.evidence.manifest import PLACE, read_manifest
from pgx_compiler.evidence.store import Store
from pgx_compiler.verifying import verify

pytestmark = pytest.mark.frameworks

MANIFEST = str(PLACE)
SHEETS = ("factsheet.json", "factsheet.html", "factsheet.pdf")


def damaged(folder: Path) -> dict[str, str]:
    return {problem.file: problem.what for problem in verify(folder).problems}


def test_a_run_is_whole_derived_and_sealed(run):
    found = verify(run)
    assert (found.problems, found.notes) == ([], [])
    assert found.derived
    assert found.ledger.startswith("line 1 of ")
    # every file that is there was checked, and the manifest itself by its own digest
    assert found.files == len(every_file(run)) - 1


def test_a_run_alone_is_derived_without_store_model_data_or_framework(alone):
    code = (
        "import sys; from pgx_compiler.cli import main; status = main(['verify', sys.argv[1]]);"
        "heavy = {'tensorflow', 'keras', 'onnxruntime', 'onnx', 'shap', 'weasyprint', 'h5py', 'PIL', 'sklearn'};"
        "print(sorted(heavy & set(sys.modules))); sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(alone)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "the factsheet follows from the evidence" in done.stdout
    assert done.stdout.endswith("[]\n")
    assert "no ledger was asked" in done.stderr


def test_every_sampled_byte_that_changes_is_found_and_its_file_named(alone):
    drawn = random.Random(6)
    sizes = {name: (alone / name).stat().st_size for name in every_file(alone)}
    names = [name for name, size in sizes.items() if size]  # a worker that said nothing leaves an empty log
    # first and last byte of each file, and some in between: 300 and more over all kinds of files
    offsets = [(name, at) for name in names for at in {0, sizes[name] - 1}]
    while len(offsets) < 300:
        name = drawn.choice(names)
        offsets.append((name, drawn.randrange(sizes[name])))
    missed = []
    for name, at in offsets:
        bit = drawn.randrange(8)
        flip(alone / name, at, bit)
        if list(damaged(alone)) != [name]:
            missed.append((name, at, bit))
        flip(alone / name, at, bit)
    assert missed == []
    assert damaged(alone) == {}


STRUCTURAL = {
    "swapped": {"evidence/occlusion/attributions.npz", "evidence/kernel_shap/attributions.npz"},
    "truncated": {"factsheet.json"},
    "emptied": {"plan.json"},
    "extended": {"events.jsonl"},
    "deleted": {"pgx.lock"},
    "added": {"evidence/kernel_shap/extra.json"},
    "added beside": {"sitecustomize.py"},
    "linked": {"spec.yaml"},
    "linked folder": {"evidence/rows"},
    "pipe": {"factsheet.html"},
    "folder": {"factsheet.pdf"},
}
"""What is done to the folder, and the files that must be named for it."""


def strike(folder: Path, how: str) -> None:
    occlusion, kernel = (folder / "evidence" / step / "attributions.npz" for step in ("occlusion", "kernel_shap"))
    if how == "swapped":
        content = occlusion.read_bytes()
        occlusion.write_bytes(kernel.read_bytes())
        kernel.write_bytes(content)
    elif how == "truncated":
        os.truncate(folder / "factsheet.json", 1000)
    elif how == "emptied":
        os.truncate(folder / "plan.json", 0)
    elif how == "extended":
        with (folder / "events.jsonl").open("ab") as stream:
            stream.write(b"\n")
    elif how == "deleted":
        (folder / "pgx.lock").unlink()
    elif how == "added":
        shutil.copy(folder / "plan.json", folder / "evidence" / "kernel_shap" / "extra.json")
    elif how == "added beside":
        (folder / "sitecustomize.py").write_text("raise SystemExit")
    elif how == "linked":
        (folder / "spec.yaml").rename(folder.parent / "spec.yaml")
        (folder / "spec.yaml").symlink_to(folder.parent / "spec.yaml")
    elif how == "linked folder":
        (folder / "evidence" / "rows").rename(folder.parent / "rows")
        (folder / "evidence" / "rows").symlink_to(folder.parent / "rows")
    elif how == "pipe":
        (folder / "factsheet.html").unlink()
        os.mkfifo(folder / "factsheet.html")
    else:
        (folder / "factsheet.pdf").unlink()
        (folder / "factsheet.pdf").mkdir()


@pytest.mark.parametrize(("how", "named"), STRUCTURAL.items())
def test_a_structural_change_is_found_and_named(alone, how, named):
    strike(alone, how)
    found = damaged(alone)
    assert named <= set(found)
    # files below a linked folder are missing; nothing else is said of files that are as they were
    assert all(name in named or name.startswith("evidence/rows/") for name in found)
    assert main(["verify", str(alone)]) == 5


def test_swapped_files_are_said_to_be_swapped(alone):
    strike(alone, "swapped")
    assert damaged(alone)["evidence/occlusion/attributions.npz"] == (
        "was swapped: it holds what is `evidence/kernel_shap/attributions.npz`"
    )


def test_without_its_manifest_a_run_is_not_believed(alone):
    (alone / PLACE).unlink()
    assert damaged(alone).keys() == {MANIFEST}


def edited(folder: Path, name: str) -> None:
    """A change that keeps the file readable, where a forger would make one."""
    path = folder / name
    content = path.read_bytes()
    changes = {
        "factsheet.json": (b'"status": "passed"', b'"status": "failed"'),
        "factsheet.html": (b"</h1>", b"!</h1>"),
        "spec.yaml": (b'"seed": ', b'"seed": 1'),
        "plan.json": (b'"name": "german', b'"name": "German'),
        "pgx.lock": (b'"pgx": "', b'"pgx": "9'),
        "evidence/outcomes.json": (b'"forward":', b'"forward":1'),
        "evidence/audit.json": (b'"rows":', b'"rows":1'),
        "events.jsonl": (b'"content":"', b'"content":"0'),
    }
    if name in changes:
        before, after = changes[name]
        assert before in content, name
        path.write_bytes(content.replace(before, after, 1))
    elif name.endswith(".npz"):
        arrays = unarchive(content)
        path.write_bytes(archive({**arrays, "values": arrays["values"] * 2}))
    else:
        flip(path, len(content) // 2)


FORGED = (
    "factsheet.json", "factsheet.html", "spec.yaml", "plan.json", "pgx.lock", "events.jsonl", "evidence/outcomes.json",
    "evidence/audit.json", "evidence/occlusion/attributions.npz", "evidence/class_balance/class_balance.json",
)  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
def test_a_file_that_was_changed_with_its_entry_is_told_by_what_follows_from_the_evidence(alone, name):
    edited(alone, name)
    make_fit(alone)
    found = verify(alone)
    assert found.problems
    assert not found.derived


@pytest.mark.parametrize("name", [*FORGED, "factsheet.pdf"])
def test_a_file_that_was_changed_with_its_entry_is_not_the_sealed_one(run, name):
    edited(run, name)
    make_fit(run)
    found = damaged(run)
    assert "sealed: it was written anew after the run" in found[MANIFEST]
    if name in SHEETS:
        assert name in found


def test_a_factsheet_that_differs_from_its_evidence_says_where_first(alone):
    edited(alone, "factsheet.json")
    make_fit(alone)
    assert damaged(alone)["factsheet.json"] == "is not what the evidence says, first at verdict.status"


def test_a_page_that_differs_from_the_facts_is_named_alone(alone):
    edited(alone, "factsheet.html")
    make_fit(alone)
    assert damaged(alone) == {"factsheet.html": "is not the page of factsheet.json"}


def test_an_old_run_under_another_runs_name_is_told_apart(run):
    manifest = read_manifest(run)
    replayed = run.rename(run.with_name("20300101T000000Z-" + manifest.run["plan"][:8]))
    found = damaged(replayed)
    assert manifest.run["id"][:12] in found["."]
    assert manifest.run["time"] in found["."]


@pytest.mark.parametrize("changes", [{"time": "2030-01-01T00:00:00+00:00"}, {"id": "0" * 32}, {"spec": "0" * 64}])
def test_a_run_that_is_given_another_identity_is_not_the_sealed_one(run, changes):
    make_fit(run, **changes)
    assert MANIFEST in damaged(run)


def lines_of(run: Path) -> list[bytes]:
    return Store(run.parent.parent / ".pgx" / "store").ledger.path.read_bytes().splitlines(keepends=True)


def with_more_lines(run: Path) -> Path:
    ledger = Store(run.parent.parent / ".pgx" / "store").ledger
    for number in range(3):
        ledger.append({"event": "test", "number": number})
    return ledger.path


@pytest.mark.parametrize(
    ("how", "change"),
    [
        ("edited", lambda lines: [lines[0].replace(b'"verdict":"passed"', b'"verdict":"failed"'), *lines[1:]]),
        ("deleted", lambda lines: lines[1:]),
        ("one of others deleted", lambda lines: [lines[0], *lines[2:]]),
        ("doubled", lambda lines: [lines[0], *lines]),
        ("moved", lambda lines: [lines[0], lines[2], lines[1], lines[3]]),
        ("inserted", lambda lines: [lines[0], lines[0], *lines[1:]]),
        ("its last line end changed", lambda lines: [*lines[:-1], lines[-1][:-1] + b"x"]),
    ],
)
def test_a_line_of_the_ledger_that_was_changed_is_found(run, how, change):
    path = with_more_lines(run)
    path.write_bytes(b"".join(change(lines_of(run))))
    assert any(name.endswith("ledger.jsonl") for name in damaged(run)), how
    assert main(["verify", "--store", str(path.parent)]) == 5


def test_a_ledger_whose_end_was_cut_off_is_found_by_a_run_that_was_there(run):
    ledger = Store(run.parent.parent / ".pgx" / "store").ledger
    # an older line before that of the run: what is left is a good ledger
    ours = lines_of(run)
    ledger.path.unlink()
    ledger.append({"event": "test"})
    manifest = read_manifest(run)
    assert "was written anew" in damaged(run)[str(ledger.path)]
    ledger.path.write_bytes(b"".join(ours))
    assert manifest.sealed["ledger"] == ledger.first


def test_a_ledger_cut_before_the_run_is_told_from_another_ledger(project, tmp_path, monkeypatch):
    monkeypatch.delenv("PGX_STORE", raising=False)
    shutil.copytree(project / ".pgx", tmp_path / ".pgx")
    for part in ("models", "data"):
        (tmp_path / part).symlink_to(project / part)
    shutil.copy(project / "audit.yaml", tmp_path / "audit.yaml")
    for part in ("models", "data"):
        (tmp_path / part).unlink()
        shutil.copytree(project / part, tmp_path / part)
    assert main(["run", str(tmp_path / "audit.yaml"), "-o", str(tmp_path / "runs" / "b")]) == 0
    later = tmp_path / "runs" / "b"
    path = tmp_path / ".pgx" / "store" / "ledger.jsonl"
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    assert "has lost the line of run" in damaged(later)[str(path)]


def test_the_ledger_of_another_project_is_no_alarm(run, tmp_path, monkeypatch):
    other = Store(tmp_path / "other")
    other.ledger.append({"event": "test"})
    monkeypatch.setenv("PGX_STORE", str(other.root))
    found = verify(run)
    assert found.problems == []
    assert "is not the store of run" in found.notes[0]


def test_evidence_in_the_store_that_was_changed_is_found(run):
    store = Store(run.parent.parent / ".pgx" / "store")
    records = sorted(store.records(), key=lambda record: record.key)
    arrays = next(record.arrays for record in records if record.arrays)
    path = store.path(arrays, ".npz")
    flip(path, 100)
    assert damaged(run) == {str(path): "was changed"}
    assert main(["verify", "--store", str(store.root)]) == 5
    path.unlink()
    assert damaged(run) == {str(path): "is missing"}


def test_a_change_of_program_is_no_damage(alone, monkeypatch, capsys):
    edited(alone, "factsheet.json")
    make_fit(alone, code="f" * 64)
    found = verify(alone)
    assert found.problems == []
    assert not found.derived
    assert "needs pgx 0.1.0 (source ffffffffffff)" in " ".join(found.notes)


@pytest.mark.parametrize(
    "content",
    [
        b"[]",
        b'{"schema":"pgx-audit/1"}',
        b'{"schema":"pgx-audit/1","audit":{"$":"os.system"},"nodes":[],"context":{}}',
        b'{"schema":"pgx-audit/1","audit":' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"schema":"pgx-audit/1","audit":{"$path":"/etc/passwd"},"nodes":{"$tuple":[]},"context":{}}',
        b'{"schema":"pgx-audit/1","audit":{"$":"audit"},"nodes":{"$tuple":[]},"context":{"$":"context"}}',
    ],
)
def test_a_hostile_audit_is_damaged_evidence(alone, content):
    (alone / "evidence" / "audit.json").write_bytes(content)
    make_fit(alone)
    assert "follow from the evidence" in damaged(alone)["factsheet.json"]
