"""An additive surrogate: its terms are those of an additive model, and its fidelity tells pairs."""

import numpy as np
import pytest

from pgx_compiler.evidence.results import Chart, Matrix
from pgx_compiler.methods.perturbation.ebm_surrogate import EbmSurrogateParams, ebm_surrogate
from tests.methods.tables import Column, table_of

pytest.importorskip("interpret", reason="the extra `surrogates` is not installed")
RNG = np.random.default_rng(0)
A, B, C = RNG.uniform(-1, 1, 800), RNG.uniform(-1, 1, 800), RNG.integers(0, 3, 800)
COLUMNS = [Column("a", A), Column("b", B), Column("c", C, ("x", "y", "z"), "one_hot")]
OF_C = np.array([0.0, 1.0, -1.0])


def run(formula, pairs: int = 2):  # type: ignore[no-untyped-def]
    table = table_of(formula, COLUMNS, test=300)
    params = EbmSurrogateParams(interactions=pairs, rounds=400)
    report = ebm_surrogate(table, params, np.random.default_rng(1))
    return report, {m.name: m.value for m in report.measures}


def test_an_additive_model_is_followed_without_pairs() -> None:
    report, value = run(lambda z: 2 * z[:, 0] + OF_C[z[:, 2].astype(int)], 0)
    assert value["fidelity"] > 0.99
    # mean |2a| over uniform -1..1 is 1; mean size of c is 2/3 of 1; b does nothing
    assert value["term_a"] == pytest.approx(1.0, abs=0.1)
    assert value["term_c"] == pytest.approx(2 / 3, abs=0.1)
    assert value["term_b"] == pytest.approx(0.0, abs=0.05)
    (curve,) = next(c for c in report.charts if isinstance(c, Chart) and c.subject == "c").curves
    got = dict(zip(curve.x, curve.y, strict=True))
    assert got["y"] - got["z"] == pytest.approx(2.0, abs=0.2)


def test_a_product_needs_a_pair() -> None:
    report, value = run(lambda z: z[:, 0] * z[:, 1])
    assert value["fidelity"] > 0.9
    assert value["fidelity_without_pairs"] < 0.1
    pair = next(c for c in report.charts if isinstance(c, Matrix))
    assert pair.subject == "a × b"
    assert len(pair.values) == len(pair.rows)
    assert pair.values[0][0] > 0 > pair.values[0][-1]  # low × low is positive, low × high is negative


def test_the_same_seed_gives_the_same_terms() -> None:
    first, second = (run(lambda z: z[:, 0] + z[:, 1] * z[:, 0], 1)[0] for _ in range(2))
    assert first.tables == second.tables
