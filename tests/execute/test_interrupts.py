"""Signals to a run: it ends in order within three seconds, leaves no process, and the next run goes on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from execute.conftest import eventually

PROGRAM = """
import sys
from pathlib import Path
from concurrent.futures import wait
from pgx_compiler.execute.interruption import STATUS, interruptible
from runtimes.engines import processes
from runtimes.engines.contract import Job, Setting

folder = Path(sys.argv[1])
try:
    with interruptible():
        engine = processes.open_engine(Setting(2, folder / "store", folder / "boxes", folder))
        try:
            told = lambda done, total: print("begun", flush=True)
            under_way = [engine.submit(Job("hostile_work:" + name, {"seconds": 600}, lane), told)
                         for name, lane in (("spin_and_ignore", "a"), ("spin", "b"))]
            while wait(under_way, 0.5).not_done:
                pass  # as a run does: a signal that another thread is handed does not wake this one
        finally:
            if sys.argv[2:] == ["slow"]:
                import time
                time.sleep(60)
            engine.close()
            print("closed", flush=True)
except KeyboardInterrupt as error:
    print(error, flush=True)
    sys.exit(STATUS)
"""


@pytest.fixture
def begun(tmp_path):
    """A program whose two workers are in loops that listen to no signal, and the processes that it has."""
    programs = []

    def begin(*more):
        path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[2])])
        program = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(tmp_path), *more],
            stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path},
        )  # fmt: skip
        programs.append(program)
        assert [program.stdout.readline() for _ in range(2)] == ["begun\n"] * 2
        family = _below(program.pid)
        assert len(family) >= 4  # two nurseries, two workers
        return program, family

    yield begin
    for program in programs:
        program.kill()
        program.wait()
        program.stdout.close()


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_the_first_signal_ends_in_order_within_three_seconds(begun, tmp_path, name):
    program, family = begun()
    began = time.monotonic()
    program.send_signal(getattr(signal, name))
    assert program.wait(30) == 130
    assert time.monotonic() - began < 3
    assert program.stdout.read() == f"closed\n{name}\n"
    assert not _alive(family)
    assert not list(tmp_path.glob("boxes/engine-*"))


def test_the_second_signal_ends_at_once(begun):
    program, family = begun("slow")
    program.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert program.poll() is None
    program.send_signal(signal.SIGINT)
    assert program.wait(2) == 130
    assert "closed" not in program.stdout.read()
    assert eventually(lambda: not _alive(family), 1)


def test_a_kill_leaves_no_process_within_a_second(begun):
    program, family = begun()
    program.kill()
    program.wait()
    assert eventually(lambda: not _alive(family), 1)


def test_a_stopped_run_goes_on(begun):
    program, family = begun()
    program.send_signal(signal.SIGSTOP)
    assert eventually(lambda: _state(program.pid) == "T")
    program.send_signal(signal.SIGCONT)
    assert eventually(lambda: _state(program.pid) != "T")
    assert sorted(_alive(family)) == sorted(family)
    program.send_signal(signal.SIGTERM)
    assert program.wait(30) == 130


def _below(process):
    found = []
    for thread in os.listdir(f"/proc/{process}/task"):
        with open(f"/proc/{process}/task/{thread}/children") as told:
            for child in map(int, told.read().split()):
                found += [child, *_below(child)]
    return found


def _alive(family):
    return [process for process in family if _state(process) not in (None, "Z")]


def _state(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return None
