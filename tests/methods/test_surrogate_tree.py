"""A small tree that imitates the model: its rules, and how far they can be believed."""

import numpy as np
import pytest

from pgx_compiler.methods.perturbation.surrogate_tree import SurrogateTreeParams, surrogate_tree
from tests.methods.tables import Column, table_of

RNG = np.random.default_rng(11)
AGE = RNG.integers(20, 70, 600).astype(float)
HOME = RNG.integers(0, 3, 600)
COLUMNS = [Column("age", AGE), Column("home", HOME, ("own", "rent", "free"), "one_hot")]


def measured(report: object, name: str) -> float:
    (value,) = [m.value for m in report.measures if m.name == name]  # type: ignore[attr-defined]
    assert value is not None
    return float(value)


def test_a_model_that_is_a_tree_is_found_again() -> None:
    # three leaves: 1 for the young; of the others 5 for tenants and 2 for the rest
    table = table_of(lambda z: np.where(z[:, 0] <= 40, 1.0, np.where(z[:, 1] == 1, 5.0, 2.0)), COLUMNS, test=200)
    report = surrogate_tree(table, SurrogateTreeParams(depth=2))
    assert measured(report, "fidelity") == pytest.approx(1.0)
    assert measured(report, "leaves") == 3
    assert report.findings == ()
    rules = {row[2]: row[0] for row in report.tables[0].rows}
    assert set(rules) == {1.0, 2.0, 5.0}
    assert rules[5.0].startswith("age > ")
    assert rules[5.0].endswith("home is rent")
    assert rules[2.0].endswith("home is not rent")


def test_shares_of_the_leaves_add_up_to_all_rows() -> None:
    table = table_of(lambda z: np.sin(z[:, 0]) + z[:, 1], COLUMNS, test=200)
    report = surrogate_tree(table, SurrogateTreeParams(depth=3))
    assert sum(float(row[1]) for row in report.tables[0].rows) == pytest.approx(1.0, abs=1e-3)


def test_a_tree_that_does_not_follow_the_model_says_so() -> None:
    # a score that turns over with every year of age cannot be told by two questions
    table = table_of(lambda z: np.cos(np.pi * z[:, 0]), COLUMNS, test=200)
    report = surrogate_tree(table, SurrogateTreeParams(depth=2))
    assert measured(report, "fidelity") < 0.2
    assert [finding.code for finding in report.findings] == ["surrogate_unfaithful"]


def test_a_constant_model_has_no_fidelity_to_measure() -> None:
    report = surrogate_tree(table_of(lambda z: np.full(len(z), 3.0), COLUMNS, test=200), SurrogateTreeParams())
    (fidelity,) = [m for m in report.measures if m.name == "fidelity"]
    assert fidelity.value is None
    assert report.tables[0].rows[0][0] == "all rows"


def test_of_a_classifier_the_answers_are_compared() -> None:
    table = table_of(
        lambda z: np.stack([-(z[:, 0] - 45.5), z[:, 0] - 45.5], axis=1), COLUMNS, test=200, classes=("young", "old"),
        outputs=("young", "old"), focus=(1,), score="logit", labels=(AGE > 45).astype(int),
    )  # fmt: skip
    report = surrogate_tree(table, SurrogateTreeParams(depth=1))
    # one question near 45 answers almost as the model does
    assert measured(report, "same_answer") > 0.9
    assert report.tables[0].columns[2] == "logit of old"


def test_conditions_on_whole_numbers_are_whole() -> None:
    months = RNG.integers(4, 60, 600).astype(float)
    table = table_of(
        lambda z: (z[:, 0] > 24).astype(float), [Column("months", months)], test=100, units={"months": "months"}
    )
    report = surrogate_tree(table, SurrogateTreeParams(depth=1))
    assert {row[0] for row in report.tables[0].rows} == {"months ≤ 24 months", "months > 24 months"}
