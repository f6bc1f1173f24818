"""Which algorithm computes a quantity that was asked for: one ranking."""

import pytest

from pgx_compiler.methods.algorithms import best_first, refusal_by_model
from pgx_compiler.methods.catalogue import catalogue, computing
from pgx_compiler.methods.declaration import Shape
from tests.methods.models import benches

SHAPE = Shape(rows=8, features=20, references=5)
QUANTITY = "shapley_values"


def names(shape: Shape = SHAPE, without: frozenset[str] = frozenset()) -> list[str]:
    able, refused = best_first(QUANTITY, shape, lambda one: "left out" if one.name in without else None)
    assert set(refused) == without
    assert set(refused.values()) <= {"left out"}
    return [one.name for one in able]


def test_all_that_compute_a_quantity_are_ranked():
    assert sorted(names()) == sorted(one.name for one in computing(QUANTITY))


def test_exact_ones_come_first_and_the_cheapest_of_them_before_all():
    ranked = [catalogue()[name] for name in names()]
    exact = [one.exact for one in ranked]
    assert exact == sorted(exact, reverse=True)
    rows = [
        one.cost(one.params(), SHAPE).forward + one.cost(one.params(), SHAPE).backward for one in ranked if one.exact
    ]
    assert rows == sorted(rows)


def test_of_those_that_sample_the_most_accurate_comes_first_whatever_it_costs():
    sampling = [catalogue()[name] for name in names() if not catalogue()[name].exact]
    errors = [one.relative_error or float("inf") for one in sampling]
    assert len(errors) > 1
    assert errors == sorted(errors)


def test_the_best_is_left_out_and_the_next_best_stands_in():
    first, second, *_ = names()
    assert names(without=frozenset({first}))[0] == second


@pytest.mark.parametrize("bench", benches(), ids=lambda bench: bench.name)
def test_a_model_admits_what_it_offers(bench):
    shape = Shape(len(bench.rows), len(bench.rows.features), len(bench.rows.references))
    able, refused = best_first(QUANTITY, shape, refusal_by_model(bench.facts, shape, "logit"))
    assert all(one.capability in bench.facts.capabilities for one in able)
    assert all(refused.values())
    assert {one.name for one in able} | set(refused) == {one.name for one in computing(QUANTITY)}
