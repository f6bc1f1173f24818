"""Several runs on one store at once: each key is computed once, whoever dies, sweeps, verifies or upgrades meanwhile (E1 to E7).

The store alone, against a dictionary and with sixteen writers: tests/evidence/test_store_machine.py.
"""

import json
import os
import shutil
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pgx_compiler.evidence.store import Store
from tests.hostile.conftest import small_audit
from tests.hostile.forking import Begun, Ended, Forking

pytestmark = pytest.mark.frameworks
MANY = 16


def asks(folder: Path, name: str, *more: object) -> list[object]:
    return ["run", folder / "audit.yaml", "--engine", "inline", "-o", folder / name, *more]


def ended_nodes(run: Path) -> list[dict[str, Any]]:
    lines = (run / "events.jsonl").read_text().split("\n")[:-1]
    return [event for event in map(json.loads, lines) if event["event"] == "ended"]


def computed(runs: list[Path]) -> Counter[str]:
    """How often each key was computed, over some runs."""
    found: Counter[str] = Counter()
    for run in runs:
        keys = {node["id"]: node["key"] for node in json.loads((run / "plan.json").read_bytes())["nodes"]}
        found.update(keys[one["node"]] for one in ended_nodes(run) if one["status"] == "computed")
    return found


def all_good(begun: list[Begun]) -> list[Ended]:
    ends = [one.end() for one in begun]
    for one in ends:
        assert one.status == 0, one.said
        assert one.documented
    return ends


def test_many_runs_of_one_audit_compute_every_key_once(forking: Forking, tmp_path: Path) -> None:
    folder = small_audit(tmp_path / "audit")
    names = [f"run-{number}" for number in range(MANY)]
    all_good([forking.begin(asks(folder, name)) for name in names])
    runs = [folder / name for name in names]
    counted = computed(runs)
    assert set(counted.values()) == {1}
    assert len(counted) >= 4
    contents = {
        json.dumps({one["node"]: one["content"] for one in sorted(ended_nodes(run), key=lambda e: e["node"])})
        for run in runs
    }
    assert len(contents) == 1
    assert len({one["status"] for run in runs for one in ended_nodes(run)}) == 2  # some were first, some found it done


def test_audits_that_share_steps_compute_the_shared_ones_once(forking: Forking, tmp_path: Path) -> None:
    """Sixteen audits that differ in name and in one step of their own, on one store."""
    store = tmp_path / "store"
    begun, runs = [], []
    for number in range(MANY):
        own = {"use": "missing_values", "id": f"own_{number}", "with": {"warn": (number + 1) / 40}}
        folder = small_audit(
            tmp_path / f"audit-{number}", f"audit-{number}", precaution=[{"use": "class_balance"}, own]
        )
        begun.append(forking.begin(asks(folder, "out"), environment={"PGX_STORE": str(store)}))
        runs.append(folder / "out")
    all_good(begun)
    counted = computed(runs)
    assert set(counted.values()) == {1}
    nodes = {
        node["key"]
        for run in runs
        for node in json.loads((run / "plan.json").read_bytes())["nodes"]
        if node["op"] not in ("data", "model")
    }
    assert set(counted) == nodes
    assert len(nodes) >= MANY + 3  # their own, and those that all share


def test_who_waits_for_a_run_that_is_killed_takes_its_work_over(forking: Forking, tmp_path: Path) -> None:
    folder = small_audit(tmp_path / "audit")
    records = str(folder / ".pgx" / "store" / "records")
    fault = {"place": records, "calls": ["fsync"], "when": 1, "how": "hang", "lasting": True}
    holder = forking.begin(asks(folder, "holder"), fault=fault)
    noted = forking.notes / f"{holder.name}.struck"
    end = time.monotonic() + 30
    while not (noted.exists() and noted.read_text()):  # it stands still, with claims in its hands
        assert time.monotonic() < end
        time.sleep(0.01)
    waiting = forking.begin(asks(folder, "waiting"))
    while not (folder / "waiting" / "events.jsonl").exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    time.sleep(0.5)
    assert not [one for one in ended_nodes(folder / "waiting") if one["op"] == "predict"]
    os.kill(holder.pid, signal.SIGKILL)
    struck = time.monotonic()
    assert holder.end().status == -9
    (ended,) = all_good([waiting])
    assert "computed" in ended.said
    assert time.monotonic() - struck < 5  # a fifth of a second to look again, and the work itself
    assert Store(folder / ".pgx" / "store").damaged == []


def test_sweeping_and_verifying_while_runs_write_hurts_nobody(forking: Forking, tmp_path: Path) -> None:
    """`pgx gc` and `pgx verify`, again and again, beside runs into the same store."""
    folder = small_audit(tmp_path / "audit")
    assert forking.run(asks(folder, "first")).status == 0
    wanted = {one["node"]: one["content"] for one in ended_nodes(folder / "first")}
    changed = [small_audit(tmp_path / f"other-{number}", f"other-{number}", seed=number) for number in range(4)]
    store = {"PGX_STORE": str(folder / ".pgx" / "store")}
    begun = [forking.begin(asks(one, "out"), environment=store) for one in changed]
    sweeps: Counter[int] = Counter()
    for _ in range(6):
        swept = forking.run(["gc", folder / "audit.yaml", "--yes", "--keep-runs", "1"], environment=store)
        assert swept.status in (0, 3), swept.said  # done, or somebody is at it
        sweeps[swept.status] += 1
        verified = forking.run(["verify", folder / "first"], environment=store)
        assert verified.status == 0, verified.said
    all_good(begun)
    for one in changed:
        assert forking.run(["verify", one / "out"], environment=store).status == 0
    shutil.rmtree(folder / "first")
    assert forking.run(asks(folder, "again")).status == 0
    assert {one["node"]: one["content"] for one in ended_nodes(folder / "again")} == wanted
    assert not list((folder / ".pgx/store").glob("damaged/*"))


def test_a_store_of_a_later_version_is_not_touched(forking: Forking, tmp_path: Path) -> None:
    folder = small_audit(tmp_path / "audit")
    assert forking.run(asks(folder, "first")).status == 0
    store = folder / ".pgx" / "store"
    (store / "layout.json").write_text('{"layout":2}')
    before = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    for arguments in (asks(folder, "later"), ["gc", folder / "audit.yaml", "--yes"]):
        refused = forking.run(arguments)
        assert refused.status == 2, refused.said
        assert "layout 2; this program knows 1" in refused.said
    after = {path: path.read_bytes() for path in store.rglob("*") if path.is_file() and "locks" not in path.parts}
    assert after == {path: content for path, content in before.items() if "locks" not in path.parts}


def test_another_version_of_a_library_has_keys_of_its_own_and_the_difference_is_named(
    forking: Forking, tmp_path: Path
) -> None:
    folder = small_audit(tmp_path / "audit")
    assert forking.run(asks(folder, "first")).status == 0
    kept = {record.key for record in Store(folder / ".pgx" / "store").records()}
    upgraded = forking.run(asks(folder, "second"), changes=["another_onnxruntime"])
    assert upgraded.status == 0, upgraded.said
    ends = {one["node"]: one["status"] for one in ended_nodes(folder / "second")}
    assert ends["predict.onnx.train"] == "computed"
    now = {record.key for record in Store(folder / ".pgx" / "store").records()}
    assert kept < now  # what was kept stays
    told = forking.begin(["explain", "predict.onnx.train", folder / "audit.yaml"], changes=["another_onnxruntime"])
    told.end()
    locks = [json.loads((folder / name / "pgx.lock").read_bytes()) for name in ("first", "second")]
    differing = [line for line in json.dumps(locks[1]).split(", ") if line not in json.dumps(locks[0]).split(", ")]
    assert any("9.9.9" in line for line in differing)
