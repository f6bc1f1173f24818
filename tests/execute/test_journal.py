"""events.jsonl: stable names, one order, nothing torn that a reader stumbles over, and never the reason why a run fails."""

import errno
import json
import os
import threading
from concurrent.futures import Future
from pathlib import Path

import jsonschema
import pytest

from pgx_compiler.evidence.store import Record, Store
from pgx_compiler.execute import journal as journal_module
from pgx_compiler.execute.events import Answer, Ended, Event, RunEnded, events_schema, last_run, read_events
from pgx_compiler.execute.journal import Journal, Setup
from pgx_compiler.execute.run import Outcome, run_graph
from pgx_compiler.execute.withheld import LONGEST, without_secrets
from pgx_compiler.ir.graph import Graph
from pgx_compiler.ir.node import Node
from pgx_compiler.schema import schema_text
from runtimes.engines.contract import Delivered, Job, Progress, WorkFailed

SETUP = Setup("0.1.0", "digits", "ab" * 32, "inline", 2)
MODEL = Node("model", "model")
PREDICT = Node("predict", "predict", key="k1", runtime="onnx_runtime", cost={"forward": 90, "backward": 0, "bytes": 8})
SHAP = Node("explain.shap", "attribute", method="kernel_shap", step="shap", key="k2", cost={"forward": 500})
AGAIN = Node("explain.shap.again", "attribute", method="kernel_shap", step="shap", key="k3", cost={"forward": 500})
GRAPH = Graph([MODEL, PREDICT, SHAP, AGAIN])


def record(key: str, forward: int) -> Record:
    return Record(key, "c" * 64, "d" * 64, None, {}, {"forward": forward, "backward": 0}, 0.5)


def whole_run(path: Path, listeners: tuple[journal_module.Listener, ...] = ()) -> Journal:
    with Journal(path, GRAPH, SETUP, listeners) as journal:
        journal.ended(Outcome(PREDICT, "cached", record("k1", 90)))
        journal.started(SHAP)
        journal.progressed(SHAP, 1, 4)
        journal.progressed(SHAP, 2, 4)  # within a second of the one before: not told
        journal.progressed(SHAP, 4, 4)
        journal.ended(
            Outcome(SHAP, "computed", record("k2", 480), facts={"retries": 1, "worker": "w1", "more": {"no": 1}})
        )
        journal.started(AGAIN)
        journal.ended(Outcome(AGAIN, "failed", None, "the worker died of SIGSEGV", "WorkerDied"))
        journal.finish(complete=False, verdict="incomplete", files=["factsheet.json"])
    return journal


def test_a_run_tells_what_happened_in_order_by_names_that_the_schema_holds(tmp_path: Path) -> None:
    heard: list[Event] = []
    whole_run(tmp_path / "events.jsonl", (heard.append,))
    lines = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    names = ["run_started", "ended", "started", "progress", "progress", "ended", "started", "ended", "run_ended"]
    assert [line["event"] for line in lines] == names
    assert [line["sequence"] for line in lines] == list(range(9))
    assert len({line["run_id"] for line in lines}) == 1
    for line in lines:
        jsonschema.validate(line, events_schema(), cls=jsonschema.Draft202012Validator)
    assert (
        [json.loads(event.line()) for event in heard]
        == lines
        == [json.loads(event.line()) for event in read_events(tmp_path / "events.jsonl")]
    )
    first, last = lines[0], lines[-1]
    assert (first["nodes"], first["steps"], first["engine"], first["jobs"]) == (3, {"shap": 2}, "inline", 2)
    assert (first["schema"], first["plan"]) == ("pgx-events/1", "ab" * 32)
    assert lines[2]["planned"] == {"forward": 500}
    assert (lines[4]["done"], lines[4]["total"], lines[4]["unit"], lines[4]["spent"]) == (4, 4, "rows", {})
    assert lines[5]["worker"] == {"retries": 1, "worker": "w1"}
    assert (lines[7]["status"], lines[7]["reason"], lines[7]["kind"]) == (
        "failed",
        "the worker died of SIGSEGV",
        "WorkerDied",
    )
    assert (last["complete"], last["verdict"], last["files"]) == (False, "incomplete", ["factsheet.json"])
    assert last["counts"] == {"cached": 1, "computed": 1, "failed": 1}
    # what the store had is neither planned nor spent: 2 × 500 rows planned, 480 spent
    assert (last["planned"]["forward"], last["spent"]["forward"]) == (1000, 480)


def test_the_schema_names_every_event_and_refuses_others() -> None:
    schema = json.loads(schema_text("events"))
    jsonschema.Draft202012Validator.check_schema(schema)
    named = {schema["$defs"][one["$ref"].rpartition("/")[2]]["properties"]["event"]["const"] for one in schema["oneOf"]}
    assert named == {"run_started", "started", "progress", "ended", "run_ended", "answer"}
    for definition in schema["$defs"].values():
        assert {"event", "run_id", "sequence", "time"} <= set(definition["required"])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"event": "begun"}, schema)


def test_runs_into_one_file_are_told_apart_and_a_torn_line_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    first = whole_run(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-25])  # killed in the middle of its last line
    second = whole_run(path)
    assert path.read_bytes().startswith(whole[:-25] + b"\n{")
    events = list(read_events(path))
    assert [event.run_id for event in events] == [first.run_id] * 8 + [second.run_id] * 9
    assert [event.sequence for event in last_run(path)] == list(range(9))


@pytest.mark.parametrize("cut", range(1, 400, 13))
def test_wherever_a_run_is_killed_every_whole_line_is_read(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "events.jsonl"
    whole_run(path)
    kept = path.read_bytes()[:-cut]
    path.write_bytes(kept)
    # a line whose end alone is missing is whole as well
    lines = kept.split(b"\n")
    whole = len(lines) - 1 + (lines[-1].endswith(b"}") and lines[-1].count(b"{") == lines[-1].count(b"}"))
    assert len(list(read_events(path))) == whole


@pytest.mark.parametrize(("error", "reason"), [(KeyboardInterrupt(), "interrupted"), (OSError("full"), "OSError")])
def test_a_run_that_is_cut_short_says_so(tmp_path: Path, error: BaseException, reason: str) -> None:
    def cut_short() -> None:
        with Journal(tmp_path / "e.jsonl", GRAPH, SETUP) as journal:
            journal.started(SHAP)
            raise error

    with pytest.raises(type(error)):
        cut_short()
    last = last_run(tmp_path / "e.jsonl")[-1]
    assert isinstance(last, RunEnded)
    assert (last.complete, last.verdict, last.reason) == (False, None, reason)


def test_a_full_disk_costs_the_rest_of_the_events_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Event] = []
    calls = []

    def full(descriptor: int, data: bytes) -> int:
        calls.append(data)
        if len(calls) > 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(descriptor, data)

    original = os.write
    monkeypatch.setattr(journal_module.os, "write", full)
    journal = whole_run(tmp_path / "events.jsonl", (heard.append,))
    assert len(calls) == 3  # the fault struck, once
    assert journal.problem == "events.jsonl ends before the run does: No space left on device"
    assert len(heard) == 9
    assert len(list(read_events(tmp_path / "events.jsonl"))) == 2


def test_a_listener_that_breaks_is_nobodys_concern(tmp_path: Path) -> None:
    def broken(event: Event) -> None:
        raise ValueError(event.event)

    heard: list[Event] = []
    whole_run(tmp_path / "events.jsonl", (broken, heard.append))
    assert len(heard) == len(list(read_events(tmp_path / "events.jsonl"))) == 9


def test_threads_do_not_tear_each_others_lines(tmp_path: Path) -> None:
    nodes = [Node(f"n{number}", "predict", key="k") for number in range(200)]
    heard: list[Event] = []
    with Journal(tmp_path / "events.jsonl", Graph(nodes), SETUP, [heard.append]) as journal:

        def work(part: list[Node]) -> None:
            for node in part:
                journal.started(node)
                journal.ended(Outcome(node, "computed", record("k", 1)))

        threads = [threading.Thread(target=work, args=(nodes[start::8],)) for start in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    events = list(read_events(tmp_path / "events.jsonl"))
    assert [event.sequence for event in events] == list(range(402)) == [event.sequence for event in heard]
    assert sum(isinstance(event, Ended) for event in events) == 200


HOSTILE = ["\n{}", "\r\n::error::x", "\x1b[2J", "\u2028", "\u202e", "\x00", '"}', "\ud800", "x" * 100_000]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_message_breaks_a_line_or_reaches_a_terminal(tmp_path: Path, text: str) -> None:
    with Journal(tmp_path / "events.jsonl", Graph([Node(text, "predict", key="k")]), SETUP) as journal:
        journal.ended(Outcome(Node(text, "predict", key="k"), "failed", None, without_secrets(text), "WorkFailed"))
    raw = (tmp_path / "events.jsonl").read_bytes()
    assert raw.isascii()
    assert raw.count(b"\n") == 3
    assert not any(byte < 32 and byte != 10 for byte in raw)
    assert len(raw) < 2 * 100_000 + LONGEST + 3_000


def test_secrets_of_the_environment_and_of_addresses_are_withheld() -> None:
    environment = {
        "HF_TOKEN": "hf_abcdefgh",
        "DB_PASSWORD": "hunter2hunter2",
        "SHORT_TOKEN": "true",
        "HOME": "/home/ann",
    }
    said = (
        "401 for hf_abcdefgh at https://ann:hunter2hunter2@host/x?sig=AbC%2F1&access_token=zzz&page=2: true, /home/ann"
    )
    told = without_secrets(said, environment)
    assert told == (
        "401 for <the value of HF_TOKEN> at https://<withheld>@host/x?sig=<withheld>&access_token=<withheld>&page=2: true, /home/ann"
    )


class Refusing:
    """An engine whose workers all fail with one message."""

    def __init__(self, message: str) -> None:
        self._message = message

    def submit(self, job: Job, progress: Progress) -> "Future[Delivered]":
        future: Future[Delivered] = Future()
        future.set_exception(WorkFailed("OSError", self._message, "a traceback"))
        return future

    def close(self) -> None:
        """Nothing is open."""


def test_a_message_that_repeats_a_secret_reaches_neither_events_nor_the_outcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2hunter2")
    graph = Graph([Node("check", "check", key="ab" * 32)])
    engine = Refusing("cannot open s3://x with hunter2hunter2")
    with Journal(tmp_path / "events.jsonl", graph, SETUP) as journal:
        result = run_graph(graph, Store(tmp_path / "store"), lambda *_: engine, journal)
    told = "OSError: cannot open s3://x with <the value of AWS_SECRET_ACCESS_KEY>"
    assert result.outcomes["check"].reason == told
    assert [event.reason for event in read_events(tmp_path / "events.jsonl") if isinstance(event, Ended)] == [told]
    assert "hunter2" not in (tmp_path / "events.jsonl").read_text()
    assert "traceback" not in (tmp_path / "events.jsonl").read_text()


def test_the_answer_is_no_part_of_the_file() -> None:
    assert "Not in the file" in (Answer.__doc__ or "")
