"""What happens in a run, as events with stable names: one JSON object a line, in ``events.jsonl`` and on standard output.

Every event says which run it belongs to, its place in that run, and when it happened. A file may hold several runs: a run
that is resumed into the same folder appends. A run that was killed leaves at most one torn line, which readers pass over.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

Unit = Literal["rows", "trials", "epochs", "expectations"]
"""What a node counts its progress in."""
UNITS: Mapping[str, Unit] = {"tune": "trials", "trial": "epochs", "rely": "expectations"}
"""Operation to its unit; the others count rows."""
Fact: TypeAlias = str | int | float | bool | None


class _Event(BaseModel):
    model_config = ConfigDict(
        extra="ignore",  # a later program may say more
        frozen=True,
        populate_by_name=True,
        serialize_by_alias=True,
        json_schema_serialization_defaults_required=True,
    )

    event: str
    run_id: str = Field(description="Of which run: runs in one file are told apart by it.")
    sequence: int = Field(ge=0, description="Place in the run, without gaps: 0 is `run_started`.")
    time: str = Field(
        description="When, in UTC to the millisecond.", pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"
    )

    def line(self) -> str:
        """The event as one line of JSON; nothing in a name or message can break it in two."""
        return json.dumps(self.model_dump(mode="json"), ensure_ascii=True, allow_nan=False, separators=(",", ":"))


class RunStarted(_Event):
    """A run began: the first event."""

    event: Literal["run_started"] = "run_started"
    schema_: Literal["pgx-events/1"] = Field("pgx-events/1", alias="schema", description="What these lines follow.")
    pgx: str = Field(description="Version of the program.")
    audit: str = Field(description="Name of the audit.")
    plan: str = Field(description="Digest of the plan.")
    nodes: int = Field(ge=0, description="How many nodes the run is to bring to an end.")
    steps: dict[str, int] = Field(description="Nodes of each of the spec's steps; the others belong to none.")
    engine: str = Field(description="Where nodes are computed.")
    jobs: int = Field(ge=1, description="Nodes computed at a time.")


class _OfNode(_Event):
    node: str = Field(description="Id of the node in the plan.")
    step: str | None = Field(description="Id of the spec's step that asked for it; null for what the compiler added.")
    op: str = Field(description="Its operation.")
    method: str | None = Field(description="The method that it runs, if it runs one.")


class Started(_OfNode):
    """A node was handed to the engine."""

    event: Literal["started"] = "started"
    key: str = Field(description="Digest of everything that can change its answer.")
    runtime: str | None = Field(description="The framework that computes it; null where no model is asked.")
    planned: dict[str, int] = Field(
        description="What the plan says it costs: `forward`, `backward` model rows, `bytes`."
    )


class Progress(_OfNode):
    """A node has done some of its work; at most one a second for each node, and one when all is done."""

    event: Literal["progress"] = "progress"
    done: int = Field(ge=0)
    total: int = Field(ge=0)
    unit: Unit = Field(description="What `done` and `total` count.")
    spent: dict[str, int] = Field(description="Model rows spent in this run so far, by the nodes that have ended.")


class Ended(_OfNode):
    """A node came to an end: computed now, found in the store, gone wrong, or never begun for want of its inputs."""

    event: Literal["ended"] = "ended"
    status: str = Field(description="`computed`, `cached`, `failed` or `blocked`.")
    seconds: float | None = Field(description="What its computation took, now or, where it was cached, then.")
    planned: dict[str, int] = Field(description="What the plan says it costs.")
    spent: dict[str, int] | None = Field(description="What it cost, now or then; null where there is no result.")
    content: str | None = Field(description="Digest of its result.")
    reason: str | None = Field(description="Why there is no result.")
    kind: str | None = Field(description="Class of the failure.")
    worker: dict[str, Fact] = Field(description="How it was run, as far as the engine says: `retries`, `worker`, ….")


class RunEnded(_Event):
    """The run ended: the last event, also of a run that was interrupted."""

    event: Literal["run_ended"] = "run_ended"
    complete: bool = Field(description="Every node has a result, and everything asked for was written.")
    verdict: str | None = Field(description="`passed`, `failed` or `incomplete`; null where no factsheet was written.")
    counts: dict[str, int] = Field(description="Nodes by how they ended.")
    seconds: float = Field(description="From the first event to this one.")
    planned: dict[str, int] = Field(
        description="What the plan says the run's own work costs; cached nodes cost nothing."
    )
    spent: dict[str, int] = Field(description="Model rows that the run spent.")
    files: list[str] = Field(description="The factsheet's files, below the run's folder.")
    reason: str | None = Field(description="Why it ended early: `interrupted`, or the class of the failure.")


class Answer(_Event):
    """Not in the file: the last line of ``pgx run --format json``, with what the command answers."""

    event: Literal["answer"] = "answer"
    run: str = Field(description="The run's folder.")
    verdict: dict[str, Any] = Field(description="Verdict of the factsheet, with its sentence and counts.")
    files: list[str] = Field(description="The files written.")
    baseline: Any = Field(description="What changed against the baseline; null where there is none.")
    notes: list[str] = Field(description="What a person should know besides.")
    exit_status: int = Field(description="What the command ends with.")


Event: TypeAlias = RunStarted | Started | Progress | Ended | RunEnded | Answer
_ANY: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="event")])


def events_schema() -> dict[str, Any]:
    """JSON Schema of one line."""
    return {"title": "pgx event", **_ANY.json_schema(by_alias=True, mode="serialization")}


def read_events(path: Path) -> Iterator[Event]:
    """The events of a file, of all its runs in the order they were written.

    Lines that are no whole event are passed over: a run that was killed in the middle of one leaves it torn. So are
    events that a later program writes and this one does not know.
    """
    with path.open("rb") as lines:
        for line in lines:
            try:
                yield _ANY.validate_json(line)
            except ValidationError:
                continue


def last_run(path: Path) -> list[Event]:
    """The events of the run that a file tells of last."""
    found: dict[str, list[Event]] = {}
    for event in read_events(path):
        found.setdefault(event.run_id, []).append(event)
    return list(found.values())[-1] if found else []


def model_rows(spent: Mapping[str, int]) -> int:
    """Model rows of a price, forward and backward."""
    return spent.get("forward", 0) + spent.get("backward", 0)
