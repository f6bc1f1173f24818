"""A search over a real Keras file: the network that scores credit applicants."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pgx_compiler.methods.apply import attribute
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.modalities.features import Rows
from pgx_compiler.modalities.tabular import feature_map, references
from pgx_compiler.tuning.narrowing import narrow
from pgx_compiler.tuning.question import Bound, Question
from pgx_compiler.tuning.result import TrialResult
from pgx_compiler.tuning.space import Dimension
from pgx_compiler.tuning.split import hold_out, take
from pgx_compiler.tuning.trial import Examination, run_trial
from runtimes import datasets
from runtimes.capabilities import Labelled, Recipe, View
from runtimes.target import framework_for
from tests.tuning.searching import search

pytestmark = pytest.mark.frameworks

SPECS = Path(__file__).parents[2] / "specs"
MODEL = SPECS / "models" / "german-credit.keras"
RANK = "agreement.rank_correlation"
SPACE = {
    "layers.dense.units": Dimension.of({"quniform": [8, 64, 8]}),
    "layers.dropout.rate": Dimension.of({"uniform": [0.0, 0.6]}),
    "optimizer.learning_rate": Dimension.of({"loguniform": [1e-4, 1e-1]}),
    "fit.batch_size": Dimension.of({"choice": [16, 32, 64]}),
}


@pytest.fixture(scope="module")
def run() -> Callable[[Recipe], TrialResult]:
    keras = framework_for("keras")
    raw = datasets.read(SPECS / "data" / "german-credit-onehot-train.csv")
    columns = [name for name in raw.arrays if name != "bad_risk"]
    table = np.stack([raw.arrays[name] for name in columns], axis=1).astype(np.float32)
    labels = raw.arrays["bad_risk"].astype(np.int64)
    (tensor,) = keras.inspect(MODEL).inputs
    features = feature_map({tensor.name: table.shape[1:]}, {"columns": columns, "groups": {"purpose": ["purpose=*"]}})
    everything = Labelled({tensor.name: table}, labels)
    held = hold_out(labels, 0.2, np.random.default_rng(7), stratify=True)
    train, validation = (take(everything, positions) for positions in held)
    shown = {tensor.name: validation.inputs[tensor.name][:8]}
    background = references(shown, train.inputs, {"kind": "background", "size": 5}, features, np.random.default_rng(1))
    rows = Rows(shown, np.ones(8, np.int64), background, features)
    gradients, rank = catalogue()["integrated_gradients"], catalogue()["rank_correlation"]
    view = View("logit")
    audited = attribute(gradients, keras.open_model(MODEL, view), rows, gradients.params()).values
    examination = Examination(
        rows, view, [(gradients, gradients.params())], [(rank, rank.params())], {gradients.name: audited}
    )
    trainable = keras.open_trainable(MODEL)
    return lambda recipe: run_trial(trainable, recipe, train, validation, examination, seed=7)


def test_a_candidate_is_trained_and_explained_and_comes_out_the_same_again(run) -> None:
    recipe = Recipe({"layers.dense.units": 16, "optimizer.learning_rate": 0.01}, epochs=4, batch_size=32)
    one = run(recipe)
    assert replace(run(recipe), seconds=one.seconds) == one
    assert len(one.history) == 4
    # 61 -> 16 -> 16 -> 1: 61*16 + 16, 16*16 + 16, 16 + 1
    assert one.parameters == 992 + 272 + 17
    # 30 % of the rows are bad risks: a model that knows nothing has 0.7 and an entropy of 0.611.
    assert one.metrics["validation.accuracy"] > 0.65
    assert one.metrics["validation.loss"] < 0.611
    assert 0.005 < one.standard_errors["validation.loss"] < 0.1
    assert 0 < one.metrics[RANK] <= 1
    assert one.standard_errors[RANK] > 0


def test_a_search_over_the_file_starts_from_what_it_declares(run) -> None:
    declared = framework_for("keras").inspect(MODEL).tunables
    asked = Question(SPACE, declared, seed=7, epochs=3, require={RANK: Bound(min=-1)})
    result = search(asked, narrow(asked, [], "classification"), run, 3)
    assert dict(result.trials[0].settings) == {
        "layers.dense.units": 32,
        "layers.dropout.rate": 0.4,
        "optimizer.learning_rate": 0.001,
        "fit.batch_size": 32,
    }
    # 61 -> units -> 16 -> 1
    assert [trial.parameters for trial in result.trials] == [
        62 * trial.settings["layers.dense.units"] + (trial.settings["layers.dense.units"] + 1) * 16 + 17
        for trial in result.trials
    ]
    assert result.best is not None
    assert result.decision
