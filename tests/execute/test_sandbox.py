"""What a worker can reach: its libraries, what its own jobs named, and its box; whatever its model tries."""

import os
import socket
import threading

import pytest
from execute.conftest import eventually

from runtimes.engines import sandbox
from runtimes.engines.contract import LimitReached

GIVEN = sandbox.tried_here()
ELSEWHERE = "/var/tmp/pgx-was-here"  # noqa: S108


def needs(*names):
    lacking = [name for name in names if name in GIVEN.lacks]
    return pytest.mark.skipif(
        bool(lacking), reason=f"this host lacks: { {name: GIVEN.lacks[name] for name in lacking} }"
    )


@pytest.fixture
def canary(tmp_path):
    path = tmp_path / "canary.txt"
    path.write_text("a secret")
    return path


@needs("files")
@pytest.mark.parametrize("place", ["beside", "/etc/passwd", "~/.profile", "/proc/1/cmdline", "the rest of the store"])
def test_files_outside_are_not_read(workers, canary, tmp_path, place):
    (tmp_path / "store/objects/ab").mkdir(parents=True)
    (tmp_path / "store/objects/ab/other").write_text("another audit's evidence")
    paths = {"beside": canary, "the rest of the store": tmp_path / "store/objects/ab/other"}
    path = str(paths.get(place, os.path.expanduser(place)))
    if not os.path.exists(path):
        pytest.skip(f"there is no {path} here")
    assert workers.said("read", {"path": path}) == {"refused": "Permission denied"}


@needs("files")
def test_nothing_is_written_outside_the_box(workers, canary, tmp_path):
    for path in (tmp_path / "new", canary, ELSEWHERE, tmp_path / "store/objects/ab/new"):
        assert "refused" in workers.said("write", {"path": str(path)})
    assert canary.read_text() == "a secret"
    assert not (tmp_path / "new").exists()
    assert not os.path.exists(ELSEWHERE)


@needs("files")
def test_what_a_job_reads_cannot_be_changed_and_others_cannot_be_linked(workers, canary, tmp_path):
    (tmp_path / "store/objects/ab").mkdir(parents=True)
    (tmp_path / "store/objects/ab/named").write_text("evidence")
    reads = ("objects/ab/named",)
    view = tmp_path / "boxes"
    assert workers.said("look_around", reads=reads)["seen"] == ["named"]
    shown = next(view.glob("engine-*/worker-*/view/objects/ab/named"))
    assert "refused" in workers.said("write", {"path": str(shown)}, reads=reads)
    assert "refused" in workers.said("link", {"path": str(canary)})
    assert (tmp_path / "store/objects/ab/named").read_text() == "evidence"


@needs("network")
@pytest.mark.parametrize("kind", ["SOCK_STREAM", "SOCK_DGRAM"])
def test_no_address_is_reached(workers, kind):
    with socket.socket(socket.AF_INET, getattr(socket, kind)) as listener:
        listener.bind(("127.0.0.1", 0))
        if kind == "SOCK_STREAM":
            listener.listen()
        listener.settimeout(0.3)
        assert "refused" in workers.said("connect", {"kind": kind, "port": listener.getsockname()[1]})
        with pytest.raises(TimeoutError):
            listener.accept() if kind == "SOCK_STREAM" else listener.recv(10)


@needs("processes")
def test_sockets_of_other_programs_are_not_reached(workers, tmp_path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "agent"))
        listener.listen()
        assert "refused" in workers.said("connect_by_path", {"path": str(tmp_path / "agent")})


@needs("processes")
def test_no_other_process_is_made_or_signalled(workers):
    assert workers.said("fork") == {"refused": "Operation not permitted", "made": []}
    assert "refused" in workers.said("run_a_program")
    assert "refused" in workers.said("outlive")
    told = threading.Event()
    assert "refused" in workers.said("signal_parent", {"pid": os.getpid()})
    assert not told.is_set()


def test_the_environment_is_clean_and_the_place_its_own(start, monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "abc123")
    monkeypatch.setenv("HTTPS_PROXY", "http://user:pass@proxy")
    monkeypatch.setenv("TF_XLA_FLAGS", "--xla")
    engine = start()
    found = engine.said("look_around")
    environment = found["environment"]
    assert not {"AWS_SECRET_ACCESS_KEY", "HTTPS_PROXY", "TF_XLA_FLAGS", "SSH_AUTH_SOCK"} & set(environment)
    assert environment["HOME"].startswith(str(tmp_path / "boxes"))
    assert environment["TMPDIR"] == environment["HOME"] != os.environ.get("HOME")
    assert environment["OMP_NUM_THREADS"] == "1"
    assert found["folder"] == found["box"]
    assert found["mask"] == 0o077


def test_nothing_is_inherited(workers):
    with open(__file__) as held:
        os.set_inheritable(held.fileno(), True)
        descriptors = workers.said("look_around")["descriptors"]
    # standard streams, the line to the engine, the same buffered, and the listing itself
    assert len(descriptors) <= 6
    assert max(descriptors, default=0) < 8


def test_two_models_never_share_a_process(workers):
    pids = [workers.said("rest", {"seconds": 0}, apart=model)["pid"] for model in ("a", "b", "a")]
    assert pids[0] == pids[2] != pids[1]


def test_says_what_was_on(start):
    delivered = start().begin("engine_work:double", {"value": 1}).result(60)
    assert delivered.facts["sandbox"] == ", ".join(sorted(GIVEN.on)) or "none"
    assert start(sandbox="none").begin("engine_work:double", {"value": 1}).result(60).facts["sandbox"] == "none"


@needs("files")
def test_without_a_sandbox_the_same_work_reads_the_canary(start, canary):
    # the other tests see the sandbox refuse, and not a mistake of their own
    assert start(sandbox="none").said("read", {"path": str(canary)}) == {"done": "a secret"}


@pytest.mark.parametrize("kind", ["symlink", "fifo", "huge", "deep", "closed"])
def test_what_it_leaves_in_its_box_is_taken_out_of_its_reach_and_removed(workers, tmp_path, kind):
    work = workers.begin("litter", {"kind": kind, "levels": 3000})
    if kind == "deep" and isinstance(work.exception(60), LimitReached):
        # on a busy machine the look at what is in the box comes while it is still digging: 1,000 files are the limit
        assert eventually(lambda: not list(tmp_path.glob("boxes/engine-*/worker-*/boxes/*")))
        workers.still_works()
        return
    delivered = work.result(60)
    assert not list(tmp_path.glob("boxes/engine-*/worker-*/boxes/*"))
    if kind in ("symlink", "fifo") and "files" in GIVEN.on:
        assert delivered.said == {"refused": "Permission denied"}
    if kind == "huge" and "limits" in GIVEN.on:
        assert delivered.said == {"refused": "File too large"}
    delivered.discard()
    assert not delivered.folder.exists()
    workers.still_works()
    workers.close()
    assert not list(tmp_path.glob("boxes/engine-*"))


def test_what_a_killed_engine_left_is_swept_by_the_next(start, tmp_path):
    left = tmp_path / "boxes/engine-dead"
    left.mkdir(parents=True)
    (left / "lock").touch()
    first = start()
    assert eventually(lambda: not left.exists())
    start()
    first.still_works()
