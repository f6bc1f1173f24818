"""The schedule, on a graph drawn here; no model, no process.

::

    a --> b --> d
     \\--> c --/
    e
"""

import pytest

from pgx_compiler.execute.schedule import Schedule
from pgx_compiler.ir.graph import Graph
from pgx_compiler.ir.node import Node

GRAPH = Graph(
    [
        Node("a", "x"),
        Node("b", "x", {"p": "a"}),
        Node("c", "x", {"p": "a"}),
        Node("d", "x", {"p": "b", "q": "c"}),
        Node("e", "x"),
    ]
)


def test_runs_what_has_all_it_needs():
    schedule = Schedule(GRAPH)
    assert schedule.ready() == ["a", "e"]
    schedule.start("a")
    assert schedule.ready() == ["e"]
    schedule.finish("a")
    assert schedule.ready() == ["b", "c", "e"]
    for name in "bc":
        schedule.start(name)
    schedule.finish("b")
    assert "d" not in schedule.ready()
    schedule.finish("c")
    assert "d" in schedule.ready()


def test_a_failure_blocks_what_rests_on_it_and_nothing_else():
    schedule = Schedule(GRAPH)
    schedule.start("a")
    schedule.fail("a")
    assert {name: state for name, state in schedule.state.items() if state == "blocked"} == dict.fromkeys(
        "bcd", "blocked"
    )
    assert schedule.because["d"] == "a"
    assert schedule.ready() == ["e"]
    assert not schedule.over
    schedule.start("e")
    schedule.finish("e")
    assert schedule.over


def test_what_is_done_already_is_not_done_again():
    schedule = Schedule(GRAPH, ["a", "b", "e"])
    assert schedule.ready() == ["c"]
    assert Schedule(GRAPH, "abcde").over


def test_a_result_whose_ground_is_gone_still_counts():
    # d is known though a, b, c are not: nobody needs them computed for d's sake, but the plan asks for them by name
    schedule = Schedule(GRAPH, ["d"])
    assert schedule.state["d"] == "done"
    assert schedule.ready() == ["a", "e"]


def test_refuses_impossible_moves():
    schedule = Schedule(GRAPH)
    with pytest.raises(ValueError, match="b is waiting, not ready"):
        schedule.start("b")
    with pytest.raises(ValueError, match="a is ready, not running"):
        schedule.finish("a")
