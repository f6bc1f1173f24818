"""Rows worked on in parts: what is joined is, to the byte, what all rows in one piece give.

Over the whole catalogue: whichever method says (`Declaration.rows_together`) that its rows can be parted is held to it.
"""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from pgx_compiler.evidence.canonical import archive, canonical_json, unarchive
from pgx_compiler.evidence.results import RowReport
from pgx_compiler.evidence.store import Artifact
from pgx_compiler.execute import parts
from pgx_compiler.execute.statements import statements_report
from pgx_compiler.methods.apply import attribute, judge_rows, scores_of, state
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.methods.declaration import RowScore
from pgx_compiler.modalities.features import Rows
from tests.methods.models import benches

METHODS = [d for d in catalogue().values() if not d.is_request]
ATTRIBUTIONS = [d for d in METHODS if d.gives == "attribution"]
STATEMENTS = [d for d in METHODS if d.gives == "local"]
CHECKS = [d for d in METHODS if d.stage == "faithfulness"]


def named(declaration):
    return declaration.name


def suited(declaration):
    return [bench for bench in benches() if bench.suits(declaration)]


def kept(artifact: Artifact) -> Artifact:
    """As the store gives it back."""
    return Artifact(json.loads(canonical_json(artifact.document)), unarchive(archive(artifact.arrays)))


def more(rows: Rows, count: int) -> Rows:
    """Rows of a bench, repeated in turn, with references of their own where they have such."""
    return rows.of_rows(np.resize(np.arange(len(rows)), count))


def same(one, other) -> bool:
    return archive({"it": np.asarray(one)}) == archive({"it": np.asarray(other)})


def held(found) -> dict[str, np.ndarray]:
    return dict(parts.of_attributed(found).arrays)


def test_what_looks_over_rows_cannot_be_parted_and_what_explains_each_can():
    assert {d.name for d in METHODS if d.rows_together} == {d.name for d in [*ATTRIBUTIONS, *STATEMENTS, *CHECKS]}
    assert {catalogue()[name].rows_together for name in ("kernel_shap", "anchors", "deletion")} == {1}
    assert catalogue()["integrated_gradients"].rows_together == 8
    assert catalogue()["sage"].rows_together is None
    assert catalogue()["rank_correlation"].rows_together is None


@pytest.mark.parametrize("declaration", ATTRIBUTIONS, ids=named)
def test_an_attribution_of_rows_in_parts_is_that_of_all_rows(declaration):
    together = declaration.rows_together
    # the last part is of one row; one in the middle has none, as a shard of rows that were not chosen
    count = 2 * together + 1
    borders = [0, together, together, 2 * together, count]
    for bench in suited(declaration):
        rows, params = more(bench.rows, count), declaration.params()
        ids = [f"row {number}" for number in range(count)]
        whole = attribute(declaration, bench.model, rows, params, 5, ids)
        cut = [slice(*pair) for pair in pairwise(borders)]
        found = [
            kept(parts.of_attributed(attribute(declaration, bench.model, rows, params, 5, ids, part=part)))
            for part in cut
            if part.start < part.stop
        ]
        joined = held(parts.attributed(found))
        expected = held(whole)
        assert set(joined) == set(expected), bench.name
        assert [name for name in expected if not same(joined[name], expected[name])] == [], bench.name


@pytest.mark.parametrize("declaration", [d for d in ATTRIBUTIONS if d.per_row], ids=named)
def test_so_are_values_for_several_targets(declaration):
    bench = next(bench for bench in suited(declaration) if bench.facts.n_outputs > 1)
    rows = more(bench.rows, 3)
    rows = replace(rows, targets=np.stack([rows.target, 1 - rows.target], axis=1))
    whole = attribute(declaration, bench.model, rows, declaration.params(), 5)
    found = [
        kept(
            parts.of_attributed(
                attribute(declaration, bench.model, rows, declaration.params(), 5, part=slice(row, row + 1))
            )
        )
        for row in range(3)
    ]
    joined, expected = held(parts.attributed(found)), held(whole)
    assert "several_values" in expected
    assert set(joined) == set(expected)
    assert [name for name in expected if not same(joined[name], expected[name])] == []


@pytest.mark.parametrize("declaration", STATEMENTS, ids=named)
def test_statements_of_rows_in_parts_are_those_of_all_rows(declaration):
    for bench in suited(declaration):
        rows, params = bench.rows, declaration.params()
        ids = [str(number) for number in range(len(rows))]
        whole = statements_report(declaration, state(declaration, bench.model, rows, bench.table, params, 5, ids), ids)
        found = [
            kept(
                parts.of_statements(
                    declaration, state(declaration, bench.model, rows, bench.table, params, 5, ids, part=slice(*part))
                )
            )
            for part in ((0, 1), (1, len(rows)))
        ]
        report, rest = statements_report(declaration, parts.statements(declaration, found), ids)
        assert canonical_json([report.measures, rest]) == canonical_json([whole[0].measures, whole[1]]), bench.name
        assert archive(report.arrays) == archive(whole[0].arrays), bench.name


@pytest.mark.parametrize("declaration", CHECKS, ids=named)
def test_a_faithfulness_check_of_rows_in_parts_is_that_of_all_rows(declaration):
    for bench in suited(declaration):
        rows, params = more(bench.rows, 4), declaration.params()
        values = np.random.default_rng(2).normal(size=(4, len(rows.features)))

        def judged(part, rows=rows, values=values, params=params, bench=bench):
            return judge_rows(declaration, bench.model, rows, values, params, 5, part=part)

        whole = scores_of(declaration, judged(None))
        found = [kept(parts.of_judged(judged(slice(*part)))) for part in ((0, 1), (1, 4))]
        joined = scores_of(declaration, parts.judged(found))
        assert same(joined.values, whole.values), bench.name
        assert archive(joined.extra) == archive(whole.extra), bench.name


def test_rows_that_leave_arrays_of_other_shapes_types_and_names_come_back_as_they_were():
    said = [
        RowReport({}, (), {"path": np.arange(3.0), "count": np.int32(4), "word": np.array("a")}),
        RowReport({}, (), {"path": np.zeros((2, 2)), "count": np.float64(0.5)}),
        RowReport({}, (), {"word": np.array("longer")}),
    ]
    anchors = catalogue()["anchors"]
    back = parts.statements(anchors, [kept(parts.of_statements(anchors, said))])
    for one, other in zip(said, back, strict=True):
        assert set(one.arrays) == set(other.arrays)
        for name, array in one.arrays.items():
            array = np.asarray(array)
            assert (other.arrays[name].shape, other.arrays[name].dtype) == (array.shape, array.dtype)
            assert (other.arrays[name] == array).all()


def test_curves_of_unequal_length_are_brought_to_one_length_over_all_rows():
    # rows of two and of four features: the longest of all rows says on which shares curves are given
    scores = [RowScore(0.5, {"curve": np.array([0.0, 1.0])}), RowScore(0.25, {"curve": np.array([0.0, 0.2, 0.6, 1.0])})]
    found = [kept(parts.of_judged([score])) for score in scores]
    joined = scores_of(catalogue()["deletion"], parts.judged(found))
    # linear between 0 and 1, at the shares 0, 1/3, 2/3 and 1
    np.testing.assert_allclose(joined.extra["curve"], [[0, 1 / 3, 2 / 3, 1], [0.0, 0.2, 0.6, 1.0]], rtol=0, atol=1e-15)


def test_a_number_that_a_method_does_not_declare_is_an_error_in_the_shard():
    with pytest.raises(TypeError, match="undeclared"):
        parts.of_statements(catalogue()["anchors"], [RowReport({"luck": 1.0})])
