"""The engine on Ray: the same contract as the others, on a cluster of this machine alone."""

import hashlib
import json
import os
import shutil
import signal
import tempfile
import threading
from pathlib import Path

import pytest
from execute.conftest import eventually
from execute.families import alive, descendants, words

from pgx_compiler.diagnostics.diagnostic import AuthorError
from pgx_compiler.execute.means import Means
from runtimes.engines import ray_cluster, station
from runtimes.engines.contract import CannotOpen, Job, LimitReached, Limits, Setting, WorkerDied, WorkFailed

pytest.importorskip("ray", reason="the extra `ray` is not installed")
pytestmark = pytest.mark.frameworks

HERE = str(Path(__file__).parent)
WORK = ("engine_work", "hostile_work", "cluster_work")


class Cluster:
    """An engine on its own cluster, and what tests ask of it."""

    def __init__(self, folder):
        self.folder = folder
        self.before = descendants(os.getpid())
        self.answers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        self.engine = ray_cluster.open_engine(
            Setting(2, folder / "store", folder / "boxes", folder, modules=WORK, address="local")
        )
        self.told = []

    def begin(self, name, payload=None, lane="a", **more):
        name = name if ":" in name else f"engine_work:{name}"
        return self.engine.submit(
            Job(name, payload or {}, lane, **more), lambda done, total: self.told.append((done, total))
        )

    def put(self, name, content):
        path = self.folder / "store" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def busy(self):
        """Ray workers that have a task."""
        return [process for process, _ in descendants(os.getpid()) if words(process).startswith("ray::_done_here")]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "temporary").symlink_to(tempfile.mkdtemp(prefix="pgx-"))  # paths of Ray's sockets must be short
    stranger = folder / "stranger"
    stranger.mkdir()
    (stranger / "attrs.py").write_text("raise SystemExit('the working folder was imported from')")
    with pytest.MonkeyPatch.context() as patched:
        # where this process finds the packages and the work; an empty entry would be the working folder
        patched.setenv("PYTHONPATH", os.pathsep.join([HERE, str(Path(station.__file__).parents[2])]))
        patched.setenv("TMPDIR", str((folder / "temporary").resolve()))
        patched.syspath_prepend(HERE)
        patched.chdir(stranger)
        opened = Cluster(folder)
        yield opened
        opened.engine.close()
    shutil.rmtree((folder / "temporary").resolve(), ignore_errors=True)


def test_it_answers_tells_the_last_progress_and_keeps_its_worker(cluster):
    cluster.told.clear()
    first = cluster.begin("double", {"value": 21}).result(60)
    assert first.said["value"] == 42
    assert cluster.told == [(1, 1)]
    assert first.facts["machine"]
    assert "retries" not in first.facts
    pids = {cluster.begin("double", {"value": n}).result(60).said["pid"] for n in range(6)}
    assert len(pids) <= 2  # one for each place: what it has opened stays open


def test_linear_algebra_has_one_thread_so_that_sums_are_the_same_everywhere(cluster):
    assert cluster.begin("threads").result(60).said == {"most": 1}


def test_failures_crashes_and_limits_are_named_and_not_tried_again(cluster):
    with pytest.raises(WorkFailed, match="the value is 3") as caught:
        cluster.begin("fail", {"value": 3}).result(60)
    assert (caught.value.kind, "Traceback" in caught.value.details) == ("ValueError", True)
    with pytest.raises(WorkerDied, match="died of SIGSEGV"):
        cluster.begin("die", lane="b").result(60)
    with pytest.raises(LimitReached, match=r"time limit of 0\.5 s reached") as reached:
        cluster.begin("linger", limits=Limits(seconds=0.5)).result(60)
    assert reached.value.limit == "seconds"


def test_objects_go_out_and_files_come_back(cluster, monkeypatch):
    monkeypatch.setattr(ray_cluster, "_CHUNK", 1000)
    large = os.urandom(20_500)  # beyond what travels with the task: in 21 chunks
    cluster.put("objects/ab/small.bin", b"12")
    cluster.put("objects/ab/large.bin", large)
    for name, content in (("small", b"12"), ("large", large)):
        name = f"objects/ab/{name}.bin"
        made = cluster.begin("leave", {"object": name}, reads=(name,), apart=name).result(60)
        assert made.said == {"seen": [name]}
        assert [(path.name, path.read_bytes()) for path in made.folder.iterdir()] == [("made.bin", content * 2)]
        assert made.facts["fetched"] == 1
        made.discard()
    again = cluster.begin("leave", {"object": name}, reads=(name,), lane="another").result(60)
    assert again.facts["fetched"] == 0  # this machine has it, whichever worker asks
    assert len(cluster.engine._sent) == 1


def test_what_models_do_cannot_reach_ray(cluster):
    seen = cluster.begin("hostile_work:look_around").result(60).said
    assert not [name for name in seen["environment"] if "RAY" in name]
    ray_worker = cluster.busy() or [os.getpid()]
    assert "refused" in cluster.begin("hostile_work:signal_parent", {"pid": ray_worker[0]}).result(60).said


def test_what_libraries_print_comes_to_the_log(cluster):
    assert cluster.begin("chatter", lane="talks").result(60).said == {"value": 1}
    assert "from C as well" in (cluster.folder / "worker-talks.log").read_text()


def test_a_job_whose_ray_worker_is_killed_is_done_again(cluster):
    future = cluster.begin("hostile_work:rest", {"seconds": 1.0})
    assert eventually(cluster.busy, 30)
    os.kill(cluster.busy()[0], signal.SIGKILL)
    delivered = future.result(60)
    assert delivered.facts["retries"] == 1
    assert delivered.said["pid"]


def test_a_job_that_always_loses_its_ray_worker_ends(cluster, monkeypatch):
    monkeypatch.setattr(ray_cluster, "RETRIES", 1)
    future = cluster.begin("linger")
    struck = []
    while not future.done():
        for process in cluster.busy():
            os.kill(process, signal.SIGKILL)
            struck.append(process)
        threading.Event().wait(0.05)
    with pytest.raises(WorkerDied, match="lost on the cluster, and begun again up to 1 times"):
        future.result()
    assert len(set(struck)) == 2
    assert cluster.begin("double", {"value": 4}).result(60).said["value"] == 8


def test_workers_import_nothing_from_the_drivers_working_folder(cluster):
    # the fixture's working folder holds a module; on the path it would stand before the installed ones
    paths = cluster.begin("cluster_work:where_from").result(60).said["paths"]
    assert str(cluster.folder / "stranger") not in paths
    assert HERE in paths


def test_the_drivers_own_signals_are_its_own(cluster):
    assert {number: signal.getsignal(number) for number in cluster.answers} == cluster.answers


def test_a_machine_with_other_software_does_no_job(cluster, monkeypatch):
    monkeypatch.setitem(cluster.engine._told, "alike", {**cluster.engine._told["alike"], "numpy": "1.0"})
    with pytest.raises(WorkerDied, match=r"other software: numpy \S+ \(here 1\.0\)"):
        cluster.begin("double", {"value": 1}).result(60)


def test_all_machines_are_asked_before_any_job(cluster, monkeypatch):
    here = ray_cluster._alike(("runtimes",))
    monkeypatch.setattr(ray_cluster, "_alike", lambda packages: {**here, "keras": "1.0"})
    with pytest.raises(CannotOpen, match=r"has other software: keras .* \(here 1\.0\)"):
        cluster.engine._look_around(("runtimes",))


@pytest.mark.parametrize(
    ("address", "words"),
    [
        (None, "no Ray cluster is named"),
        ("ray://127.0.0.1:10001", "Ray's client"),
        ("127.0.0.1:1", "no Ray cluster answers"),
        ("nonsense", "no Ray cluster answers"),
    ],
)
def test_no_cluster_is_used_that_nobody_named_or_that_is_not_there(monkeypatch, address, words):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(CannotOpen, match=words) as caught:
        ray_cluster.chosen(address)
    assert caught.value.help
    monkeypatch.setenv("RAY_ADDRESS", "local")
    assert ray_cluster.chosen(None) == "local"


def test_an_engine_that_cannot_be_used_is_a_diagnostic_that_says_what_to_do():
    with pytest.raises(AuthorError) as caught:
        Means("ray", address="127.0.0.1:1").require_engine()
    assert [(str(item.code), "ray start --head" in item.help) for item in caught.value.diagnostics] == [
        ("PGX5017", True)
    ]


def test_a_machine_takes_nothing_that_was_changed_and_hands_on_files_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.syspath_prepend(HERE)
    there = station.Station("run", "node", "none", ())

    def do(name, parcels=()):
        asked = {"function": f"cluster_work:{name}", "payload": {"path": "/etc/passwd"}, "lane": "a", "apart": ""}
        asked["limits"] = {"seconds": None, "memory": None}
        header, *contents = there.do(asked, parcels, iter, 0)
        return json.loads(header), contents

    try:
        for packed in (b"changed", [b"chan", b"ged"]):
            said, _ = do("link_out", [("objects/ab/x", "0" * 64, packed)])
            assert "was changed on the way" in said["died"]
            assert not list(tmp_path.rglob("x"))
        said, contents = do("link_out")  # with no sandbox: it leaves a link, a folder, a pipe and a file
        assert (said["files"], contents) == ([["plain", hashlib.sha256(b"1").hexdigest()]], [b"1"])
        said, contents = do("leave_too_many")
        assert ("64 are taken" in said["died"], contents) == (True, [])
    finally:
        there._engine.close()
        os.close(there._lock)
    assert eventually(lambda: not list(tmp_path.glob("pgx-cluster-*/*")), 30)  # the janitor


def test_closing_ends_what_runs_and_leaves_nothing(cluster):
    future = cluster.begin("linger")
    assert eventually(cluster.busy, 30)
    ours = descendants(os.getpid()) - cluster.before
    assert len(ours) > 5
    cluster.engine.close()
    with pytest.raises(WorkerDied, match="closed"):
        future.result(0)
    with pytest.raises(WorkerDied, match="closed"):
        cluster.begin("double", {"value": 1}).result(0)
    assert eventually(lambda: not alive(ours), 20)
    assert eventually(lambda: not list((cluster.folder / "temporary").glob("pgx-cluster-*/*")), 20)
    assert not list((cluster.folder / "boxes").iterdir())
