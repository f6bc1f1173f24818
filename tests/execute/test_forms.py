"""What a hostile worker leaves of the wrong form is refused where it is accepted; what honest steps leave never is."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from execute.test_sharded_runs import CUT, SPEC, plan_of, run
from tests_project import make_project, write_spec

from pgx_compiler.cli import main
from pgx_compiler.evidence.canonical import canonical_json, headers_of, plain
from pgx_compiler.evidence.results import Finding, Matrix, Measure, Picture
from pgx_compiler.evidence.store import Artifact, UnfitResult
from pgx_compiler.execute import operations
from pgx_compiler.execute.expected import Expectations, Expected
from pgx_compiler.execute.forms import FORMS, check_form
from pgx_compiler.execute.model_checks import parity
from pgx_compiler.ir.node import Node
from pgx_compiler.tuning.result import Trial, TrialRecord, TrialResult, TuningResult

pytestmark = pytest.mark.frameworks


def by_hand() -> Iterator[tuple[str, Node, Any, Any, Expected]]:
    """Of operations that the small run has not: their documents as their own code writes them."""
    report, holds = parity(*[{"output": np.array([[0.2, 0.8]]), "score": np.array([[1.0, 2.0]])}] * 2, "logit")
    said = {"measures": plain(report.measures), "findings": plain(report.findings), "tables": []}
    yield "parity", Node("p", "parity"), {**said, "holds": holds}, {"difference": ((1,), "f")}, Expected()
    arrays = {"names": ((3,), "U"), "counts": ((2,), "i"), "labels": ((2, 3), "U"), "owner_x": ((2, 8, 8), "i")}
    yield "features", Node("f", "features"), {"layout": {"kind": "segments"}}, arrays, Expected()
    result = TrialResult(
        {"validation.loss": 0.5, "other": None}, {"validation.loss": None}, 8, ({"loss": float("nan")},)
    )
    trial = Trial(1, {"rate": 0.1}, "search", None, result).to_dict()
    whole = {"trial": trial, "earlier": [Trial(0, skipped=True).to_dict()], "rows": {"train": 8, "validation": 2}}
    whole["spent_inside"] = {"forward": 4, "backward": 8}
    yield "trial", Node("t", "trial"), whole, {"reference": ((2, 3), "f")}, Expected()
    yield "trial", Node("t", "trial"), {"trial": Trial(2, duplicate_of=1).to_dict()}, {}, Expected()
    judged = TrialRecord(0, {"rate": 0.1}, "search", 0, {"loss": 1.0}, {}, True, "accept", ("best",))
    found = TuningResult(
        "tpe", "loss", {}, {}, (), 1.0, {}, (judged,), 0, None, (0,), {"loss": {"rate": None}}, {}, "keep", ""
    )
    yield (
        "tune",
        Node("t", "tune"),
        {**said, "entry": found.entry(), "rows": {"train": 1, "validation": 1}},
        {},
        Expected(),
    )


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, Node, Any, Any, Expected]]:
    """Form, node, document, headers and what is expected, of a small real run and of what it has not."""
    plan = plan_of(write_spec(make_project(tmp_path_factory.mktemp("forms")), "german-credit-trees", SPEC), CUT)
    result, store = run(plan, tmp_path_factory.mktemp("store"))
    assert result.complete, [outcome.reason for outcome in result.outcomes.values() if outcome.reason]
    records = {name: outcome.record for name, outcome in result.outcomes.items() if outcome.record}
    expectations, found = Expectations(plan.graph, store), list(by_hand())
    for name, record in records.items():
        node = plan.graph[name]
        path = store.path(record.arrays or "", ".npz")
        arrays = {key: (shape, np.dtype(kind).kind) for key, shape, kind in headers_of(path)} if record.arrays else {}
        form = node.params["of"] if node.op == "gather" else f"{node.op} part" if "part" in node.params else node.op
        found.append(
            (form, node, json.loads(store.get(record.document, ".json")), arrays, expectations.of(node, records))
        )
    return [(form, node, json.loads(canonical_json(document)), *rest) for form, node, document, *rest in found]


def refused(node: Node, document: Any, arrays: Any, expected: Expected) -> str:
    with pytest.raises(UnfitResult) as said:
        check_form(node, document, arrays, expected)
    assert str(said.value).startswith(("its document ", "its array"))
    return str(said.value)


def test_what_honest_steps_leave_is_of_their_form(honest):
    assert {form for form, *_ in honest} == set(FORMS)
    for _, node, document, arrays, expected in honest:
        check_form(node, document, arrays, expected)


def test_every_key_is_needed_and_no_other_is_known(honest):
    for form, node, document, arrays, expected in honest:
        for key in set.intersection(*(set(one.document) for one in FORMS[form])) & set(document):
            lacks = f"lacks `{key}`" if len(FORMS[form]) == 1 else "lacks `"
            assert lacks in refused(node, {k: v for k, v in document.items() if k != key}, arrays, expected)
        more = refused(node, {**document, "more": 1}, arrays, expected)
        assert "nobody knows" in more or len(FORMS[form]) > 1
        for other in ({}, [], None, 1, "text"):
            if other != document:
                refused(node, other, arrays, expected)


def _changed(document: Any) -> Iterator[tuple[str, Any]]:
    """The document with one of its values, however deep, of another type: the first item of each list stands for all."""
    for key, value in document.items() if isinstance(document, dict) else enumerate(document[:1]):
        # two types that a number, a text, a list and an object are not
        for other in ({"a": [True]}, [[{}]]):
            if type(other) is not type(value):
                yield f"{key}", _with(document, key, other)
        if isinstance(value, dict | list):
            yield from ((f"{key}.{at}", _with(document, key, inner)) for at, inner in _changed(value))


def _with(document: Any, key: Any, value: Any) -> Any:
    made = copy.copy(document)
    made[key] = value
    return made


FREE = ("layout", "packed", "space_", "narrowing", "require", "settings", "effects")
"""Objects whose content is nobody's but the method's."""


def test_every_value_of_another_type_is_refused_with_its_place(honest):
    tried: dict[str, int] = {}
    for form, node, document, arrays, expected in honest:
        if tried.get(form, 0) > 500:
            continue
        for at, changed in _changed(document):
            if not any(word in at for word in FREE):
                tried[form] = tried.get(form, 0) + 1
                refused(node, changed, arrays, expected)
    assert set(tried) >= set(FORMS) - {"features"}


def test_every_array_is_needed_and_has_its_axes_and_kind(honest):
    for form, node, document, arrays, expected in honest:
        for name in (name for one in FORMS[form][:1] for name in one.arrays if name in arrays):
            shape, kind = arrays[name]
            lost = {key: held for key, held in arrays.items() if key != name}
            if len(lost) or document != {"rows": 0}:
                assert f"lack `{name}`" in refused(node, document, lost, expected)
            for wrong in (((*shape, 1), kind), (shape[1:], kind), (shape, "c")):
                assert f"`{name}`" in refused(node, document, {**arrays, name: wrong}, expected)


def test_an_attribution_has_the_rows_features_and_inputs_of_the_audit(honest):
    node, document, arrays, expected = next(rest for form, *rest in honest if form == "attribute")
    assert expected.rows == 7
    assert expected.features
    assert expected.inputs
    more = {"rows": lambda n, axis: n + 1 if axis == 0 else n, "features": lambda n, axis: n + 1 if axis == 1 else n}
    for change in more.values():  # all arrays agree with each other, and not with what was asked
        forged = {
            name: (tuple(change(n, axis) for axis, n in enumerate(shape)), kind)
            for name, (shape, kind) in arrays.items()
        }
        forged["feature_names"] = ((change(expected.features, 1),), "U")
        refused(node, document, forged, expected)
    name = next(iter(expected.inputs))
    assert "model's input" in refused(node, document, {**arrays, f"input_{name}": ((7,), "f")}, expected)
    assert "nobody knows" in refused(node, document, {**arrays, "evil": ((7,), "f")}, expected)


PARTS = [
    ("measures", plain(Measure("a", 1.0, "A", None)), {"interval": [0.1, None]}),
    ("measures", plain(Measure("a", 1.0, "A", None)), {"value": 10**400}),
    ("measures", plain(Measure("a", 1.0, "A", None)), {"better": "more"}),
    ("measures", plain(Measure("a", 1.0, "A", 3)), {"n": True}),
    ("findings", plain(Finding("class_imbalance", "info", "A", "B")), {"code": "no_such_code"}),
    ("findings", plain(Finding("class_imbalance", "info", "A", "B")), {"severity": "fatal"}),
    ("tables", {"title": "A", "columns": ["x", "y"], "rows": [[1, "b"]], "shows_rows": False}, {"rows": [[1]]}),
    ("charts", plain(Matrix("A", ("a",), ("x", "y"), ((1.0, None),))), {"values": [[1.0]]}),
    ("charts", plain(Matrix("A", ("a",), ("x", "y"), ((1.0, None),))), {"rows": []}),
    ("charts", plain(Picture("A", ((0.0, 1.0), (1.0, 0.0)))), {"values": [[0.0], []]}),
    ("charts", plain(Picture("A", ((0.0, 1.0), (1.0, 0.0)))), {"values": []}),
]


@pytest.mark.parametrize(("where", "part", "change"), PARTS)
def test_what_types_do_not_say_of_a_part_is_looked_at_too(where, part, change):
    document = {"measures": [], "findings": [], "tables": []}
    check_form(Node("c", "check"), {**document, where: [part]}, {})
    assert f"{where}[0]" in refused(Node("c", "check"), {**document, where: [{**part, **change}]}, {}, Expected())


# --- a whole run


FORGED = {
    "predict": lambda made: Artifact({}, made.arrays),
    "check": lambda made: Artifact({**made.document, "measures": [{"name": "a"}]}, made.arrays),
    "attribute": lambda made: Artifact({}),
    "judge": lambda made: Artifact({**made.document, "summary": 7}, made.arrays),
    "attribute  ": lambda made: Artifact(made.document, {**made.arrays, "values": made.arrays["values"] * np.nan}),
    "judge ": lambda made: Artifact(made.document, {**made.arrays, "curve": made.arrays["curve"] / 0.0}),
    "attribute ": lambda made: Artifact(made.document, {**made.arrays, "values": made.arrays["values"][:, :1]}),
    "state": lambda made: Artifact({**made.document, "tables": [[]], "charts": [{"kind": "lines"}]}, made.arrays),
}


@pytest.mark.parametrize("op", FORGED)
def test_a_forged_result_makes_a_run_incomplete_and_is_never_our_failure(tmp_path, monkeypatch, capsys, op):
    spec = write_spec(make_project(tmp_path), "german-credit-trees", SPEC)
    real = operations.OPERATIONS[op.strip()]
    struck = []

    def forged(*given: Any) -> Artifact:
        struck.append(op)
        with np.errstate(divide="ignore", invalid="ignore"):
            return FORGED[op](real(*given))

    monkeypatch.setitem(operations.OPERATIONS, op.strip(), forged)
    monkeypatch.setenv("PGX_STORE", str(tmp_path / "store"))
    status = main(["run", str(spec), "--engine", "inline", "-o", str(tmp_path / "out")])
    said = capsys.readouterr().err
    assert struck
    assert status == 3, said
    assert "its result was refused: its " in said
    factsheet = json.loads((tmp_path / "out" / "factsheet.json").read_text())
    assert factsheet["verdict"]["status"] == "incomplete"
    assert any("was refused" in (node["reason"] or "") for node in factsheet["provenance"]["nodes"])
