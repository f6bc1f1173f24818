"""Anchors on tables whose decision is known, the bandit's bounds, and what a rule's numbers promise."""

import numpy as np
import pytest

from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.methods.perturbation._anchor_rules import Rules
from pgx_compiler.methods.perturbation._kl_lucb import best_arms, bounds, divergence
from pgx_compiler.methods.perturbation.anchors import AnchorsParams, anchors
from tests.methods.tables import Column, handle_of, shape_of, table_of

COLOURS = ("red", "green", "blue")


def credit(lead, n=400, explained=6, **more):
    """Two classes; class ``yes`` where the formula is above zero. Columns: age, sum, colour (one-hot), noise."""
    rng = np.random.default_rng(2)
    columns = [
        Column("age", rng.integers(20, 60, n)),
        Column("sum", rng.normal(size=n)),
        Column("colour", rng.integers(0, 3, n), COLOURS, "one_hot"),
        Column("noise", rng.normal(size=n)),
    ]
    return table_of(
        lambda z: np.stack([-lead(z), lead(z)], axis=1), columns, classes=("no", "yes"), score="logit", explained=explained, **more
    )  # fmt: skip


def run(table, index, seed=0, **params):
    return anchors(table.row(index), AnchorsParams(**params), np.random.default_rng(seed))


def test_one_category_that_decides_is_the_rule():
    table = credit(lambda z: np.where(z[:, 2] == 1, 1.0, -1.0), explained=20)
    for index in range(20):
        colour = int(table.row(index).z[2])
        found = run(table, index)
        assert found.statements[0].features == ("colour",)
        assert found.statements[0].text.startswith(f"colour = {COLOURS[colour]} ⇒ {'yes' if colour == 1 else 'no'}")
        assert found.numbers["precision"] == 1.0
        assert found.numbers["coverage"] == pytest.approx((table.train.z[:, 2] == colour).mean())
        # Nothing of the row's values where they must not be seen.
        assert COLOURS[colour] not in found.statements[0].without_values


def test_a_conjunction_takes_both_conditions():
    # yes only for red and older than the median: a row that is both needs both, and nothing else.
    table = credit(lambda z: np.where((z[:, 2] == 0) & (z[:, 0] > np.median(z[:, 0])), 1.0, -1.0), explained=60)
    cut = np.quantile(table.train.z[:, 0], 0.5, method="lower")
    table = credit(lambda z: np.where((z[:, 2] == 0) & (z[:, 0] > cut), 1.0, -1.0), explained=60)
    both = [i for i in range(60) if table.row(i).z[2] == 0 and table.row(i).z[0] > cut]
    assert len(both) >= 5
    for index in both:
        found = run(table, index)
        assert found.statements[0].features == ("age", "colour")
        assert found.numbers["precision"] == 1.0


def test_a_model_that_always_decides_alike_has_the_rule_without_conditions():
    found = run(credit(lambda z: np.ones(len(z))), 0)
    assert found.statements[0].text.startswith("always ⇒ yes")
    assert (found.numbers["coverage"], found.numbers["conditions"]) == (1.0, 0.0)


def test_no_rule_is_an_answer():
    # Which decision is a hash of the noise: no quantile holds it.
    table = credit(lambda z: np.sin(1e4 * z[:, 3]))
    found = run(table, 0)
    assert found.numbers == {"found": 0.0}
    assert found.statements == ()


def test_what_a_rule_promises_holds_on_other_draws():
    table = credit(lambda z: (z[:, 0] - 40) / 10 + z[:, 1] + (z[:, 2] == 2), explained=10)
    rng = np.random.default_rng(99)
    promised = 0
    for index in range(10):
        row, found = table.row(index), run(table, index)
        for statement in found.statements:
            # The rule, parsed from nothing but its own words, on 4000 rows drawn by the definition.
            rules = Rules(row, 4)
            words = {p.say(table.features[p.feature]): i for i, p in enumerate(rules.predicates)}
            told = statement.text.split(" ⇒ ")[0]
            rule = frozenset() if told == "always" else frozenset(words[part] for part in told.split(" and "))
            scores = table.score(rules.draw(rule, 4000, rng)).argmax(axis=1)
            precision = (scores == table.score(row.z[None])[0].argmax()).mean()
            promised += 1
            assert precision >= 0.95 - 0.01
            assert statement.numbers["precision"] == pytest.approx(precision, abs=0.03)
            assert statement.numbers["precision_low"] <= precision + 0.01
            covered = np.all(
                [rules.predicates[p].holds(table.train.z[:, rules.predicates[p].feature]) for p in rule], axis=0
            )
            assert statement.numbers["coverage"] == pytest.approx(np.mean(covered))
    assert promised >= 4


def test_rows_drawn_under_a_rule_meet_it_and_leave_the_rest_alone():
    table = credit(lambda z: z[:, 1])
    rules = Rules(table.row(0), 4)
    rule = frozenset(range(len(rules.predicates)))
    z = rules.draw(rule, 500, np.random.default_rng(0))
    for predicate in rules.predicates:
        assert predicate.holds(z[:, predicate.feature]).all()
    free = rules.draw(frozenset(), 500, np.random.default_rng(0))
    train = {tuple(row) for row in table.train.z}
    assert all(tuple(row) in train for row in free)


def test_a_missing_value_is_a_condition():
    values = np.where(np.arange(200) % 2 == 0, np.nan, 1.0)
    columns = [Column("a", values), Column("b", np.random.default_rng(0).normal(size=200))]
    table = table_of(
        lambda z: np.stack([np.isnan(z[:, 0]), ~np.isnan(z[:, 0])], axis=1).astype(float), columns, classes=("no", "yes"), score="logit"
    )  # fmt: skip
    assert run(table, 0).statements[0].text.startswith("a is missing ⇒ no")


def test_the_bounds_are_those_of_the_divergence():
    # No hit in 10 draws: kl(0, q) = -ln(1 - q) <= level / 10 up to 1 - exp(-level / 10).
    low, high = bounds(np.array([0.0, 5.0]), np.array([10.0, 10.0]), 2.0)
    assert high[0] == pytest.approx(1 - np.exp(-0.2), abs=1e-6)
    assert low[0] == 0.0
    assert 10 * divergence(np.array(0.5), high[1]) == pytest.approx(2.0, abs=1e-6)
    assert 10 * divergence(np.array(0.5), low[1]) == pytest.approx(2.0, abs=1e-6)


def test_the_bandit_finds_the_best_arms_and_pulls_them_most():
    rng = np.random.default_rng(0)
    share = np.array([0.9, 0.2, 0.85, 0.3, 0.5, 0.1])
    hits, draws = np.zeros(6), np.zeros(6)

    def pull(arm):
        return int(rng.binomial(50, share[arm])), 50

    for arm in range(6):
        hits[arm], draws[arm] = pull(arm)
    chosen = best_arms(pull, hits, draws, 2, 0.05, 0.1, lambda: True)
    assert set(chosen.tolist()) == {0, 2}
    assert draws[5] < draws[[0, 2, 4]].max()


@pytest.mark.parametrize("params", [{}, {"samples": 1500, "confirm": 500}, {"samples": 3000, "beam": 3}])
def test_no_more_is_spent_than_planned(params):
    table = credit(lambda z: (z[:, 0] - 40) / 10 + z[:, 1])
    handle = handle_of(table)
    for index in range(3):
        before = handle.spent.forward
        run(table, index, **params)
        planned = catalogue()["anchors"].cost(AnchorsParams(**params), shape_of(table)).forward / len(table.explained)
        assert 0 < handle.spent.forward - before <= planned


def test_confirmation_must_leave_room_to_search():
    with pytest.raises(ValueError, match="confirm"):
        AnchorsParams(samples=1000, confirm=1000)
