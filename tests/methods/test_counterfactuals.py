"""Counterfactuals: what is printed holds, changes nothing that may not change, and nothing that it need not."""

from functools import cache

import numpy as np
import pytest

from pgx_compiler.methods.apply import row_rng
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.methods.declaration import UnfitParams
from tests.methods.tables import Column, declared, handle_of, mixed_columns, table_of

DECLARATION = catalogue()["counterfactuals"]
NEAREST = catalogue()["nearest_counterfactual"]
NUMBER, COLOUR, GRADE = 0, 2, 3


def told(table, row=0, method=DECLARATION, seed=0, **params):
    return method.function(table.row(row), method.params(**params), row_rng(seed, row))


def two_classes(margin):
    """A formula of one number as the logits of two classes."""

    def formula(z):
        score = margin(z)
        return np.stack([-score, score], axis=1)

    return formula


def classified(margin, columns, explained=3, **more):
    return table_of(two_classes(margin), columns, classes=("bad", "good"), focus=(1,), score="logit", explained=explained, **more)  # fmt: skip


COLOURS = np.array([0.0, 1.2, -0.8])


def mixed(**more):
    """Numbers, a one-hot group and a coded category that act together; the last feature is not read."""

    def margin(z):
        return z[:, 0] + z[:, 1] * z[:, 3] + COLOURS[z[:, COLOUR].astype(int)] - 0.5

    return classified(margin, mixed_columns(300), explained=12, **more)


@cache
def mixed_and_told(name="counterfactuals"):
    """The table of `mixed` with what is said of its twelve rows: made once."""
    table = mixed()
    return table, [told(table, index, catalogue()[name]) for index in range(12)]


def rows_of(said):
    z = said.arrays["counterfactuals"]
    return z[~np.isnan(z).all(axis=1)]


def changes(z, row):
    return (z != row) & ~(np.isnan(z) & np.isnan(row))


# what is printed holds


def test_every_counterfactual_is_of_the_other_class():
    table, all_told = mixed_and_told()
    found = 0
    for index, said in enumerate(all_told):
        before = table.score(table.row(index).z[None]).argmax()
        assert (table.score(rows_of(said)).argmax(axis=1) != before).all()
        found += len(rows_of(said))
    assert found >= 30  # of 36


def test_giving_any_change_back_loses_the_counterfactual():
    table, all_told = mixed_and_told()
    for index, said in enumerate(all_told):
        row = table.row(index).z
        assert said.numbers["irreducible"] == 1.0
        before = table.score(row[None]).argmax()
        for z in rows_of(said):
            for j in np.flatnonzero(changes(z, row)):
                back = z.copy()
                back[j] = row[j]
                assert table.score(back[None]).argmax() == before


def test_what_is_not_read_is_never_changed():
    table, all_told = mixed_and_told()
    assert not any(changes(rows_of(said), table.row(i).z)[:, 4].any() for i, said in enumerate(all_told))


def test_immutable_features_and_those_not_named_keep_their_values():
    table = mixed(immutable=frozenset({"a"}))
    for index in range(4):
        row = table.row(index).z
        changed = changes(rows_of(told(table, index, only=["a", "b", "colour"])), row)
        assert not changed[:, [NUMBER, GRADE]].any()
    assert any(changes(rows_of(told(table, i)), table.row(i).z)[:, GRADE].any() for i in range(4))


def test_changed_numbers_stay_in_their_range():
    table = mixed(ranges={"a": (-0.5, 0.7)})
    for index in range(6):
        row, z = table.row(index).z, rows_of(told(table, index))
        moved = z[z[:, NUMBER] != row[NUMBER], NUMBER]
        assert ((moved >= -0.5) & (moved <= 0.7)).all()


def test_whole_numbers_stay_whole_and_large_ones_are_round():
    # The margin needs 1,234.5 of amount: with steps of hundreds 1,300 is the least that is enough, from below.
    rng = np.random.default_rng(0)
    columns = [Column("amount", rng.integers(200, 5000, 300)), Column("count", rng.integers(0, 9, 300))]
    table = classified(lambda z: (z[:, 0] - 1234.5) / 100, columns, explained=40)
    low = [i for i in range(40) if table.row(i).z[0] < 1234]
    assert low
    for index in low:
        (z,) = rows_of(told(table, index, count=1))
        assert z.tolist() == [1300.0, table.row(index).z[1]]


def test_categories_are_ones_that_occur():
    # `blue` would do best, and no row has it; `green` is enough.
    codes = np.array([0, 1] * 50)
    columns = [Column("colour", codes, ("red", "green", "blue"), "one_hot"), Column("b", np.linspace(0, 1, 100))]
    table = classified(lambda z: np.array([-1.0, 1.0, 9.0])[z[:, 0].astype(int)], columns)
    said = told(table, 0)
    assert rows_of(said)[:, 0].tolist() == [1.0]
    assert "colour “red” → “green”" in said.statements[0].text


def test_a_missing_value_may_be_filled_but_none_is_made_missing():
    a = np.array([np.nan, *np.linspace(-1, 1, 99)])
    table = classified(
        lambda z: np.nan_to_num(z[:, 0], nan=-1.0) + 0.1 * z[:, 1], [Column("a", a), Column("b", a[::-1])]
    )
    said = told(table, 0)
    z = rows_of(said)
    assert not np.isnan(z).any()
    assert "a missing → " in said.statements[0].text


def test_blocks_are_exchanged_for_ones_that_occur():
    from tests.modalities.test_table import table_of as plain

    x = np.array([[0.5, 2], [1, 7], [3, 3], [0.5, 2]] * 10)
    table = plain({"x": x}, ["p1", "p2"], {"p": ["p*"]})
    said = told(table, 0, change=3.0)  # 2.5 + 3 = 5.5: [1, 7] and [3, 3] have 8 and 6
    assert {int(v) for v in rows_of(said)[:, 0]} <= {1, 2}
    assert said.numbers["found"] == 1.0


# which ones are found


def test_on_a_linear_model_the_feature_with_the_best_ratio_changes():
    # Both columns have spread 1 times theirs: the margin falls short by g, feature j needs g / (|w_j| s_j) spreads.
    rng = np.random.default_rng(4)
    columns = [
        Column("a", rng.normal(size=300)),
        Column("b", 10 * rng.normal(size=300)),
        Column("c", rng.normal(size=300)),
    ]
    weights = np.array([1.0, 0.3, -0.5])  # in spreads: 1, 3, 0.5
    table = classified(lambda z: z @ weights - 1.0, columns, explained=5)
    scales = table.metric("mad").scales
    for index in range(5):
        row = table.row(index).z
        gap = abs(row @ weights - 1.0)
        least = gap / (np.abs(weights) * scales).max()
        said = told(table, index)
        assert changes(rows_of(said)[0], row).tolist() == [False, True, False]
        # rounded to tenths of the order of the spread: 6.7 -> steps of 0.1
        assert least <= said.numbers["distance"] <= least + 0.1 / scales[1] + 1e-9
        np.testing.assert_allclose(said.numbers["distance"], (np.abs(rows_of(said)[0] - row) / scales).sum())


def test_different_counterfactuals_change_different_features():
    table = classified(lambda z: z.sum(axis=1) - 0.5, [Column(n, np.linspace(-2, 2, 101)) for n in "abc"], explained=1)
    said = told(table, 0, count=3)  # from -6: one number can give 4 of the 6.5 that are missing, two can give all
    assert len(rows_of(said)) == 3
    assert len({tuple(c) for c in changes(rows_of(said), table.row(0).z)}) == 3
    # {a, b}, {a, c}, {b, c}: of three changed features in all, each pair shares one: 1 - 1/3
    np.testing.assert_allclose(said.numbers["diversity"], 2 / 3)


def test_no_more_features_change_than_allowed():
    table = classified(lambda z: z.sum(axis=1) - 0.5, [Column(n, np.linspace(-2, 2, 101)) for n in "abc"], explained=1)
    assert told(table, 0, most_changed=1).numbers["found"] == 0.0
    assert told(table, 0, most_changed=2).numbers["changed"] == 2.0


def test_a_named_class_is_reached_or_nothing_is_to_find():
    def formula(z):
        return np.stack([z[:, 0], -z[:, 0], np.full(len(z), -0.25) + z[:, 1]], axis=1)

    columns = [Column("a", np.linspace(-2, 2, 101)), Column("b", np.tile([0.0, 0.5, 3.0], 34)[:101])]
    table = table_of(formula, columns, classes=("left", "right", "third"), focus=(0,), score="logit", explained=1)
    said = told(table, 0, wanted="third")  # a = -2: the class is `right` by 2; 3 - 0.25 beats it
    assert (table.score(rows_of(said)).argmax(axis=1) == 2).all()
    assert said.statements[0].text.startswith("third instead of right with ")
    already = told(table, 0, wanted="right")
    assert np.isnan(already.numbers["found"])
    assert already.statements[0].text == "nothing to find: the row is right as it stands"


def test_a_margin_is_kept():
    table = mixed()
    scores = table.score(rows_of(told(table, 0, margin=0.5)))
    current = table.score(table.row(0).z[None]).argmax()
    assert (scores[:, 1 - current] - scores[:, current] >= 0.5).all()


@pytest.mark.parametrize("change", [1.5, -1.5])
def test_a_regression_moves_by_what_is_wanted(change):
    table = table_of(lambda z: 2 * z[:, 0] + z[:, 1], [Column("a", np.linspace(-2, 2, 101)), Column("b", np.zeros(101))], explained=60)  # fmt: skip
    scores = table.score(rows_of(told(table, 50, change=change)))[:, 0]
    assert (np.sign(change) * (scores - 0.0) >= 1.5).all()  # row 50 scores 0
    assert np.abs(scores[0]) < 1.5 + 2 * 0.1 + 1e-9  # steps of a are 0.1: MAD 1


def test_a_regression_reaches_a_range_or_moves_by_its_labels_spread():
    columns = [Column("a", np.linspace(-2, 2, 101)), Column("b", np.linspace(0, 1, 101))]
    labels = np.tile([0.0, 2.0], 51)[:101]
    table = table_of(lambda z: 2 * z[:, 0], columns, labels=labels)
    inside = table.score(rows_of(told(table, 0, range=(-1.0, -0.5))))[:, 0]
    assert ((inside >= -1) & (inside <= -0.5)).all()
    moved = table.score(rows_of(told(table, 0)))[:, 0]
    assert (np.abs(moved + 4) >= np.std(labels)).all()


# not found, and the budget


@pytest.mark.parametrize("method", [DECLARATION, NEAREST], ids=lambda d: d.name)
def test_of_a_constant_model_nothing_is_found_and_said_so(method):
    table = classified(lambda z: np.full(len(z), -1.0), mixed_columns(60))
    said = told(table, 0, method)
    assert said.numbers["found"] == 0.0
    assert np.isnan(said.numbers["distance"])
    assert len(rows_of(said)) == 0
    assert said.statements[0].text.startswith("not found: none of ")
    assert said.statements[0].text.endswith("gives good instead of bad")


def test_a_tie_is_no_counterfactual():
    # Both classes have 0 everywhere but in the row itself: which of them a tie is given is an accident of their order.
    table = classified(lambda z: np.where(z[:, 0] == 1.0, -1.0, 0.0), [Column("a", np.array([1.0, 2, 3] * 20))])
    assert told(table, 0).numbers["found"] == 0.0


@pytest.mark.parametrize("method", [DECLARATION, NEAREST], ids=lambda d: d.name)
@pytest.mark.parametrize("calls", [50, 120, 700, 2000])
def test_no_more_rows_are_asked_than_planned(method, calls):
    table = mixed()
    handle = handle_of(table)
    before = handle.spent.forward
    for index in range(3):
        told(table, index, method, max_calls=calls)
    planned = declared(method, table, method.params(max_calls=calls)) - 9 * calls  # three rows of the twelve
    assert 0 < handle.spent.forward - before <= planned


def test_what_a_small_budget_does_not_prove_is_not_claimed():
    rng = np.random.default_rng(0)
    columns = [Column(f"c{i}", rng.normal(size=200)) for i in range(40)]
    table = classified(lambda z: np.tanh(z).sum(axis=1) - 8.0, columns, explained=6)
    shares = [told(table, i, max_calls=60, count=1).numbers["irreducible"] for i in range(6)]
    assert 0.0 in shares
    assert 1.0 not in [s for s, i in zip(shares, range(6), strict=True) if s == 0.0]


def test_the_same_seed_says_the_same_and_another_row_changes_nothing():
    alone, among = mixed(), mixed()
    told(among, 4)
    assert repr(told(alone, 5)) == repr(told(among, 5))


# words and mistakes


def test_a_statement_says_what_changes_with_and_without_values():
    rng = np.random.default_rng(0)
    columns = [Column("months", rng.integers(4, 72, 200)), Column("b", rng.normal(size=200))]
    table = classified(lambda z: (30.5 - z[:, 0]) / 10, columns, explained=20, units={"months": "months"})
    index = next(i for i in range(20) if table.row(i).z[0] == 48 or table.row(i).z[0] > 31)
    was = int(table.row(index).z[0])
    said = told(table, index, count=1).statements[0]
    assert (
        said.text == f"good instead of bad with months {was} → 30 months (logit of good {(30.5 - was) / 10:.3g} → 0.05)"
    )
    assert said.without_values == "good instead of bad with a lower months"
    assert said.features == ("months",)
    assert said.numbers["changed"] == 1.0


def test_plausible_is_what_lies_among_training_rows():
    # On the diagonal x = y the classes change at 0; off it there are no rows. What moves one number alone leaves it.
    line = np.linspace(-2, 2, 201)
    table = classified(lambda z: z[:, 0] + z[:, 1], [Column("x", line), Column("y", line)], explained=20)
    assert told(table, 0, count=1).numbers["plausibility"] == 0.0
    free = classified(lambda z: z[:, 0], [Column("x", line), Column("y", np.zeros(201))], explained=20)
    assert told(free, 0, count=1).numbers["plausibility"] == 1.0


@pytest.mark.parametrize(
    ("params", "words"),
    [({"wanted": "best"}, "`wanted` is `best`, and the classes are bad, good"), ({"only": ["aa"]}, "names `aa`"),
     ({"change": 1.0}, "are for regression")],
)  # fmt: skip
def test_parameters_that_do_not_fit_are_said_to_the_author(params, words):
    with pytest.raises(UnfitParams, match=words):
        told(mixed(), 0, **params)


def test_nothing_that_may_change_is_said_to_the_author():
    table = mixed(immutable=frozenset({"a"}))
    with pytest.raises(UnfitParams, match="no feature may change"):
        told(table, 0, only=["a"])


def test_a_regression_without_labels_must_say_what_is_wanted():
    table = table_of(lambda z: z[:, 0], [Column("a", np.arange(9.0))])
    with pytest.raises(UnfitParams, match="change: 5"):
        told(table, 0)
    with pytest.raises(UnfitParams, match="a regression has none"):
        told(table, 0, wanted="good")


@pytest.mark.parametrize("params", [{"range": [3, 1]}, {"change": 0}, {"max_calls": 3}])
def test_parameters_that_make_no_sense_are_refused_at_once(params):
    with pytest.raises(ValueError, match=r"range|change|max_calls"):
        DECLARATION.params(**params)
