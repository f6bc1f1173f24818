"""Engines of processes, opened in a test's own folder."""

import time
from pathlib import Path

import pytest

from runtimes.engines import processes
from runtimes.engines.contract import Job, Limits, Setting


class Processes:
    """An engine, and the few things that tests ask of it."""

    def __init__(self, folder, **setting):
        self.folder = folder
        self.engine = processes.open_engine(
            Setting(**{"jobs": 2, "store": folder / "store", "boxes": folder / "boxes", "logs": folder} | setting)
        )
        self.close = self.engine.close

    def begin(self, name, payload=None, lane="a", progress=lambda done, total: None, **more):
        name = name if ":" in name else f"hostile_work:{name}"
        return self.engine.submit(Job(name, payload or {}, lane, **more), progress)

    def said(self, name, payload=None, **more):
        delivered = self.begin(name, payload, **more).result(60)
        delivered.discard()
        return delivered.said

    def still_works(self):
        assert self.said("engine_work:double", {"value": 21}, lane="b")["value"] == 42


@pytest.fixture
def start(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    opened = []

    def open_engine(**setting):
        opened.append(Processes(tmp_path, **setting))
        return opened[-1]

    yield open_engine
    for one in opened:
        one.close()


@pytest.fixture
def workers(start):
    return start()


@pytest.fixture
def limited():
    return lambda **limits: {"limits": Limits(**limits)}


def eventually(holds, seconds=5.0):
    """Wait until something holds; False where it does not in time."""
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True
