"""The form of what each operation leaves: which keys and arrays, and of which kinds. Looked at when a result is accepted.

Whatever ran a model may have written any JSON and any arrays. Their values are the model's own affair; their form is not, as
everything later, the report above all, takes it for granted. NaN and infinities have become null by then, so null stands
wherever a number does, but for the places where nothing can be made of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_type_hints

from pgx_compiler.evidence.results import Chart, Finding, Matrix, Measure, Picture, Statement, Table
from pgx_compiler.evidence.store import Finite, Headers, UnfitResult
from pgx_compiler.execute.expected import Expected
from pgx_compiler.execute.misfits import misfit
from pgx_compiler.ir.node import Node
from pgx_compiler.tuning.result import Trial, TrialRecord, TuningResult


@dataclass(frozen=True)
class Form:
    """What an operation leaves; types are written as in `pgx_compiler.execute.misfits`."""

    document: Mapping[str, Any]
    more: Mapping[str, Any] = field(default_factory=dict)
    """Keys that may be missing."""
    arrays: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Name to its axes and kinds: arrays that name one axis agree in it. ``...``: any further axes."""
    more_arrays: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Arrays that may be missing; ``map_*`` stands for all that begin so, ``*`` for all others."""


_CHART = Chart | Matrix | Picture
_PAIR = tuple[float, float] | None
_ANY = {"*": ("...", "biufcSU")}
_REPORT = {"measures": [Measure], "findings": [Finding], "tables": [Table]}
_DRAWN = {"charts": [_CHART]}
_SUMMARY = {"n": int, **dict.fromkeys(("median", "mean", "min", "max"), float | None)}
_EVERY_SUMMARY = ({**_SUMMARY, "median_interval": _PAIR, "mean_interval": _PAIR}, _SUMMARY)
_DIRECTED = {"method": str, "direction": Literal["perturbation", "gradient"], "score": str}
_SAID = {"statements": [Statement], "charts": [_CHART]}
_SHAPES = [Mapping[str, tuple[int, ...]]]
_SPLIT_ROWS = {"train": int, "validation": int}
_ENTRY = {
    **{name: kind for name, kind in get_type_hints(TuningResult).items() if name not in ("kept", "importance_reasons")},
    "trials": [
        {
            name: kind
            for name, kind in get_type_hints(TrialRecord).items()
            if name in ("number", "settings", "metrics", "feasible", "verdict", "reasons", "history")
        }
    ],
}
_TITLED = {"better": Literal["higher", "lower"], "title": str, "unit": str}

_OF_ROWS = {"base_values": ("rows", "f"), "scores": ("rows", "f"), "values": ("rows features", "f")}
_OF_TARGETS = {
    "targets_all": ("rows targets", "iu"),
    "values_all": ("rows features targets", "f"),
    "base_values_all": ("rows targets", "f"),
    "scores_all": ("rows targets", "f"),
}
_OWN = {"owner_*": ("rows ...", "iu"), "map_*": ("rows ...", "f"), "note_*": ("...", "biuf")}

FORMS: Mapping[str, tuple[Form, ...]] = {
    "check": (Form(_REPORT, _DRAWN, {}, _ANY),),
    "predict": (
        Form({"rows": int, "format": str, "split": str}, {}, {"score": ("rows scores", "f"), "output": ("rows outputs", "f")},
             {"labels": ("rows", "iuf")}),
    ),
    "repeat": (Form({**_REPORT, "holds": bool}, {}, {"difference": ("rows", "f"), "rows": ("rows", "iu")}),),
    "parity": (Form({**_REPORT, "holds": bool}, {}, {"difference": ("rows", "f")}),),
    "performance": (Form(_REPORT),),
    "rows": (
        Form({"rows": int, "chosen_as": [str], "split": str}, {},
             {**dict.fromkeys(("index", "target", "predicted"), ("rows", "iu")), "row_ids": ("rows", "U"),
              "output": ("rows outputs", "f")},
             {"labels": ("rows", "iuf"), "targets": ("rows targets", "iu")}),
    ),
    "features": (
        Form({"layout": Mapping[str, Any]}, {}, {"names": ("features", "U"), "counts": ("rows", "iu")},
             {"labels": ("rows features", "U"), "owner_*": ("rows ...", "iu")}),
    ),
    "references": (Form({"name": str, "references": int}, {"packed": Mapping[str, Any]}, {}, _ANY),),
    "attribute": (
        Form({**_REPORT, **_DIRECTED, "signed": bool, "unit": str}, _DRAWN,
             {**_OF_ROWS, "feature_names": ("features", "U"), "row_ids": ("rows", "U"), "targets": ("rows", "iu")},
             {**_OF_TARGETS, **_OWN, "standard_error": ("rows features", "f"), "present": ("rows features", "b"),
              "standard_error_all": ("rows features targets", "f"), "feature_labels": ("rows features", "U"),
              "input_*": ("rows ...", "biufcSU")}),
    ),
    "attribute part": (
        Form({"rows": int}, {}, _OF_ROWS, {**_OWN, "standard_error": ("rows features", "f"), "several_*": ("rows ...", "iuf")}),
    ),
    "state": (
        Form({**_REPORT, **_DIRECTED}, {**_DRAWN, "rows": [{"row_id": str, **_SAID}]}, {}, _ANY),
    ),
    "state part": (
        Form({"rows": int, "said": [_SAID], "arrays": _SHAPES}, {}, {},
             {"number_*": ("rows", "f"), **_ANY}),
    ),
    "compare": (
        Form({**_TITLED, "summary": _EVERY_SUMMARY, "other_rows": float | None, "chance": float | None, "range": _PAIR,
              "undefined": str | None}, {}, {"values": ("rows", "f")}, _ANY),
        Form({"blocked": str, "summary": _EVERY_SUMMARY}),
    ),
    "judge": (
        Form({**_TITLED, "summary": _EVERY_SUMMARY}, {}, {"values": ("rows", "f")},
             {**dict.fromkeys(("curve", "random_curve", "moved_share"), ("rows points", "f")), **_ANY}),
    ),
    "judge part": (Form({"rows": int, "arrays": _SHAPES}, {}, {"score": ("rows", "f")}, _ANY),),
    "rely": (
        Form({**_REPORT, "expectations": [{"feature": str, "effect": str, "on": str | None, "number": int, "summary": str,
              "status": Literal["confirmed", "violated", "unknown"], "names": [str]}]}),
    ),
    "trial": (
        Form({"trial": Trial, "rows": _SPLIT_ROWS, "spent_inside": {"forward": int, "backward": int}},
             {"earlier": [Trial]}, {}, {"reference": ("rows features", "f")}),
        Form({"trial": Trial}, {"earlier": [Trial]}),
    ),
    "tune": (Form({**_REPORT, "entry": _ENTRY, "rows": _SPLIT_ROWS}),),
}  # fmt: skip
"""By operation, and by operation of a shard. Of several forms any will do."""


def check_form(
    node: Node, document: Any, arrays: Headers, expected: Expected | None = None, finite: Finite = bool
) -> None:
    """Hold what a node has left against its operation's forms. Raises `UnfitResult`, which says what is wrong first.

    Args:
        node: what was worked on; an operation that is not in the table leaves what it likes.
        document: as it was read.
        arrays: their headers.
        expected: sizes that the arrays must have.
        finite: whether the numbers of an array are finite; by itself it believes them to be.
    """
    expected, part = expected or Expected(), node.params.get("part")
    rows = expected.rows
    if part is not None and rows is not None:
        rows = min(part[1], rows) - min(part[0], rows)
    if part is not None and not rows and document == {"rows": 0} and not arrays:
        return  # fewer rows were chosen than planned, and none are left for this shard
    name = str(node.params["of"]) if node.op == "gather" else node.op if part is None else f"{node.op} part"
    wrong = []
    for form in FORMS.get(name, ()):
        asked = {
            **form.document,
            **{key: kind for key, kind in form.more.items() if isinstance(document, dict) and key in document},
        }
        found = misfit(asked, document, "")
        if found is None:
            sizes = {"rows": document.get("rows"), "features": expected.features, "targets": expected.targets}
            if name in _EXPLAINED and rows is not None:
                sizes["rows"] = rows
            _check_arrays(form, arrays, {axis: size for axis, size in sizes.items() if type(size) is int})
            if name == "attribute":
                _check_inputs(arrays, expected)
            if bad := [one for one in _FINITE.get(name, ()) if one in arrays and not finite(one)]:
                raise UnfitResult(f"its array `{bad[0]}` holds what is no finite number")
            return
        wrong.append(found)
    if wrong:
        raise UnfitResult(f"its document {wrong[0]}")


_FINITE = {
    "attribute": (*_OF_ROWS, "values_all", "base_values_all", "scores_all", "standard_error", "standard_error_all"),
    "judge": ("curve", "random_curve", "moved_share"),
}
"""Arrays of numbers of which the report makes others, where one that is none would spoil all."""
_EXPLAINED = frozenset({"attribute", "attribute part", "judge", "judge part", "state part"})
"""What has one value for each explained row."""


def _check_arrays(form: Form, arrays: Headers, sizes: dict[str, int]) -> None:
    """Names, axes and kinds of arrays; ``sizes`` grows by the axes that are met. Raises `UnfitResult`."""
    needed = dict(form.arrays)
    if "values_all" in arrays:
        needed |= _OF_TARGETS
    if missing := sorted(needed.keys() - arrays.keys()):
        raise UnfitResult(f"its arrays lack `{missing[0]}`")
    for name in sorted(arrays, key=lambda name: (name not in needed, name)):
        called = next(
            (key for key in (name, f"{name.partition('_')[0]}_*", "*") if key in {**needed, **form.more_arrays}), None
        )
        if called is None:
            raise UnfitResult(f"its arrays have `{name[:60]}`, which nobody knows")
        axes, kinds = {**form.more_arrays, **needed}[called]
        shape, kind = arrays[name]
        named = axes.removesuffix("...").split()
        enough = len(shape) >= len(named) if axes.endswith("...") else len(shape) == len(named)
        if (
            kind not in kinds
            or not enough
            or any(sizes.setdefault(axis, n) != n for axis, n in zip(named, shape, strict=False))
        ):
            of = f"{kind} {shape}"
            raise UnfitResult(
                f"its array `{name[:60]}` is {of}, and should be ({', '.join(axes.split())}) as the others say"
            )


_WORDS = frozenset({"string", "str", "object"})


def _check_inputs(arrays: Headers, expected: Expected) -> None:
    rows = arrays["values"][0][0]
    for name, (shape, dtype) in expected.inputs.items():
        found = arrays.get(f"input_{name}", ((), ""))
        sizes = [size if asked is None else asked for size, asked in zip(found[0][1:], shape, strict=False)]
        if found[0] != (rows, *sizes) or len(sizes) != len(shape) or (found[1] == "U") is not (dtype in _WORDS):
            raise UnfitResult(f"its array `input_{name}` is not as the model's input is")
