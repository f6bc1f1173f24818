"""Measures that hang on what the data has are made where it has it, and nowhere else: so a gate on them can be refused."""

import inspect
import re
from dataclasses import replace

import numpy as np
import pytest

from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.modalities.data import AuditData, Split
from pgx_compiler.modalities.table import Table, TableSetting
from runtimes.capabilities import Spent
from tests.methods.tables import Column, data_of

NEEDING = {name: one for name, one in catalogue().items() if one.measures_need}
ELSEWHERE = {"last_layer_influence", "activation_maximisation"}  # these ask for layers and for pictures
SMALL = {
    "surrogate_influence": {"rows": 60},
    "sage": {"samples": 32, "background": 8},
    "marginalised_importance": {"rows": 10},
    "permutation_importance": {"rows": 40},
    "drift": {"statistic": "ks"},
}
TRAIN, TEST = 240, 80


class Plain:
    """Two scores, or one, that are sums of the columns."""

    rows_per_call = 512

    def __init__(self, outputs: int) -> None:
        self.spent = Spent()
        self._weights = np.array([[-1.0, 1.0], [-0.5, 0.5], [-0.8, 0.8]])[:, -outputs:]

    def predict(self, inputs):
        scores = inputs["x"] @ self._weights
        return np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True) if scores.shape[1] == 2 else scores


def audit(without: str) -> AuditData:
    """Rows of two groups, which differ in their labels, and which `proxy` gives away."""
    rng = np.random.default_rng(5)
    n = TRAIN + TEST
    group = rng.integers(0, 2, n).astype(np.float64)
    columns = [Column("a", rng.normal(size=n)), Column("proxy", group + rng.normal(size=n) / 9), Column("group", group)]
    labels = (rng.random(n) < np.where(group > 0, 0.9, 0.2)).astype(np.int64)
    classes = () if without == "classification" else ("no", "yes")
    told = labels if classes else labels + rng.normal(size=n) / 9
    data = data_of(columns, labels=told, test=TEST, classes=classes)
    if without == "labels":
        data = replace(data, train=replace(data.train, labels=None))
    if without == "test":
        data = replace(data, test=None, variables=tuple(replace(v, test=None) for v in data.variables))
    if without == "test_labels":
        data = replace(data, test=replace(data.test, labels=None))
    role = "feature" if without == "sensitive" else "sensitive"
    return replace(data, variables=tuple(replace(v, role=role) if v.name == "group" else v for v in data.variables))


def had(data: AuditData) -> set[str]:
    """What the data has, read off it."""
    has = {
        "labels": data.train.labels is not None,
        "test": data.test is not None,
        "test_labels": data.test is not None and data.test.labels is not None,
        "unseen_labels": (data.test or data.train).labels is not None,
        "sensitive": bool(data.of_role("sensitive")),
        "classification": data.task == "classification",
        "one_output": True,
    }
    return {what for what, there in has.items() if there}


def measured(name: str, data: AuditData) -> list[str]:
    """Names of the measures that have a value."""
    method, model = NEEDING[name], Plain(len(data.classes) or 1)
    explained = Split("explained", {"x": data.train.inputs["x"][:3]}, None, np.arange(3))
    said = TableSetting(
        data.classes or ("value",), (len(data.classes[1:]),), "probability" if data.classes else "value"
    )
    given = {
        "data": data,
        "model": model,
        "table": Table(data, model, explained, np.full(3, len(data.classes[1:])), said),
        "params": method.params(**SMALL.get(name, {})),
        "rng": np.random.default_rng(0),
    }
    report = method.function(**{one: given[one] for one in inspect.signature(method.function).parameters})
    return [measure.name for measure in report.measures if measure.value is not None]


@pytest.mark.parametrize("name", NEEDING)
def test_what_is_needed_is_said_of_measures_and_parameters_that_there_are(name: str) -> None:
    method = NEEDING[name]
    assert set(method.measures_need) <= set(method.measures)
    for needed in method.measures_need.values():
        assert needed
        for need in needed:
            assert need.had not in method.needs  # what the method itself needs is said of the step
            if need.where is not None:
                assert getattr(method.params(**{need.where[0]: need.where[1]}), need.where[0]) == need.where[1]


@pytest.mark.parametrize("without", ["", "labels", "test", "test_labels", "sensitive", "classification"])
@pytest.mark.parametrize("name", sorted(set(NEEDING) - ELSEWHERE))
def test_a_measure_is_made_where_the_data_has_what_it_needs_and_nowhere_else(name: str, without: str) -> None:
    method, data = NEEDING[name], audit(without)
    has = had(data)
    if not method.needs <= has or data.task not in method.tasks:
        pytest.skip("the step itself is refused")
    made = measured(name, data)
    params = method.params(**SMALL.get(name, {}))
    for measure in method.measures_need:
        pattern = re.compile(re.sub(r"\{\w+\}", ".+", measure))
        there = [one for one in made if pattern.fullmatch(one) and (one == measure or one not in method.measures)]
        wanted = {need.had for need in method.needed_for(measure, params)} <= has
        assert bool(there) == wanted, (measure, made)


def test_what_is_learned_from_labels_needs_them_and_what_is_learned_from_answers_does_not() -> None:
    method = NEEDING["surrogate_influence"]
    labels, answers = (method.params(learns=word) for word in ("labels", "answers"))
    assert {need.had for need in method.needed_for("fidelity", labels)} == {"labels", "one_output"}
    assert method.needed_for("fidelity", answers) == []
    assert {need.had for need in method.needed_for("contradicted", answers)} == {"labels", "classification"}
