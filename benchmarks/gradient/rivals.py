"""Gradient methods beside those of other libraries: the same numbers where definitions agree, and how long they take.

    python -m venv ENV && ENV/bin/pip install --no-deps xplique==2.0.2 saliency==0.2.1
    PYTHONPATH=<site-packages of ENV, after the project's own> python benchmarks/gradient/rivals.py FOLDER

FOLDER holds the models (`_cases.py` says which). Each line explains the same rows of the same Keras model, logits, one
thread (time is the processor's), by a method of ours and by another library's, at settings that mean the same. ``difference`` is the largest
difference of two values over the largest value, ``by chance`` in standard errors of it where both draw at random;
``time`` is the other's over ours. What a library cannot do here is said, not left out.
"""

import argparse
import contextlib
import io
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from _cases import Case, cases

from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.methods.gradient._regions import densest_first, overlapping_regions
from pgx_compiler.modalities.features import FeatureMap, References, Rows
from runtimes.formats.keras_runtime import tensorflow

Work = Callable[[], Any]


class Pair:
    """One model, our handle and rows on it, and what other libraries want of it."""

    def __init__(self, case: Case) -> None:
        self.handle = case.handle()
        explained = case.explained(self.handle)
        (self.input,) = explained.inputs
        self.x = explained.inputs[self.input]
        self.target = explained.target
        owner = np.arange(self.x[0].size).reshape(self.x.shape[1:])
        single = FeatureMap(tuple(map(str, range(owner.size))), {self.input: owner}, {"kind": "grid"})
        zero = {self.input: np.zeros_like(self.x[:1])[None]}
        self.rows = Rows(explained.inputs, self.target, References(zero), single)
        self.background = Rows(explained.inputs, self.target, explained.references, single)
        self.model = self.handle._model
        self.one_hot = np.eye(self.model.outputs[0].shape[-1], dtype=np.float32)[self.target]

    def ours(self, name: str, rows: Rows | None = None, **settings: Any) -> Any:
        declaration = catalogue()[name]
        rng = [np.random.default_rng(0)] if declaration.stochastic else []
        found = declaration.function(self.handle, rows or self.rows, declaration.params(**settings), *rng)
        return found if hasattr(found, "values") and not isinstance(found, dict) else found[self.input]

    def gradients(self, row: int) -> Callable[..., Any]:
        """The callback of PAIR's library: one row's target, any number of points."""

        def call(points: Any, **_: Any) -> Any:
            points = np.asarray(points, self.x.dtype)
            found = self.handle.gradient({self.input: points}, np.full(len(points), self.target[row]))
            return {"INPUT_OUTPUT_GRADIENTS": found[self.input]}

        return call


def timed(work: Work) -> tuple[Any, float]:
    """The answer of a second call, and its seconds: the first traces graphs."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        work()
        began = time.process_time()
        return work(), time.process_time() - began


def line(name: str, other: str, difference: str, ours: float, theirs: float, words: str = "") -> str:
    return f"{name:<32} {other:<26} {difference:>18} {theirs / ours:>6.1f}  {words}"


def apart(one: Any, other: Any) -> str:
    one, other = np.asarray(one, float).reshape(-1), np.asarray(other, float).reshape(-1)
    return f"{np.abs(one - other).max() / np.abs(one).max():.1e}"


def beside_xplique(pair: Pair) -> Iterator[str]:
    """Saliency, gradient × input, integrated gradients, and the three of noise."""
    from xplique import attributions

    tensorflow().random.set_seed(1)  # operations are deterministic here, and theirs draw from TensorFlow's own

    def theirs(kind: str, **more: Any) -> Work:
        made = getattr(attributions, kind)(pair.model, batch_size=pair.handle.rows_per_call, reducer=None, **more)
        return lambda: made.explain(pair.x, pair.one_hot).numpy()

    for name, kind in (("saliency", "Saliency"), ("gradient_x_input", "GradientInput")):
        (a, ours), (b, others) = timed(lambda name=name: pair.ours(name)), timed(theirs(kind))
        yield line(name, f"xplique {kind}", apart(a, b), ours, others)
    exact = pair.ours("integrated_gradients", steps=512)
    for steps in (16, 64, 256):
        a, ours = timed(lambda steps=steps: pair.ours("integrated_gradients", steps=steps))
        b, others = timed(theirs("IntegratedGradients", steps=steps))
        words = f"off the limit: ours {apart(exact, a)}, theirs {apart(exact, b)}"
        yield line(f"integrated_gradients, {steps}", "xplique (trapezoid)", apart(a, b), ours, others, words)
    # Ours is a share of the range over row and reference, theirs a width: one row at a time has the same.
    span = float(pair.x[:1].max() - min(pair.x[:1].min(), 0.0))
    one = pair.rows.of_rows(slice(0, 1))
    for name, kind in (("smoothgrad", "SmoothGrad"), ("vargrad", "VarGrad"), ("squaregrad", "SquareGrad")):
        made = getattr(attributions, kind)(
            pair.model, batch_size=pair.handle.rows_per_call, reducer=None, nb_samples=400, noise=0.15 * span
        )
        a, ours = timed(lambda name=name: pair.ours(name, one, samples=400))
        b, others = timed(lambda made=made: made.explain(pair.x[:1], pair.one_hot[:1]).numpy())
        error = np.sqrt(2) * a.standard_error.reshape(-1)
        known = error > 1e-9
        off = (np.abs(a.values.reshape(-1) - b.reshape(-1)) / np.maximum(error, 1e-12))[known]
        ratio = float(np.median(np.asarray(b).reshape(-1)[known] / a.values.reshape(-1)[known]))
        told = f"{np.sqrt((off**2).mean()):.2f} by chance"
        yield line(f"{name}, 400", f"xplique {kind}", told, ours, others, f"median ratio of values {ratio:.3f}")


def beside_shap(pair: Pair) -> Iterator[str]:
    """Expected gradients on the audit's own references."""
    import shap

    background = pair.background.references.of_row(0)[pair.input]
    made = shap.GradientExplainer(pair.model, background, batch_size=pair.handle.rows_per_call)
    exact = pair.ours("integrated_gradients", pair.background, steps=64)
    a, ours = timed(lambda: pair.ours("expected_gradients", pair.background, samples=200))
    b, others = timed(lambda: made.shap_values(pair.x, nsamples=200, rseed=0))
    b = np.stack([b[row][..., column] for row, column in enumerate(pair.target)])
    size = np.abs(exact).max()
    off = [np.sqrt(((np.asarray(v).reshape(-1) - exact.reshape(-1)) ** 2).mean()) / size for v in (a.values, b)]
    words = f"rms off the limit: ours {off[0]:.1e}, theirs {off[1]:.1e}; theirs computes every output"
    yield line("expected_gradients, 200", "shap GradientExplainer", apart(a.values, b), ours, others, words)


@contextlib.contextmanager
def removed_name() -> Iterator[None]:
    """PAIR's guided integrated gradients call `numpy.quantile` by an argument that NumPy 2.4 no longer has."""
    kept = np.quantile
    with mock.patch.object(np, "quantile", lambda a, q, interpolation: kept(a, q, method=interpolation)):
        yield


def beside_pair(pair: Pair) -> Iterator[str]:
    """Guided and blur integrated gradients; one row."""
    from saliency.core import blur_ig, guided_ig

    if pair.x.ndim < 4:
        yield "saliency (PAIR) explains images only"
        return
    one, call, zero = pair.rows.of_rows(slice(0, 1)), pair.gradients(0), np.zeros_like(pair.x[0])
    scores = pair.handle.predict({pair.input: np.stack([pair.x[0], zero])})[:, pair.target[0]]
    a, ours = timed(lambda: pair.ours("guided_integrated_gradients", one))
    with removed_name():
        b, others = timed(lambda: guided_ig.GuidedIG().GetMask(pair.x[0], call, x_baseline=zero, x_steps=200))
    gaps = [abs(float(np.sum(v)) - float(scores[0] - scores[1])) for v in (a, b)]
    words = f"completeness gap: ours {gaps[0]:.1e}, theirs {gaps[1]:.1e}"
    yield line("guided_integrated_gradients", "saliency (PAIR)", apart(a, b), ours, others, words)
    a, ours = timed(lambda: pair.ours("blur_integrated_gradients", one))
    b, others = timed(lambda: blur_ig.BlurIG().GetMask(pair.x[0].astype(float), call, max_sigma=50, steps=100))
    words = f"blurs differ at the border; gap of ours to its difference {float(a.notes['gap'][0]):.1e}"
    yield line("blur_integrated_gradients", "saliency (PAIR)", apart(a.values, b), ours, others, words)


def regions_beside_pair(pair: Pair) -> Iterator[str]:
    """XRAI on the same integrated gradients, as theirs sums channels otherwise."""
    from saliency.core import xrai

    maps = pair.ours("integrated_gradients", pair.rows.of_rows(slice(0, 1)), steps=16)[0].sum(axis=-1)
    a, ours = timed(lambda: densest_first(overlapping_regions(pair.x[0]), maps))
    alike = np.repeat(maps[..., None], pair.x.shape[-1], axis=-1)  # whose largest channel is the sum again
    b, others = timed(lambda: xrai.XRAI().GetMask(pair.x[0], None, base_attribution=alike))
    same = float((np.abs(a - b) < 1e-9 * np.abs(a).max()).mean())
    yield line(
        "xrai (regions alone)", "saliency (PAIR)", apart(a, b), ours, others, f"equal on {same:.1%} of the pixels"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", default="MNIST", help="words in names of cases with two or more output columns")
    asked = parser.parse_args()
    for case in cases(asked.folder):
        if not any(word in case.name for word in asked.models.split(",")):
            continue
        pair = Pair(case)
        print(f"{case.name}\n{'ours':<32} {'other':<26} {'difference':>18} {'time':>6}", flush=True)
        if case.points:
            parts = [regions_beside_pair]
        else:
            parts = [beside_shap, beside_pair] + ([beside_xplique] if pair.one_hot.shape[1] > 1 else [])
        for part in parts:
            for text in part(pair):
                print(text, flush=True)


if __name__ == "__main__":
    main()
