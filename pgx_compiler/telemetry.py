"""A run as OpenTelemetry spans: one for the run, below it one for each node. An extra (``otel``), imported when asked for.

Asked for by ``--otel`` or by the standard environment variables that name a collector. Names follow the OpenTelemetry rules
for attributes, below ``pgx.``; a parent span is taken from ``TRACEPARENT``. Nothing of an export fails a run.
"""

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from pgx_compiler.execute.events import Ended, Event, RunEnded, RunStarted, Started
from pgx_compiler.execute.journal import Listener

ADDRESSES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
"""Environment variables that name a collector; without one, ``--otel`` sends to the standard address on this host."""
FLUSH = 2.0
"""Seconds that the end of a run waits for a collector."""
_QUEUE = 65_536
"""Spans that may wait: nodes that the store has end by the thousand within a second."""


def wanted(environment: Mapping[str, str], *, asked: bool = False) -> bool:
    """Whether spans are to be exported, by the flag and the standard variables."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if environment.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower() not in ("otlp", ""):
        return False
    return asked or any(environment.get(name) for name in ADDRESSES)


class Spans:
    """A listener that turns events into spans of a tracer."""

    def __init__(self, tracer: Any, parent: Any = None) -> None:
        self._tracer, self._parent = tracer, parent
        self._run: Any = None
        self._open: dict[str, Any] = {}

    def __call__(self, event: Event) -> None:
        """Begin or end a span, at the time that the event says."""
        if isinstance(event, RunStarted):
            self._run = self._begin(f"pgx run {event.audit}", event, self._parent, {
                "pgx.run.id": event.run_id, "pgx.audit.name": event.audit, "pgx.plan.digest": event.plan,
                "pgx.nodes": event.nodes, "pgx.engine": event.engine, "pgx.jobs": event.jobs, "pgx.version": event.pgx,
            })  # fmt: skip
        elif isinstance(event, Started):
            self._open[event.node] = self._begin_node(event)
        elif isinstance(event, Ended):
            span = self._open.pop(event.node, None) or self._begin_node(event)
            self._end_node(span, event)
        elif isinstance(event, RunEnded) and self._run is not None:
            self._end_run(event)

    def _begin_node(self, event: Started | Ended) -> Any:
        from opentelemetry.trace import set_span_in_context

        named = {"pgx.node": event.node, "pgx.op": event.op, "pgx.method": event.method, "pgx.step": event.step}
        if isinstance(event, Started):
            named["pgx.runtime"] = event.runtime
        within = None if self._run is None else set_span_in_context(self._run)
        return self._begin(event.node, event, within, {**named, **_rows("planned", event.planned)})

    def _begin(self, name: str, event: Event, within: Any, attributes: Mapping[str, Any]) -> Any:
        known = {key: value for key, value in attributes.items() if value is not None}
        return self._tracer.start_span(name, context=within, attributes=known, start_time=_nanoseconds(event))

    def _end_node(self, span: Any, event: Ended) -> None:
        from opentelemetry.trace import Status, StatusCode

        told = {"pgx.status": event.status, "pgx.reason": event.reason, "error.type": event.kind,
                "pgx.content.digest": event.content, "pgx.seconds": event.seconds}  # fmt: skip
        told |= {f"pgx.worker.{name}": value for name, value in event.worker.items()}
        # what the store had was not spent in this run
        told |= _rows("spent", (event.spent or {}) if event.status == "computed" else {})
        span.set_attributes({name: value for name, value in told.items() if value is not None})
        if event.status in ("failed", "blocked"):
            span.set_status(Status(StatusCode.ERROR, event.reason or event.status))
        span.end(_nanoseconds(event))

    def _end_run(self, event: RunEnded) -> None:
        from opentelemetry.trace import Status, StatusCode

        for span in self._open.values():  # the run was interrupted in the middle of them
            span.set_status(Status(StatusCode.ERROR, event.reason or "not finished"))
            span.end(_nanoseconds(event))
        self._open.clear()
        counts = {f"pgx.nodes.{status}": count for status, count in event.counts.items()}
        verdict = {} if event.verdict is None else {"pgx.verdict": event.verdict}
        self._run.set_attributes(
            {
                "pgx.complete": event.complete,
                **verdict,
                **counts,
                **_rows("planned", event.planned),
                **_rows("spent", event.spent),
            }
        )
        if event.reason is not None:
            self._run.set_status(Status(StatusCode.ERROR, event.reason))
        self._run.end(_nanoseconds(event))


def _rows(which: str, cost: Mapping[str, int]) -> dict[str, int]:
    return {f"pgx.rows.{name}.{which}": cost[name] for name in ("forward", "backward") if name in cost}


def _nanoseconds(event: Event) -> int:
    return round(datetime.fromisoformat(event.time).timestamp() * 1000) * 1_000_000


@contextmanager
def exporting(asked: bool, tell: Callable[[str], None], exporter: Any = None) -> Iterator[list[Listener]]:
    """A listener that exports spans for as long as a run takes; none where nothing asks for it.

    Args:
        asked: ``--otel`` was given.
        tell: takes a note for people: a library that is absent, spans that no collector took.
        exporter: instead of the one for OTLP over HTTP.
    """
    if not wanted(os.environ, asked=asked):
        yield []
        return
    try:
        provider, lost = _provider(exporter)
    except ImportError:
        tell("note: no OpenTelemetry export: its libraries are not installed; pip install 'pgx-compiler[otel]'")
        yield []
        return
    except Exception as error:  # noqa: BLE001  (a variable that the library cannot read must not fail an audit)
        tell(f"note: no OpenTelemetry export: {type(error).__name__}; look at the OTEL_ variables")
        yield []
        return
    try:
        yield [Spans(provider.get_tracer("pgx"), _parent_of(os.environ))]
    finally:
        if not provider.force_flush(int(FLUSH * 1000)) or lost:
            tell(f"note: {sum(lost) or 'some'} OpenTelemetry spans were not taken by the collector")
        provider.shutdown()


def _provider(exporter: Any) -> tuple[Any, list[int]]:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    if exporter is None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        # it waits and asks again for as long as this allows, and the end of a run waits for it
        exporter = OTLPSpanExporter(timeout=None if os.environ.get("OTEL_EXPORTER_OTLP_TIMEOUT") else FLUSH)
    lost: list[int] = []

    class Counting(SpanExporter):
        """Counts what the collector does not take; the library would log it, with addresses, onto the terminal."""

        def export(self, spans: Any) -> Any:
            """Hand spans on."""
            taken = exporter.export(spans)
            if taken is not SpanExportResult.SUCCESS:
                lost.append(len(spans))
            return taken

        def shutdown(self) -> None:
            """End the exporter."""
            exporter.shutdown()

        def force_flush(self, timeout_millis: int = 30_000) -> bool:
            """Nothing is kept here."""
            return bool(exporter.force_flush(timeout_millis))

    logging.getLogger("opentelemetry").addHandler(logging.NullHandler())
    logging.getLogger("opentelemetry").propagate = False
    named = {} if "OTEL_SERVICE_NAME" in os.environ else {"service.name": "pgx"}
    # without an atexit handler: `exporting` ends it, and a second wait would keep the command from ending
    provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(Counting(), max_queue_size=_QUEUE))
    return provider, lost


def _parent_of(environment: Mapping[str, str]) -> Any:
    """The span that a pipeline runs this command in, as the ``TRACEPARENT`` variable names it."""
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier = {name.lower(): environment[name] for name in ("TRACEPARENT", "TRACESTATE") if name in environment}
    return TraceContextTextMapPropagator().extract(carrier)
