"""A real audit on a real Ray cluster of three machines, one of which is killed half-way: the same evidence as anywhere.

`make cluster-test` runs it: it takes a minute or two, and several processes beside those that compute.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from execute.families import alive, descendants, words
from tests_project import make_project, write_spec

from pgx_compiler.execute.events import Ended, Started, read_events

pytest.importorskip("ray", reason="the extra `ray` is not installed")
pytestmark = [
    pytest.mark.frameworks,
    pytest.mark.skipif(not os.environ.get("PGX_CLUSTER_TEST"), reason="`make cluster-test` runs it: it takes minutes"),
]

ROOT = Path(__file__).parents[2]
SPEC = {
    "strategy": None,
    "precaution": [{"use": "class_balance"}, {"use": "correlation"}],
    "explain.rows": {"from": "test", "sample": 32},
    "explain.fill": {"kind": "background", "size": 40},
    "explain.perturbation": [{"use": "kernel_shap", "with": {"samples": 2048}}, {"use": "occlusion"}],
    "explain.gradient": [{"use": "saliency"}, {"use": "integrated_gradients", "with": {"steps": 16}}],
    "tuning.trials": 3,
    "tuning.fit": {"epochs": 3},
    "tuning.explain.rows": 4,
    "factsheet": {"formats": ["json"]},
}
"""Both directions and a short search of the credit network."""
MEASURED = {"seconds", "started", "ended", "host", "sandbox"}
"""What two runs of the same plan may tell differently."""


def begin(spec, name, *more, **variables):
    folder = spec.parent / "runs" / name
    program = [sys.executable, "-m", "pgx_compiler", "run", str(spec), "-o", str(folder), *more]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PGX_STORE": str(spec.parent / f"store-{name}"), **variables}
    log = (spec.parent / f"{name}.txt").open("wb")
    with log:
        return folder, subprocess.Popen(program, stdout=log, stderr=log, env=env, cwd=spec.parent)


def ended(folder):
    """Node to the last that was heard of it."""
    return {event.node: event for event in read_events(folder / "events.jsonl") if isinstance(event, Ended)}


def sheet(folder):
    return _without(json.loads((folder / "factsheet.json").read_bytes()))


def _without(said):
    if isinstance(said, dict):
        return {name: _without(item) for name, item in said.items() if name not in MEASURED}
    return [_without(item) for item in said] if isinstance(said, list) else said


class Cluster:
    """A head that computes nothing, and two machines with a core each."""

    def __init__(self):
        from ray.cluster_utils import Cluster as Simulated

        self.simulated = Simulated(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        self.machines = [self.simulated.add_node(num_cpus=1) for _ in range(2)]
        self.simulated.wait_for_nodes()
        self.address = self.simulated.address
        self.seen = set()

    def raylet(self, machine):
        return machine.all_processes["raylet"][0].process.pid

    def look(self):
        """Remember every process of the machines."""
        self.seen |= descendants(*(self.raylet(machine) for machine in self.machines if machine.all_processes))
        return self.seen

    def kill(self, machine):
        """As when the power fails: everything of it at once, and no time to say anything."""
        lost = descendants(self.raylet(machine)) | {(self.raylet(machine), 0)}
        for process, _ in sorted(lost):
            os.kill(process, signal.SIGKILL)
        self.simulated.remove_node(machine, allow_graceful=False)
        self.machines.remove(machine)


@pytest.fixture
def short_folder():
    """Ray's sockets lie below it: their paths must be short."""
    folder = Path(tempfile.mkdtemp(prefix="pgx-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def cluster(short_folder, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(short_folder))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # else it would listen to the network
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    opened = Cluster()
    yield opened
    opened.simulated.shutdown()


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    return write_spec(make_project(tmp_path_factory.mktemp("project")), "german-credit", SPEC, "audit.yaml")


@pytest.fixture(scope="module")
def undisturbed(spec):
    """Engine to the folder of a run that nothing happened to."""
    found = {}
    for engine in ("inline", "processes"):
        found[engine], run = begin(spec, engine, "--engine", engine)
        assert run.wait(900) in (0, 1), (spec.parent / f"{engine}.txt").read_text()
    return found


def at_work(short_folder, machine):
    """Whether a job is in a machine's hands: its box is there."""
    return any(short_folder.glob(f"pgx-cluster-*/*-{machine.node_id[:16]}/process-*/boxes/*/worker-*/boxes/box-*"))


def test_a_killed_machine_changes_nothing_but_the_time(spec, undisturbed, cluster, short_folder):
    total = len(ended(undisturbed["inline"]))
    folder, run = begin(spec, "ray", "--engine", "ray", "--address", cluster.address, "-j", "8")
    try:
        victim, until = cluster.machines[1], time.monotonic() + 900
        while run.poll() is None and time.monotonic() < until:
            cluster.look()
            done = ended(folder) if (folder / "events.jsonl").exists() else {}
            if total / 3 <= len(done) and at_work(short_folder, victim):
                break
            time.sleep(0.02)
        assert run.poll() is None, (
            f"the run ended before the machine could be killed:\n{(spec.parent / 'ray.txt').read_text()}"
        )
        cluster.kill(victim)
        before = set(ended(folder))
        assert len(before) < total
        while run.poll() is None and time.monotonic() < until:
            cluster.look()
            time.sleep(0.1)
    finally:
        run.kill()
    status = run.wait()
    found = ended(folder)
    said = (spec.parent / "ray.txt").read_text()

    # it is complete, and the same to the byte
    assert status in (0, 1), said
    assert {event.status for event in found.values()} == {"computed"}
    for engine, other in undisturbed.items():
        contents = {name: event.content for name, event in ended(other).items()}
        assert {name: event.content for name, event in found.items()} == contents, engine
        assert sheet(folder) == sheet(other), engine

    # it really was struck, and what had been finished was not done again
    retried = {name for name, event in found.items() if event.worker.get("retries")}
    assert retried
    assert not retried & before
    assert len(retried) <= 2  # its one core had one job; another may have been on its way
    started = [event.node for event in read_events(folder / "events.jsonl") if isinstance(event, Started)]
    assert len(started) == len(set(started)) == total

    # both machines had worked, and each object went to a machine once
    machines = {event.worker["machine"] for event in found.values()}
    assert len(machines) == 2
    objects = len(list((spec.parent / "store-ray" / "objects").rglob("*.*")))
    for machine in machines:
        brought = sum(event.worker["fetched"] for event in found.values() if event.worker["machine"] == machine)
        assert brought <= objects

    # nothing of the run is left, and the cluster is
    until = time.monotonic() + 30
    while left := [words(number) for number, _ in alive(cluster.seen) if _of_the_run(words(number))]:
        assert time.monotonic() < until, left
        time.sleep(0.1)
    assert not list(short_folder.glob("pgx-cluster-*/*"))
    os.kill(cluster.raylet(cluster.machines[0]), 0)

    # running again on what is left of the cluster finds everything done
    again, run = begin(
        spec, "again", "--engine", "ray", "--address", cluster.address, PGX_STORE=str(spec.parent / "store-ray")
    )
    assert run.wait(300) == status
    assert {event.status for event in ended(again).values()} == {"cached"}


def _of_the_run(said):
    """Whether a command line is that of a Ray worker or of what it started, not of the machine's own services."""
    return (said.startswith("ray::") and "Agent" not in said) or "runtimes.engines" in said
