"""What is expected of a feature's direction is held against its attributions, and not against their rounding."""

import numpy as np
import pytest

from pgx_compiler.evidence.store import Artifact
from pgx_compiler.execute.reliance import _expectation, _explained

ROWS = 40
AGE = np.linspace(20, 60, ROWS)


def told(of_age, of_income, effect="increases", score=0.0, unit="score"):
    """Status, value of the measure and its interval, for attributions of two features."""
    arrays = {
        "values": np.stack(np.broadcast_arrays(of_age, of_income, AGE)[:2], axis=1),
        "input_x": np.stack([AGE, np.ones(ROWS)], axis=1),
        "targets": np.zeros(ROWS, np.int64),
        "scores": np.full(ROWS, score),
        "base_values": np.full(ROWS, score),
    }
    params = {"features": {"modality": "tabular", "columns": ["age", "income"]}, "regions": {}, "classes": []}
    made = Artifact({"signed": True, "unit": unit}, arrays)
    explained = _explained(None, "occlusion", made, params, {"x": arrays["input_x"]})
    found = _expectation({"feature": "age", "effect": effect}, [explained], params)
    (measure,) = found["measures"]
    return found["status"], measure.value, measure.interval


def test_an_effect_that_rises_is_confirmed_however_small_it_is():
    for size in (1.0, 1e-6):
        status, value, _ = told(size * (AGE - 40), 50.0)
        assert (status, value) == ("confirmed", pytest.approx(1.0))
    assert told(AGE - 40, 50.0, "decreases")[0] == "violated"


@pytest.mark.parametrize(
    "of_age",
    [1e-17 * (AGE - 40), np.where(AGE > 40, 0.1 + 0.2, 0.3), 3e-10 * np.sin(AGE)],
    ids=["zero but for rounding", "the same everywhere but for rounding", "less than a billionth of the others"],
)
def test_no_direction_is_read_off_rounding(of_age):
    status, value, interval = told(of_age, 5.0)
    assert status == "unknown"
    assert np.isnan(value)
    assert interval is None


def test_what_is_shared_out_of_a_score_that_is_the_same_everywhere_has_no_direction_and_no_share():
    # All of it is what is left of sums of 0.7; as slopes, which are shared out of nothing, the numbers stand for themselves.
    status, value, _ = told(1e-17 * AGE, 1e-17, score=0.7)
    assert status == "unknown"
    assert np.isnan(value)
    assert told(1e-17 * AGE, 1e-17, score=0.7, unit="score per input unit")[0] == "confirmed"
    assert told(1e-17 * AGE, 1e-17, "matters", score=0.7)[0] == "unknown"
    assert told(1e-17 * AGE, 1e-17, "matters", score=0.7, unit="score per input unit")[0] == "confirmed"


def test_two_computations_of_one_explanation_have_one_direction():
    # Three levels that rise: rows of one level tie. Spearman of 1..40 with ranks 7 (13 rows), 20 (13 rows) and 33.5 (14 rows):
    # the mean of 1..40 within each level is its tied rank, so that the correlation is that of the tied ranks' spread with
    # the whole: sqrt(var of tied ranks / var of ranks).
    level = np.repeat([0.1, 0.2, 0.3], [13, 13, 14])
    tied = np.repeat([7.0, 20.0, 33.5], [13, 13, 14])
    expected = np.sqrt(tied.var() / np.arange(1, 41).var())
    noise = np.random.default_rng(0).normal(0, 1e-17, (2, ROWS))
    first, second, exact = (told(level + one, 1.0) for one in (*noise, 0.0))
    assert first == second == exact
    assert first[1] == pytest.approx(expected)


def test_rounding_is_that_of_the_row_and_not_of_a_far_larger_one():
    # In the first row the other feature has 1e10, so that 10 either way is rounding there, and it ties with the second, which is
    # one year off; the others keep their order: tied ranks 1.5, 1.5, 3, 4, ..., 40.
    status, value, _ = told(AGE - 40, np.where(np.arange(ROWS) == 0, 1e10, 1.0))
    tied = np.array([1.5, 1.5, *range(3, ROWS + 1)])
    assert status == "confirmed"
    assert value == pytest.approx(np.corrcoef(np.arange(ROWS), tied)[0, 1])
    # with 1e11 its own -20 is nothing, and nobody of the young
    _, value, _ = told(AGE - 40, np.where(np.arange(ROWS) == 0, 1e11, 1.0))
    assert value < 0.97
