"""Pairs and triples that are asked for by name are measured whether or not they are among the strongest."""

import numpy as np
import pytest
from pydantic import ValidationError

from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.methods.declaration import UnfitParams
from pgx_compiler.methods.perturbation._named_together import at_most, positions, with_named
from tests.methods.models import forest_bench
from tests.methods.tables import Column, mixed_columns, run, spent_by, table_of, values_of

FRIEDMAN, ALE, PARTS, TREES = (
    catalogue()[name]
    for name in ("friedman_h", "accumulated_local_effects", "functional_decomposition", "tree_shap_interactions")
)


def corners(names):
    """A full factorial of -1 and 1: features are independent and centred, so that averages are exact."""
    grid = np.stack(np.meshgrid(*[[-1.0, 1.0]] * len(names), indexing="ij"), axis=-1).reshape(-1, len(names))
    return [Column(name, grid[:, j]) for j, name in enumerate(names)]


def test_a_weak_pair_has_the_h_of_its_definition_where_it_is_named():
    # 3 a b + 2 c d + c: a and b interact most. The joint partial dependence of c and d is 2 c d + c, of variance 5, of which
    # 2 c d is the share 4 / 5 that is neither's own; of a and c it is c, so that nothing is left.
    table = table_of(lambda z: 3 * z[:, 0] * z[:, 1] + 2 * z[:, 2] * z[:, 3] + z[:, 2], corners("abcd"))
    assert set(values_of(run(FRIEDMAN, table, pair_features=2), "interaction_")) == {"strength", "a_and_b"}
    found = values_of(run(FRIEDMAN, table, pair_features=2, always=[["d", "c"], ["a", "c"]]), "interaction_")
    assert found == {
        "strength": pytest.approx(13 / 14),  # 9 and 4 of 9 + 4 + 1
        "a_and_b": pytest.approx(1.0),
        "a_and_c": 0.0,
        "c_and_d": pytest.approx(np.sqrt(4 / 5)),
    }
    alone = values_of(run(FRIEDMAN, table, pair_features=0, always=[["c", "d"]]), "interaction_")
    assert alone == {"strength": found["strength"], "c_and_d": found["c_and_d"]}


def test_a_weak_pair_has_its_share_of_the_variance_and_is_taken_off_what_is_left():
    # variances 9, 4 and 1, of 14 together
    table = table_of(lambda z: 3 * z[:, 0] * z[:, 1] + 2 * z[:, 2] * z[:, 3] + z[:, 2], corners("abcd"))
    few = {m.name: m.value for m in run(PARTS, table, pair_features=2).measures}
    named = {m.name: m.value for m in run(PARTS, table, pair_features=2, always=[["c", "d"]]).measures}
    assert set(named) - set(few) == {"pair_c_and_d"}
    assert named["pair_c_and_d"] == pytest.approx(4 / 14)
    assert (few["share_of_pairs"], few["share_left"]) == (pytest.approx(9 / 14), pytest.approx(4 / 14))
    assert (named["share_of_pairs"], named["share_left"]) == (pytest.approx(13 / 14), 0.0)


def test_three_that_are_named_are_looked_into_with_their_pairs_whatever_the_order():
    # 2 a + 3 a b c: variances 4 and 9. Of one triple there is no sum over triples.
    table = table_of(lambda z: 2 * z[:, 0] + 3 * z[:, 0] * z[:, 1] * z[:, 2], corners("abcd"))
    report = run(PARTS, table, order=1, always=[["c", "b", "a"]])
    found = {m.name: m.value for m in report.measures}
    assert found["triple_a_and_b_and_c"] == pytest.approx(9 / 13)
    assert values_of(report, "pair_") == {"a_and_b": 0.0, "a_and_c": 0.0, "b_and_c": 0.0}
    assert not {"share_of_pairs", "share_of_triples"} & set(found)
    assert found["share_left"] == 0.0


def test_a_second_order_effect_that_is_named_is_that_of_all_pairs():
    rng = np.random.default_rng(4)
    columns = [Column(name, rng.uniform(-1, 1, 200)) for name in "abc"] + [
        Column("k", rng.integers(0, 2, 200), ("x", "y"))
    ]
    table = table_of(lambda z: 5 * z[:, 0] + 4 * z[:, 1] + z[:, 0] * z[:, 2], columns)
    every = values_of(run(ALE, table), "interaction_")
    assert set(values_of(run(ALE, table, pair_features=2), "interaction_")) == {"a_and_b"}
    named = run(ALE, table, pair_features=2, always=[["c", "a"], ["b", "k"]])
    assert values_of(named, "interaction_") == {"a_and_b": 0.0, "a_and_c": every["a_and_c"], "b_and_k": None}
    # a c on squares of side 2 / 8: the mean of its products of cell middles, less both means, has about the spread 1 / 3
    assert every["a_and_c"] == pytest.approx(1 / 3, rel=0.15)
    (reason,) = (m.reason for m in named.measures if m.name == "interaction_b_and_k")
    assert reason == "a second-order effect is one of two numeric features, and k is not"
    undrawn = run(ALE, table, pairs=0, always=[["a", "c"]])
    assert values_of(undrawn, "interaction_") == {"a_and_c": every["a_and_c"]}


def test_of_trees_a_named_pair_becomes_a_fact_as_it_stands_in_the_evidence():
    bench = forest_bench()
    few, named = (
        TREES.function(bench.model, bench.rows, TREES.params(pair_features=2, always=always))
        for always in ([], [["h", "a"]])
    )
    more = {m.name for m in named.measures} - {m.name for m in few.measures}
    assert more == {"interaction_a_and_h"}
    size = np.abs(few.arrays["interactions"][:, 0, 7]).mean()
    assert next(m.value for m in named.measures if m.name == "interaction_a_and_h") == pytest.approx(size)


def test_named_pairs_are_priced():
    table = table_of(lambda z: z[:, 0] * z[:, 1] + z[:, 3], mixed_columns(60))
    named = [["a", "grade"], ["b", "unread"]]
    # five features, and the two pairs: none is among the strongest where none are looked for
    assert spent_by(FRIEDMAN, table, rows=10, pair_features=0, always=named) == (100 * 7, 100 * 7)
    asked, planned = spent_by(FRIEDMAN, table, rows=10, pair_features=5, always=named)
    assert asked == planned == 100 * 15  # ten pairs of five: they are among them
    asked, planned = spent_by(PARTS, table, rows=10, order=1, always=[["a", "b", "grade"]], drawn=0)
    assert asked <= planned == 100 * (5 + 3 + 1)
    asked, planned = spent_by(ALE, table, rows=10, pairs=0, always=[["a", "b"]])
    assert asked <= planned == 10 * (1 + 2 * 5 + 4)


def test_sets_stand_once_and_in_the_order_of_the_table():
    named = positions((("c", "a"), ("a", "c"), ("d", "b", "a")), "abcd")
    assert named == [(0, 1, 3), (0, 2)]
    assert with_named([3, 0], 2, named) == [(0, 2), (0, 3)]
    assert with_named([3, 0], 3, named) == [(0, 1, 3)]
    assert at_most(2, 4, (("c", "a"), ("d", "b", "a"))) == 2
    assert at_most(4, 4, (("c", "a"),)) == 6  # there are no more


def test_features_that_are_not_there_or_stand_with_themselves_are_refused():
    table = table_of(lambda z: z[:, 0], corners("ab"))
    with pytest.raises(UnfitParams, match="`always` names `x`, and the features are `a`, `b`"):
        run(FRIEDMAN, table, always=[["a", "x"]])
    with pytest.raises(UnfitParams, match="together with itself"):
        run(FRIEDMAN, table, always=[["a", "a"]])
    with pytest.raises(ValidationError, match="at most 2"):
        FRIEDMAN.params(always=[["a", "b", "c"]])
