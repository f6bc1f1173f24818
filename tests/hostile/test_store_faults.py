"""Every call of a small day of the store fails, in every way, and every call is its last: nothing acknowledged is lost (D2, D5, D8 to
D11). The same with the kernel's own errors: ``benchmarks/execution/syscall_faults.py``; of power cuts: tests/evidence/test_crash_states.
"""

import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pgx_compiler.evidence.canonical import digest
from pgx_compiler.evidence.store import Store
from tests.hostile.forking import Ended, Forking
from tests.hostile.store_work import KEYS, MODEL, work

CALLS = ["write", "fsync", "fchmod", "ftruncate", "create", "open", "mkdir", "replace", "unlink", "flock", "stat"]
FAULTS: dict[str, list[str]] = {
    "write": ["ENOSPC", "EIO", "EDQUOT", "short"],
    "fsync": ["EIO", "ENOSPC", "EDQUOT"],
    "mkdir": ["ENOSPC", "EACCES", "EROFS"],
    "replace": ["EXDEV", "EACCES", "ENOSPC"],
    "create": ["ENOSPC", "EMFILE", "EACCES", "EROFS", "EDQUOT"],
    "open": ["EMFILE", "EACCES", "ENFILE"],
    "fchmod": ["EPERM"],
    "unlink": ["EACCES", "EROFS"],
    "stat": ["EACCES", "EIO"],
    "read": ["EIO"],
    "pread": ["EIO"],
    "flock": ["ENOLCK"],
}
"""Call to the errors that it meets, turn by turn. A call that a signal interrupts (EINTR) is begun again below Python (PEP 475): no
function here ever sees it."""


class Day:
    """One place, and the work done in it."""

    def __init__(self, forking: Forking, folder: Path) -> None:
        self._forking, self.folder = forking, folder

    def anew(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        (self.folder / "model.onnx").write_bytes(MODEL)

    def work(self, **more: Any) -> Ended:
        told = self.folder.with_name("acknowledged")
        told.unlink(missing_ok=True)
        return self._forking.run([], function="store_work:quietly", given=[str(self.folder), str(told)], **more)

    def acknowledged(self) -> list[list[str]]:
        return [json.loads(line) for line in self.folder.with_name("acknowledged").read_text().splitlines()]

    def fault(self, **how: Any) -> dict[str, Any]:
        return {"place": str(self.folder), **how}

    def holds(self, acknowledged: list[list[str]]) -> None:
        """Everything that was said to be done is there, and whole."""
        store = Store(self.folder / "store")
        seals = {entry.seal for entry in store.ledger.entries()}
        for what, *more in acknowledged:
            if what == "file":
                assert digest(store.get(more[0], more[1])) == more[0]
            elif what == "key":
                record = store.find(more[0])
                assert record is not None
                assert record.content == more[1]
                assert store.whole(record)
            elif what == "seal":
                assert more[0] in seals
        assert store.damaged == []


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    """In memory, where a flush costs nothing: what is tested is the order of the calls, not the disk."""
    notes = tmp_path_factory.mktemp("notes")
    memory = Path("/dev/shm")  # noqa: S108
    place = Path(tempfile.mkdtemp(dir=memory)) if os.access(memory, os.W_OK) else tmp_path_factory.mktemp("store")
    opened = Forking(notes)
    opened.ask({"do": "import", "modules": ["store_work", "striking"]})
    yield Day(opened, place / "place")
    opened.close()
    shutil.rmtree(place)


@pytest.fixture(scope="module")
def whole(day: Day) -> dict[str, str]:
    """What an undisturbed day leaves: key to content."""
    day.anew()
    assert day.work().status == 0
    day.holds(day.acknowledged())
    assert [what for what, *_ in day.acknowledged()] == ["file", "key", "key", "key", "key", "seal", "seal", "done"]
    return contents(day)


def contents(day: Day) -> dict[str, str]:
    return {record.key: record.content for record in Store(day.folder / "store").records()}


def goes_on(day: Day, whole: dict[str, str], case: object) -> None:
    """The next day comes to its end, and leaves what an undisturbed one leaves."""
    work(str(day.folder), str(day.folder.with_name("once more")))
    assert contents(day) == whole, case
    assert list(Store(day.folder / "store").ledger.entries()), case


def calls_of(day: Day, calls: list[str]) -> int:
    day.anew()
    return len(day.work(fault=day.fault(how="count", calls=calls)).struck)


def test_every_call_fails_and_nothing_acknowledged_is_lost(day: Day, whole: dict[str, str]) -> None:
    ends: Counter[tuple[str, str, int]] = Counter()
    for call, errors in FAULTS.items():
        count = calls_of(day, [call])
        assert count, call
        for when in range(1, max(count, len(errors)) + 1):
            how, at = errors[when % len(errors)], (when - 1) % count + 1
            day.anew()
            ended = day.work(fault=day.fault(how=how, calls=[call], when=at))
            case = (how, call, at, ended.said)
            assert len(ended.struck) == 1, case  # it really happened
            assert "Traceback" not in ended.said, case
            # what a worker has left and cannot be read, there or in our copy, is a failure of its node
            of_worker = any(part in ended.struck[0]["path"] for part in ("/box/", "/incoming/"))
            assert ended.status in ((0, 2, 3) if of_worker else (0, 2)), case
            assert how != "short" or ended.status == 0, case
            ends[call, how, ended.status] += 1
            day.holds(day.acknowledged())
            goes_on(day, whole, case)
    assert {(call, how) for call, how, _ in ends} == {(call, how) for call, errors in FAULTS.items() for how in errors}
    assert sum(count for (_, _, status), count in ends.items() if status == 2) > 100


def test_a_disk_that_stays_full_from_any_write_on(day: Day, whole: dict[str, str]) -> None:
    calls = ["write", "fsync", "mkdir", "replace"]
    for when in range(1, calls_of(day, calls) + 1, 2):
        day.anew()
        ended = day.work(fault=day.fault(how="ENOSPC", calls=calls, when=when, lasting=True))
        assert ended.struck
        assert ended.status == 2, (when, ended.said)
        assert "No space left on device" in ended.said
        day.holds(day.acknowledged())
        goes_on(day, whole, when)


def test_every_call_may_be_the_last(day: Day, whole: dict[str, str]) -> None:
    """SIGKILL before the n-th call that reaches the store, for all n."""
    count = calls_of(day, CALLS)
    assert count > 60
    for when in range(1, count + 1):
        day.anew()
        ended = day.work(fault=day.fault(how="kill", calls=CALLS, when=when))
        assert ended.status == -9, when
        assert len(ended.struck) == 1
        if day.folder.with_name("acknowledged").exists():
            day.holds(day.acknowledged())
        goes_on(day, whole, when)
    assert set(whole) == set(KEYS)
