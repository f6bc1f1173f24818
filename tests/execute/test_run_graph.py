"""A graph brought to its end: what fails stops what rests on it, limits are said, and two runs compute a key once."""

import threading
from functools import partial
from pathlib import Path

import pytest

from pgx_compiler.diagnostics.diagnostic import AuthorError
from pgx_compiler.evidence.canonical import digest
from pgx_compiler.evidence.store import Store
from pgx_compiler.execute import run as running
from pgx_compiler.execute.claims import Claims
from pgx_compiler.execute.means import Means
from pgx_compiler.execute.run import Policy, run_graph
from pgx_compiler.ir.graph import Graph
from pgx_compiler.ir.node import Node
from runtimes.engines import sandbox
from runtimes.engines.contract import Limits

WORK = "graph_work:"


class Watching:
    def __init__(self):
        self.at_once, self.most, self.order = 0, 0, []

    def started(self, node):
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        self.order.append(node.id)

    def progressed(self, node, done, total):
        pass

    def ended(self, outcome):
        self.at_once -= 1


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.setattr(running, "PERFORM", WORK + "perform")

    def ran(*nodes, engine="processes", policy=None, store="store"):
        watching = Watching()
        kept = Store(tmp_path / store)
        opened = partial(Means(engine, 2).open_engine, kept.root, tmp_path)
        graph = Graph([node.but(key=digest([node.id, node.params])) for node in nodes])
        return run_graph(graph, kept, opened, watching, policy), watching, graph

    return ran


def node(name, does="work", *needs, **fields):
    return Node(name, "x", {f"p{n}": needed for n, needed in enumerate(needs)}, {"does": does}, step=name, **fields)


@pytest.mark.parametrize(
    ("does", "words"),
    [
        ("hang", r"time limit of 0\.5 s reached in step bad; `pgx run --timeout` allows more"),
        ("swell", "memory limit of 256 MiB reached in step bad; `pgx run --memory` allows more"),
        ("crash", "died of SIGSEGV"),
        ("nothing", "its result was refused: the worker left no result"),
        ("raise", "ValueError: as asked"),
    ],
)
def test_a_node_that_goes_wrong_is_named_and_the_rest_goes_on(run, does, words):
    import re

    limits = Limits(0.5 if does == "hang" else 30, 256 * 2**20)
    result, _, _ = run(node("bad", does), node("rests", "work", "bad"), node("other"), policy=Policy(limits))
    assert {name: outcome.status for name, outcome in result.outcomes.items()} == {
        "bad": "failed", "rests": "blocked", "other": "computed",
    }  # fmt: skip
    assert re.search(words, result.outcomes["bad"].reason)
    assert "rests on `bad`" in result.outcomes["rests"].reason
    assert not result.complete


def test_the_first_failure_ends_a_run_that_fails_fast(run):
    nodes = [node("a", "raise"), *(node(f"b{n}", "rest") for n in range(6))]
    result, _, _ = run(*nodes, policy=Policy(fail_fast=True, ahead=2))
    assert result.outcomes["a"].status == "failed"
    stopped = [outcome for outcome in result.outcomes.values() if outcome.status == "blocked"]
    assert len(stopped) >= 4
    assert all("--fail-fast" in outcome.reason for outcome in stopped)
    assert len(result.outcomes) == 7


def test_what_needs_more_memory_together_than_there_is_runs_one_after_the_other(run):
    large = [node(f"n{n}", cost={"bytes": 600}) for n in range(4)]
    assert run(*large, policy=Policy(room=1000))[1].most == 1
    assert run(*large, policy=Policy(room=2000), store="other")[1].most > 1


def test_what_is_long_does_not_begin_last(run):
    nodes = [node("a"), node("b"), node("long", cost={"forward": 1000})]
    assert run(*nodes, policy=Policy(ahead=1))[1].order[0] == "long"


def test_both_engines_leave_the_same_bytes(run, tmp_path):
    nodes = [node("a"), node("b"), node("c", "work", "a", "b"), node("d", "work", "c")]
    contents = []
    for engine in ("inline", "processes"):
        result, _, _ = run(*nodes, engine=engine, store=engine)
        contents.append({name: outcome.record.content for name, outcome in result.outcomes.items()})
    assert contents[0] == contents[1]


def test_a_key_that_another_run_is_at_work_on_is_waited_for(run, tmp_path):
    _, _, graph = run(node("z"), engine="inline", store="elsewhere")
    other = Claims(Store(tmp_path / "store"))
    assert other.take(graph["z"].key) is True
    done = []
    waiting = threading.Thread(target=lambda: done.append(run(node("z"))))
    waiting.start()
    waiting.join(0.5)
    assert waiting.is_alive()
    other.close()
    waiting.join(60)
    assert done[0][0].outcomes["z"].status == "computed"


def test_a_sandbox_that_is_required_and_not_there_is_a_diagnostic(monkeypatch):
    with pytest.raises(AuthorError) as caught:
        Means("inline", sandbox="required").require_sandbox()
    assert [(item.code.name, "auto" in item.help) for item in caught.value.diagnostics] == [("sandbox-not-there", True)]
    monkeypatch.setattr(sandbox, "tried_here", lambda: sandbox.Confined({}, {"files": "no Landlock in this kernel"}))
    with pytest.raises(AuthorError, match="no Landlock in this kernel"):
        Means(sandbox="required").require_sandbox()
    monkeypatch.setattr(sandbox, "tried_here", sandbox.Confined)
    assert Means(sandbox="required").require_sandbox() is None
