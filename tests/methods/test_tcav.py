"""TCAV: networks built to depend on a concept or not to, chance that is known, and concepts that are no concepts."""

from typing import Any

import numpy as np
import pytest

from pgx_compiler.methods.declaration import Shape, UnfitParams
from pgx_compiler.methods.gradient import tcav as method
from pgx_compiler.methods.gradient._concepts import Cloud, Concept, concepts_of, directions, rows_that_show
from pgx_compiler.methods.gradient.tcav import TcavParams, tcav
from pgx_compiler.modalities.data import AuditData, Split, Variable
from pgx_compiler.modalities.features import FeatureMap
from runtimes.capabilities import Floats
from tests.methods.layered import Convolved, Stacked

COLUMNS = 6


def network(reads: Floats) -> Stacked:
    """Hidden units are the columns (raised by 50, so that the rectifier is on); the second output is ``x @ reads``."""
    second = np.stack([np.zeros(COLUMNS), reads], axis=1)
    return Stacked(np.eye(COLUMNS), np.full(COLUMNS, 50.0), second)


def data_of(rows: int = 400, seed: int = 0, labels: Any = None, test: bool = False) -> AuditData:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, COLUMNS))
    told = (x[:, 5] > 0).astype(np.int64) if labels is None else labels
    train = Split("train", {"x": x}, told, np.array([f"r{k}" for k in range(rows)]))
    features = FeatureMap(tuple("abcdef"), {"x": np.arange(COLUMNS)})
    kinds = [Variable(name, "numeric", x[:, k], None) for k, name in enumerate("abcdef")]
    side = Variable("side", "categorical", (x[:, 0] > 0).astype(np.int64), None, ("left", "right"), is_descriptor=True)
    return AuditData("tabular", "classification", ("no", "yes"), train, None, features, (*kinds, side))


def run(model: Any, data: AuditData, seed: int = 0, **params: Any) -> Any:
    params = {"layer": "hidden", **params}
    return tcav(model, data, TcavParams(**params), np.random.default_rng(seed))


def verdicts(report: Any) -> dict[tuple[str, str], str]:
    return {(row[0], row[3]): row[-1] for row in report.tables[0].rows}


HIGH_A = {"high": Concept(variable="a")}


def test_a_concept_that_the_score_is_made_of_scores_one():
    report = run(network(np.array([2.0, 0, 0, 0, 0, 0])), data_of(), concepts=HIGH_A)
    assert report.arrays["score"].tolist() == [[0.0, 1.0]]
    assert verdicts(report)["high", "yes"] == "raises"
    # the direction is nearly column a, one standard deviation of which is about 1: the score rises by 2 * 1
    assert report.arrays["sensitivity"][0, 1] == pytest.approx(2.0, rel=0.15)
    assert {m.name: m.value for m in report.measures}["score_high_yes"] == 1.0


def test_its_opposite_scores_zero():
    low = {"low": Concept(variable="a", at_most=-0.7)}
    report = run(network(np.array([2.0, 0, 0, 0, 0, 0])), data_of(), concepts=low)
    assert report.arrays["score"][0, 1] == 0.0
    assert verdicts(report)["low", "yes"] == "lowers"


def test_a_concept_that_the_score_does_not_read_is_no_more_than_chance():
    # the first output reads nothing at all, the second another column
    report = run(network(np.array([0, 0, 0, 2.0, 0, 0])), data_of(), concepts=HIGH_A)
    assert verdicts(report)["high", "yes"] == "no more than chance"
    assert verdicts(report)["high", "no"] == "no more than chance"


def test_the_step_is_one_standard_deviation_along_the_direction():
    rng = np.random.default_rng(3)
    spreads = np.array([1.0, 10.0, 0.1])
    activations = rng.normal(size=(4000, 3)) * spreads + 7.0
    cloud = Cloud(activations, np.arange(4000))
    # along one column the step is its standard deviation, whatever its unit
    np.testing.assert_allclose(cloud.step(np.array([0.0, 1.0, 0.0])), [0, activations[:, 1].std(), 0], rtol=1e-9)
    # a normal of scaled units (1, 1, 0) is (1, 1 / 10, 0) in activations; the step along it has the length of the standard
    # deviation of the activations along that unit vector
    step = cloud.step(np.array([1.0, 1.0, 0.0]))
    unit = step / np.linalg.norm(step)
    assert np.linalg.norm(step) == pytest.approx(float((activations @ unit).std()), rel=1e-9)


def test_a_channel_that_never_changes_says_nothing():
    activations = np.stack([np.linspace(0, 1, 100), np.full(100, 3.0)], axis=1)
    found = directions(
        np.arange(50, 100), np.arange(50), Cloud(activations, np.arange(100)), 2, np.random.default_rng(0)
    )
    assert (found.steps[:, 1] == 0).all()
    assert (found.steps[:, 0] > 0).all()
    assert (found.accuracy > 0.9).all()


def test_the_classifier_is_the_same_with_more_channels_than_rows():
    # both forms of the ridge solution: zeros as further channels change nothing
    rng = np.random.default_rng(4)
    few = rng.normal(size=(60, 5))
    many = np.concatenate([few, np.zeros((60, 200))], axis=1)
    one, other = (
        directions(np.arange(30), np.arange(30, 60), Cloud(held, np.arange(60)), 3, np.random.default_rng(1))
        for held in (few, many)
    )
    np.testing.assert_allclose(one.steps, other.steps[:, :5], atol=1e-9)
    assert one.accuracy.tolist() == other.accuracy.tolist()


def test_random_concepts_are_found_as_often_as_they_should_be():
    """Random rows as concepts: p below 0.05 in about one of twenty; 200 draws leave 0.05 + 2 * 0.0154."""
    model = network(np.array([1.0, -2.0, 0.5, 0.3, 0.0, 1.5]))
    low = 0
    for seed in range(20):
        data = data_of(300, seed)
        rng = np.random.default_rng([seed, 1])
        chosen = {
            f"c{k}": Concept(rows=tuple(f"r{row}" for row in rng.choice(300, 60, replace=False))) for k in range(10)
        }
        report = run(model, data, seed, concepts=chosen, random_sets=20, runs=3, examples=60, classes=("yes",))
        low += int((report.arrays["p"] < 0.05).sum())
        assert set(verdicts(report).values()) <= {"unknown", "no more than chance"}
    assert low / 200 <= 0.08


def test_what_the_layer_cannot_tell_apart_is_unknown():
    rng = np.random.default_rng(5)
    chance = {"chance": Concept(rows=tuple(f"r{k}" for k in rng.choice(400, 100, replace=False)))}
    report = run(network(np.ones(COLUMNS)), data_of(), concepts=chance)
    assert set(verdicts(report).values()) == {"unknown"}
    facts = {m.name: m for m in report.measures}
    assert facts["concepts_told"].value == 0
    assert facts["score_chance_yes"].value is None
    assert "cannot tell" in str(facts["score_chance_yes"].reason)
    assert facts["accuracy_chance"].value == pytest.approx(0.5, abs=0.12)


def test_too_few_rows_are_unknown():
    report = run(network(np.ones(COLUMNS)), data_of(), concepts={"few": Concept(rows=("r1", "r2", "r3"))})
    assert set(verdicts(report).values()) == {"unknown"}
    assert "fewer than 20" in str({m.name: m for m in report.measures}["accuracy_few"].reason)


def test_without_names_every_variable_is_a_concept():
    found = concepts_of(data_of(), 20, 40)
    assert list(found) == ["high a", "high b", "high c", "high d", "high e", "high f", "side left", "side right"]
    report = run(network(np.array([0, 0, 0, 0, 3.0, 0])), data_of())
    said = verdicts(report)
    assert said["high e", "yes"] == "raises"
    # the fact of each concept is for those that the author names
    assert [m.name for m in report.measures] == ["concepts_told", "concepts_used"]


def test_relative_concepts_are_told_from_each_other():
    # a is high in both; they differ by the sign of b
    data = data_of(800)
    x = data.train.inputs["x"]
    both = {"up": (x[:, 0] > 0.5) & (x[:, 1] > 0), "down": (x[:, 0] > 0.5) & (x[:, 1] < 0)}
    concepts = {name: Concept(rows=tuple(f"r{k}" for k in np.flatnonzero(own))) for name, own in both.items()}
    reads_a = network(np.array([2.0, 0, 0, 0, 0, 0]))
    rest = run(reads_a, data, concepts=concepts)
    others = run(reads_a, data, concepts=concepts, against="others")
    assert verdicts(rest)["up", "yes"] == "raises"
    assert verdicts(others)["up", "yes"] == "no more than chance"
    assert abs(others.arrays["sensitivity"][0, 1]) < 0.5 * rest.arrays["sensitivity"][0, 1]


def test_places_of_a_convolution_are_averaged():
    rng = np.random.default_rng(6)
    images = rng.random((200, 6, 6, 1))
    images[:100] *= 0.3
    filters = np.abs(rng.normal(size=(3, 3, 4)))
    weights = np.array([[0.0, 1.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
    model = Convolved(filters, np.full(4, 0.1), weights, 6)
    labels = (np.arange(200) >= 100).astype(np.int64)
    train = Split("train", {"image": images}, labels, np.arange(200))
    bright = Variable("brightness", "numeric", images.mean(axis=(1, 2, 3)), None, is_descriptor=True)
    features = FeatureMap(("all",), {"image": np.zeros((6, 6, 1), np.int64)})
    data = AuditData("image", "classification", ("dark", "bright"), train, None, features, (bright,))
    report = run(model, data, layer="conv", concepts={"bright": Concept(variable="brightness")})
    # all weights of the second output are positive: brighter places raise it, and leave the first alone
    assert verdicts(report)["bright", "bright"] == "raises"
    assert verdicts(report)["bright", "dark"] == "no more than chance"


def test_rows_of_a_concept_are_those_that_are_meant():
    data = data_of(8)
    x = data.train.inputs["x"][:, 0]

    def of(**said: Any) -> list[int]:
        return rows_that_show(Concept(**said), "c", data).tolist()

    assert of(rows=("r3", "r1", "r3")) == [1, 3]
    assert of(label="yes") == np.flatnonzero(data.train.labels == 1).tolist()
    assert of(variable="side", value="right") == np.flatnonzero(x > 0).tolist()
    assert of(variable="a", at_least=0.0, at_most=1.0) == np.flatnonzero((x >= 0) & (x <= 1)).tolist()
    assert of(variable="a") == np.argsort(x)[-2:][np.argsort(np.argsort(x)[-2:])].tolist()  # 2 of 8: the upper quarter


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"variable": "z"}, "no variable `z`"),
        ({"variable": "side"}, "say a `value`"),
        ({"variable": "a", "value": "x"}, "is a number"),
        ({"label": "perhaps"}, "no class `perhaps`"),
        ({"rows": ("r1", "nobody")}, "no rows `nobody`"),
    ],
)
def test_a_concept_that_the_data_has_not_is_the_authors_mistake(said, words):
    with pytest.raises(UnfitParams, match=words):
        run(network(np.ones(COLUMNS)), data_of(), concepts={"c": Concept(**said)})


@pytest.mark.parametrize(
    "said", [{}, {"label": "yes", "variable": "a"}, {"label": "yes", "value": "x"}, {"variable": "a", "value": "x", "at_least": 1}]
)  # fmt: skip
def test_a_concept_says_one_thing(said):
    with pytest.raises(ValueError, match="say|are of"):
        Concept(**said)


def test_an_unknown_class_is_the_authors_mistake():
    with pytest.raises(UnfitParams, match="no classes `maybe`"):
        run(network(np.ones(COLUMNS)), data_of(), concepts=HIGH_A, classes=("maybe",))


def test_a_regression_is_asked_of_all_its_rows():
    data = data_of()
    values = Split("train", data.train.inputs, data.train.inputs["x"][:, 0] * 2.0, data.train.row_ids)
    data = AuditData("tabular", "regression", (), values, None, data.features, data.variables)
    model = Stacked(np.eye(COLUMNS), np.full(COLUMNS, 50.0), np.array([[2.0], [0], [0], [0], [0], [0]]))
    report = run(model, data, concepts=HIGH_A)
    assert verdicts(report) == {("high", "value"): "raises"}


def test_few_training_rows_are_no_result():
    (measure,) = run(network(np.ones(COLUMNS)), data_of(30), concepts=HIGH_A).measures
    assert "too few" in str(measure.reason)


def test_the_plan_is_a_ceiling():
    model = network(np.ones(COLUMNS))
    run(model, data_of(), concepts=HIGH_A)
    planned = method.cost(TcavParams(concepts=HIGH_A), Shape(3, 6, 1, 2, 400))
    assert (model.spent.forward, model.spent.backward) <= (planned.forward, planned.backward)
    assert model.spent.backward <= planned.backward
