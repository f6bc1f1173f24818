"""Locks: held by an open file, given back by any death."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from pgx_compiler.evidence import locks
from pgx_compiler.evidence.locks import NoLocks, try_lock

HOLD = (
    "import sys, time; from pathlib import Path; from pgx_compiler.evidence.locks import try_lock\n"
    "held = try_lock(Path(sys.argv[1]), fleeting=True); print('held', flush=True); time.sleep(600)"
)


def test_one_holds_it_and_the_next_gets_it_after(tmp_path):
    first = try_lock(tmp_path / "a")
    assert try_lock(tmp_path / "a") is None
    first.release()
    first.release()
    with try_lock(tmp_path / "a"):
        assert try_lock(tmp_path / "a") is None
    assert try_lock(tmp_path / "a") is not None


def test_several_share_and_none_is_alone_meanwhile(tmp_path):
    one, two = (try_lock(tmp_path / "a", shared=True) for _ in range(2))
    assert one is not None
    assert two is not None
    assert try_lock(tmp_path / "a") is None
    one.release()
    assert try_lock(tmp_path / "a") is None
    two.release()
    assert try_lock(tmp_path / "a") is not None


def test_a_fleeting_lock_leaves_no_file(tmp_path):
    try_lock(tmp_path / "a", fleeting=True).release()
    assert not list(tmp_path.iterdir())


def test_sigkill_gives_a_lock_back(tmp_path):
    place = tmp_path / "a"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(place)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    assert try_lock(place, fleeting=True) is None
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with try_lock(place, fleeting=True) as held:
        assert held is not None
    holder.stdout.close()


def test_who_waited_for_a_file_that_is_gone_takes_the_new_one(tmp_path):
    """Eight threads, each taking the same fleeting lock fifty times: never two inside at once."""
    inside, most, seen = [], [], []

    def work():
        for _ in range(50):
            with try_lock(tmp_path / "a", fleeting=True, wait=True):
                inside.append(1)
                most.append(len(inside))
                seen.append(1)
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1
    assert len(seen) == 400


def test_a_link_in_a_locks_place_is_refused(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NoLocks, match="is a link"):
        try_lock(tmp_path / "a")
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
    def none(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(locks.fcntl, "flock", none)
    with pytest.raises(NoLocks, match="keeps no locks"):
        try_lock(tmp_path / "a")


def test_a_locks_file_is_not_handed_to_children(tmp_path):
    with try_lock(tmp_path / "a"):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], close_fds=False)
    try:
        # a child lets go of it when it becomes another program, which may be a moment after it was started
        with try_lock(tmp_path / "a", wait=True) as held:
            assert held is not None
        assert child.poll() is None
    finally:
        child.kill()
        child.wait()
