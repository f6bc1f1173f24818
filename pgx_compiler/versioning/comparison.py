"""Two sides compared: did the question change, the ground it stands on, or the answer?"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pgx_compiler.evidence.canonical import plain
from pgx_compiler.versioning.answers import AnswerChanges, compare_answers
from pgx_compiler.versioning.ground import Shift, shifts
from pgx_compiler.versioning.questions import Change, changes
from pgx_compiler.versioning.sides import Side, require_common_ground


@dataclass(frozen=True)
class Comparison:
    """All that differs between two sides."""

    old: str
    new: str
    question: list[Change] = field(default_factory=list)
    """Of every role."""
    ground: list[Shift] = field(default_factory=list)
    answer: AnswerChanges | None = None
    """None where one side has no answer."""
    notes: list[str] = field(default_factory=list)

    @property
    def loud(self) -> list[Change]:
        """What has to hold is no longer what it was."""
        return [change for change in self.question if change.loud]

    @property
    def semantic(self) -> list[Change]:
        """What else changes the answer."""
        return [change for change in self.question if change.role == "semantic" and not change.loud]

    @property
    def quiet(self) -> list[Change]:
        """What changes no answer."""
        return [change for change in self.question if change.role != "semantic"]

    @property
    def changed(self) -> bool:
        """True where question, ground or answer changed, or may have; what changes no answer and noise do not count."""
        answer = self.answer is not None and (self.answer.any or self.answer.open)
        return bool(self.loud or self.semantic or self.ground or answer)

    @property
    def data(self) -> dict[str, Any]:
        """The same for programs."""
        answer = self.answer
        return {
            "old": self.old,
            "new": self.new,
            "changed": self.changed,
            "thresholds": [asdict(change) for change in self.loud],
            "question": [asdict(change) for change in self.semantic],
            "ground": [asdict(shift) for shift in self.ground],
            "answer": None if answer is None else _answer_data(answer),
            "without_effect": [asdict(change) for change in self.quiet],
            "notes": self.notes,
        }


def _answer_data(answer: AnswerChanges) -> dict[str, Any]:
    moved = {
        name: [{"fact": m.fact, "old": m.old.model_dump(), "new": m.new.model_dump()} for m in getattr(answer, name)]
        for name in ("changed", "noise", "undecided")
    }
    found: dict[str, Any] = plain({
        "verdict": answer.verdict and asdict(answer.verdict),
        "gates": [asdict(flip) for flip in answer.gates],
        "loosened": answer.loosened,
        "findings": [asdict(flip) for flip in answer.findings],
        "changed": moved["changed"],
        "ranks": [asdict(move) for move in answer.ranks],
        "appeared": answer.appeared,
        "gone": answer.gone,
        "undecided": moved["undecided"],
        "within_noise": moved["noise"],
        "ranks_within_noise": [asdict(move) for move in answer.rank_noise],
        "not_comparable": answer.incomparable,
        "same": answer.same,
    })  # fmt: skip
    return found


def compare(old: Side, new: Side) -> Comparison:
    """What differs between two sides. Raises `AuthorError` where they have nothing in common."""
    require_common_ground(old, new)
    notes = []
    if old.question is not None and new.question is not None:
        question = changes(old.question, new.question)
    else:
        question = list(_changed_work(old, new))
        if not question and old.spec_digest != new.spec_digest:
            notes.append(
                "the question differs, but not in what is computed: in gates, accepted findings or the audit's name; "
                "compare the specs to see it"
            )
            question = [Change("spec", "semantic", old.spec_digest, new.spec_digest)]
    answer = None
    if old.answer is not None and new.answer is not None:
        answer = compare_answers(old.answer, new.answer, old.work or {}, new.work or {}, old.question)
    ground = [shift for shift in shifts(old.ground, new.ground) if not _is_asked_for(shift)]
    return Comparison(old.name, new.name, question, ground, answer, notes)


def _is_asked_for(shift: Shift) -> bool:
    """Whether a method or operation is only on one side: then it was asked for there, which the question says."""
    return shift.category in ("methods", "operations") and (shift.old is None or shift.new is None)


def _changed_work(old: Side, new: Side) -> Iterator[Change]:
    """The nodes that do something else, where the specs themselves are not known."""
    before, after = old.work or {}, new.work or {}
    if old.seed != new.seed:
        yield Change("seed", "semantic", old.seed, new.seed)
    for name in [*after, *(name for name in before if name not in after)]:
        if name not in before or name not in after:
            yield Change(name, "semantic", *(("computed", None) if name in before else (None, "computed")))
            continue
        for key in sorted({*before[name].made_of, *after[name].made_of}):
            if key not in ("method", "operation", "sha256"):
                yield from _changed_ingredient(name, key, old, new)


def _changed_ingredient(node: str, key: str, old: Side, new: Side) -> Iterator[Change]:
    digests = [(side.work or {})[node].made_of.get(key) for side in (old, new)]
    if digests[0] == digests[1]:
        return
    values: list[Any] = [
        side.nodes[node].get("params", {}).get(key) if side.nodes is not None else digest
        for side, digest in zip((old, new), digests, strict=True)
    ]
    if old.nodes is None or new.nodes is None:
        values = list(digests)
    yield from _leaves(f"{node}.{key}", values[0], values[1])


def _leaves(path: str, old: Any, new: Any) -> Iterator[Change]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            if old.get(key) != new.get(key):
                yield from _leaves(f"{path}.{key}", old.get(key), new.get(key))
    else:
        yield Change(path, "semantic", old, new)
