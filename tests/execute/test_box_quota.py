"""A worker that fills the disk is ended: what it may leave in its box, and in its home, has a limit."""

import os

import pytest

from runtimes.engines import boxes
from runtimes.engines.boxes import Room, overfull
from runtimes.engines.contract import LimitReached


def given(where="box", files=0, size=1, seconds=60, **more):
    return {"where": where, "files": files, "bytes": size, "seconds": seconds, **more}


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (given(files=1_100), "limit of 8 GiB and 1,000 files of results reached"),
        (given(levels=30), "limit of 8 GiB and 1,000 files of results reached"),
        (given("home", files=10_100), "limit of 64 GiB and 10,000 files of its own reached"),
    ],
    ids=["files", "folders in folders", "home"],
)
def test_too_many_files_end_the_worker_in_words(workers, payload, words):
    with pytest.raises(LimitReached) as reached:
        workers.begin("box_work:fill", payload).result(40)
    assert str(reached.value) == words
    assert reached.value.limit == "box"
    workers.still_works()


def test_too_many_bytes_end_the_worker(workers, monkeypatch):
    monkeypatch.setattr(boxes, "RESULTS", Room(2**20, 1_000))
    with pytest.raises(LimitReached, match="1 MiB"):
        workers.begin("box_work:fill", given(files=4, size=2**19)).result(40)
    workers.still_works()


def test_what_an_honest_worker_leaves_is_within_its_room(workers):
    # looked at while it is there: twice a second more than it takes to look
    assert workers.said("box_work:fill", given(files=900, size=10, seconds=2.5)) == {"left": 900}


def test_a_hole_takes_no_room_and_what_lies_behind_a_link_is_not_counted(tmp_path):
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    for number in range(20):
        (outside / str(number)).write_bytes(b"x")
    (inside / "link").symlink_to(outside)
    with (inside / "hole").open("wb") as file:
        file.truncate(2**30)
    assert not overfull(inside, Room(2**20, 3))
    (inside / "whole").write_bytes(os.urandom(2**20 + 1))
    assert overfull(inside, Room(2**20, 3))
    assert not overfull(tmp_path / "gone", Room(0, 0))


def test_workers_print_at_the_end_of_their_log_whoever_else_prints(workers):
    flags = workers.said("box_work:flags_of_output")["flags"]
    assert all(flag & os.O_APPEND for flag in flags), flags
