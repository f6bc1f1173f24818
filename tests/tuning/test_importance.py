"""Which setting moved a metric."""

import numpy as np
import pytest

from pgx_compiler.tuning.importance import importance
from pgx_compiler.tuning.space import Dimension

SPACE = {
    "strong": Dimension.of({"uniform": [0, 1]}),
    "weak": Dimension.of({"choice": [1, 2, 3, 4]}),
    "none": Dimension.of({"loguniform": [1e-3, 1]}),
}


def drawn(n: int) -> list[dict]:
    rng = np.random.default_rng(5)
    return [
        {"strong": rng.uniform(), "weak": int(rng.integers(1, 5)), "none": 10 ** rng.uniform(-3, 0)} for _ in range(n)
    ]


def test_the_shares_of_an_additive_function_are_near_their_variances() -> None:
    settings = drawn(150)
    values = [6 * one["strong"] + 0.5 * one["weak"] for one in settings]
    shares, reason = importance(SPACE, settings, values, np.random.default_rng(0))
    # Var(6 U) = 36 / 12 = 3; Var(0.5 W) over 1..4 = 0.25 * 1.25 = 0.3125: shares 0.906 and 0.094.
    assert reason is None
    assert shares["strong"] == pytest.approx(0.906, abs=0.08)
    assert shares["weak"] == pytest.approx(0.094, abs=0.08)
    assert shares["none"] < 0.02
    assert sum(shares.values()) <= 1


def test_what_only_acts_together_is_nobodys_main_effect() -> None:
    settings = drawn(200)
    # (U - 0.5) times a sign that is +1 for half of the choices: each alone averages to nothing.
    values = [(one["strong"] - 0.5) * (1 if one["weak"] <= 2 else -1) for one in settings]
    shares, reason = importance(SPACE, settings, values, np.random.default_rng(0))
    assert reason is None
    assert sum(shares.values()) < 0.25


def test_too_few_trials_give_no_shares_and_say_so() -> None:
    settings = drawn(9)
    shares, reason = importance(SPACE, settings, [one["strong"] for one in settings], np.random.default_rng(0))
    assert set(shares.values()) == {None}
    assert "10 are needed" in str(reason)


def test_noise_gives_no_shares() -> None:
    values = list(np.random.default_rng(8).normal(size=40))
    shares, reason = importance(SPACE, drawn(40), values, np.random.default_rng(0))
    assert set(shares.values()) == {None}
    assert "do not predict" in str(reason)


def test_a_constant_gives_no_shares() -> None:
    assert importance(SPACE, drawn(12), [1.0] * 12, np.random.default_rng(0))[1] == "every trial has the same value"
