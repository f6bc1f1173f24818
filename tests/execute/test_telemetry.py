"""A run as OpenTelemetry spans, as a collector would get them; and what happens where there is none."""

import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("opentelemetry.sdk", reason="opentelemetry-sdk is not installed")

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from pgx_compiler import telemetry
from pgx_compiler.execute.events import read_events
from tests.execute.test_journal import whole_run


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "TRACEPARENT", *telemetry.ADDRESSES):
        monkeypatch.delenv(name, raising=False)


def exported(path: Path) -> dict[str, ReadableSpan]:
    """The spans of a run by name."""
    memory, said = InMemorySpanExporter(), []
    with telemetry.exporting(True, said.append, memory) as listeners:
        whole_run(path, tuple(listeners))
    assert said == []
    spans = memory.get_finished_spans()
    assert len({span.name for span in spans}) == len(spans)
    return {span.name: span for span in spans}


def test_a_span_for_the_run_and_below_it_one_for_each_node(tmp_path: Path) -> None:
    spans = exported(tmp_path / "events.jsonl")
    assert set(spans) == {"pgx run digits", "predict", "explain.shap", "explain.shap.again"}
    run = spans["pgx run digits"]
    assert run.parent is None
    assert all(
        span.parent is not None and span.parent.span_id == run.context.span_id
        for span in spans.values()
        if span is not run
    )
    assert {span.context.trace_id for span in spans.values()} == {run.context.trace_id}
    told = dict(run.attributes or {})
    assert (told["pgx.verdict"], told["pgx.complete"], told["pgx.nodes.computed"]) == ("incomplete", False, 1)
    assert (told["pgx.rows.forward.planned"], told["pgx.rows.forward.spent"]) == (1000, 480)
    shap = dict(spans["explain.shap"].attributes or {})
    assert (shap["pgx.node"], shap["pgx.op"], shap["pgx.method"], shap["pgx.step"]) == (
        "explain.shap", "attribute", "kernel_shap", "shap")  # fmt: skip
    assert (shap["pgx.rows.forward.planned"], shap["pgx.rows.forward.spent"], shap["pgx.status"]) == (
        500,
        480,
        "computed",
    )
    assert shap["pgx.worker.retries"] == 1
    cached = dict(spans["predict"].attributes or {})
    assert cached["pgx.status"] == "cached"
    assert "pgx.rows.forward.spent" not in cached  # not in this run
    failed = spans["explain.shap.again"]
    assert (failed.status.status_code, failed.status.description) == (StatusCode.ERROR, "the worker died of SIGSEGV")
    assert (failed.attributes or {})["error.type"] == "WorkerDied"


def test_spans_begin_and_end_when_the_events_say(tmp_path: Path) -> None:
    spans = exported(tmp_path / "events.jsonl")
    events = list(read_events(tmp_path / "events.jsonl"))
    run = spans["pgx run digits"]
    assert (run.start_time, run.end_time) == (telemetry._nanoseconds(events[0]), telemetry._nanoseconds(events[-1]))
    # 2026-01-01 is 20,454 days after 1970
    assert (
        telemetry._nanoseconds(events[0].model_copy(update={"time": "2026-01-01T00:00:00.250Z"}))
        == (20454 * 86400 * 1000 + 250) * 10**6
    )


def test_a_pipeline_s_span_is_the_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACEPARENT", f"00-{'ab' * 16}-{'cd' * 8}-01")
    run = exported(tmp_path / "events.jsonl")["pgx run digits"]
    assert f"{run.context.trace_id:032x}" == "ab" * 16
    assert run.parent is not None
    assert f"{run.parent.span_id:016x}" == "cd" * 8


@pytest.mark.parametrize(
    ("asked", "environment", "exports"),
    [
        (False, {}, False),
        (True, {}, True),
        (False, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}, True),
        (False, {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://localhost:4318/v1/traces"}, True),
        (True, {"OTEL_SDK_DISABLED": "true"}, False),
        (False, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_the_standard_variables_decide(asked: bool, environment: dict[str, str], exports: bool) -> None:
    assert telemetry.wanted(environment, asked=asked) is exports


def test_without_the_library_there_is_a_note_with_a_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("opentelemetry")]:
        monkeypatch.setitem(sys.modules, name, None)
    said: list[str] = []
    with telemetry.exporting(True, said.append) as listeners:
        whole_run(tmp_path / "events.jsonl", tuple(listeners))
    assert listeners == []
    assert said == ["note: no OpenTelemetry export: its libraries are not installed; pip install 'pgx-compiler[otel]'"]


def test_a_collector_that_is_not_there_costs_seconds_and_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://ann:hunter2@127.0.0.1:9")
    said: list[str] = []
    began = time.monotonic()
    with telemetry.exporting(False, said.append) as listeners:
        whole_run(tmp_path / "events.jsonl", tuple(listeners))
    assert time.monotonic() - began < 20
    assert len(said) == 1
    assert "not taken by the collector" in said[0]
    assert "hunter2" not in said[0]


def test_a_run_that_is_interrupted_ends_all_its_spans() -> None:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    from pgx_compiler.execute.events import RunEnded
    from tests.execute.events_made import AT, begun, started

    memory, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    spans = telemetry.Spans(provider.get_tracer("test"))
    spans(begun(2))
    spans(started("a"))
    spans(
        RunEnded(
            **AT,
            complete=False,
            verdict=None,
            counts={},
            seconds=1,
            planned={},
            spent={},
            files=[],
            reason="interrupted",
        )
    )
    ended = {span.name: span.status for span in memory.get_finished_spans()}
    assert {name: status.description for name, status in ended.items()} == {
        "a": "interrupted",
        "pgx run a": "interrupted",
    }
