"""Relevance through recurrent operators of ONNX, written out step by step: as through the layers of Keras, and conserved."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtimes.capabilities import Rule, Rules
from runtimes.formats.keras_runtime import keras
from tests.runtimes.test_graph_relevance import onnx_file, opened

pytestmark = pytest.mark.frameworks

STEPS, COLUMNS, UNITS, ROWS = 4, 3, 4, 4
TARGET = np.arange(ROWS) % 2
X = np.random.default_rng(3).normal(size=(ROWS, STEPS, COLUMNS)).astype(np.float32)
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
WITHOUT_BIASES: Rules = (("any", Rule("epsilon", epsilon=1e-6, biases=False)),)

Held = dict[str, Any]


def written(path: Path, kind: str, held: Held, rows: int | str = "n", **settings: Any) -> Path:
    """A file of one recurrent operator over time, whose last state is weighed."""
    # x is (rows, time, columns); the operator's own layout is time first
    turn = [("Transpose", ["x"], ["t"], {"perm": [1, 0, 2]}), ("Transpose", ["h"], ["r"], {"perm": [1, 0, 2]})]
    given = ["t", *[name if name in held else "" for name in ("W", "R", "B", "L", "H", "C", "P")]]
    while not given[-1]:
        given.pop()
    nodes = [
        turn[0],
        (kind, given, ["", "h"], {"hidden_size": UNITS, **settings}),
        turn[1],
        ("Reshape", ["r", "flat"], ["s"], {}),
        ("MatMul", ["s", "D"], ["y"], {}),
    ]
    return onnx_file(path / "m.onnx", nodes, {**held, "flat": np.array([0, -1])}, (rows, STEPS, COLUMNS), opset=17)


def drawn(kind: str, seed: int, directions: int = 1, biases: float = 0.5) -> Held:
    rng = np.random.default_rng(seed)
    wide = GATES[kind] * UNITS
    sizes = {"W": (directions, wide, COLUMNS), "R": (directions, wide, UNITS), "D": (directions * UNITS, 2)}
    held = {name: (0.5 * rng.normal(size=size)).astype(np.float32) for name, size in sizes.items()}
    return {**held, "B": (biases * rng.normal(size=(directions, 2 * wide))).astype(np.float32)}


def shared(handle: Any, rules: Rules) -> tuple[Any, Any]:
    """What each element is owed, and the scores."""
    name = handle._inputs[0].name
    return handle.relevance({name: X}, TARGET, rules)[name], handle.predict({name: X})[np.arange(ROWS), TARGET]


KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "GRU that resets what it has weighed": ("GRU", {"linear_before_reset": 1}),
    "GRU that weighs what it has reset": ("GRU", {"linear_before_reset": 0}),
    "GRU backwards, cut off": ("GRU", {"direction": "reverse", "clip": 2.0}),
    "GRU both ways, straight gates": (
        "GRU",
        {
            "direction": "bidirectional",
            "linear_before_reset": 1,
            "activations": ["HardSigmoid", "Softsign"] * 2,
            "activation_alpha": [0.2, 0.2],
            "activation_beta": [0.5, 0.5],
        },
    ),
    "LSTM": ("LSTM", {}),
    "LSTM both ways": ("LSTM", {"direction": "bidirectional"}),
    "LSTM with one gate for both": ("LSTM", {"input_forget": 1}),
    "RNN": ("RNN", {}),
    "RNN both ways": ("RNN", {"direction": "bidirectional"}),
}


@pytest.mark.parametrize("name", KINDS)
def test_the_score_is_conserved_once_biases_take_nothing(name: str, tmp_path: Path) -> None:
    kind, settings = KINDS[name]
    for seed in (0, 1):
        held = drawn(kind, seed, 2 if settings.get("direction") == "bidirectional" else 1)
        handle = opened(written(tmp_path, kind, held, **settings), "value", "regression")
        found, scores = shared(handle, WITHOUT_BIASES)
        # float32, and what the stabiliser takes where a sum without its bias is nearly 0 and shares are large
        spared = 1e-5 * np.abs(found).reshape(ROWS, -1).sum(axis=1).max()
        np.testing.assert_allclose(found.reshape(ROWS, -1).sum(axis=1), scores, rtol=2e-3, atol=5e-4 + spared)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_rows_that_have_ended_owe_nothing_to_what_comes_after(kind: str, tmp_path: Path) -> None:
    held = {**drawn(kind, 0), "L": np.array([4, 3, 2, 4], np.int32)}
    handle = opened(written(tmp_path, kind, held, ROWS), "value", "regression")
    found, scores = shared(handle, WITHOUT_BIASES)
    np.testing.assert_allclose(found.reshape(ROWS, -1).sum(axis=1), scores, rtol=2e-3, atol=5e-4)
    assert not found[1, 3:].any()
    assert not found[2, 2:].any()
    assert found[0].all()


def as_onnx(kind: str, weights: list[Any], reset_after: bool) -> Held:
    """The weights of a Keras layer in ONNX's order."""
    kernel, recurrent, bias, last = weights
    # Keras: i f c o, ONNX: i o f c; a GRU has z r h in both
    order = [0, 3, 1, 2] if kind == "LSTM" else list(range(GATES[kind]))

    def turned(one: Any) -> Any:
        parts = np.split(one, GATES[kind], axis=-1)
        return np.concatenate([parts[at] for at in order], axis=-1).T[None]

    both = bias if reset_after else np.stack([bias, np.zeros_like(bias)])
    return {"W": turned(kernel), "R": turned(recurrent), "B": turned(both).transpose(0, 2, 1).reshape(1, -1), "D": last}


RULES: dict[str, Rules] = {
    "epsilon": (("any", Rule("epsilon", epsilon=1e-6)),),
    "no biases": WITHOUT_BIASES,
    "gamma": (("any", Rule("gamma", epsilon=1e-3)),),
    "alpha-beta": (("any", Rule("alpha_beta", epsilon=1e-3)),),
}


@pytest.mark.parametrize(("kind", "layer", "settings"), [
    ("LSTM", "LSTM", {}),
    ("RNN", "SimpleRNN", {}),
    ("GRU", "GRU", {"reset_after": False}),
    ("GRU", "GRU", {"reset_after": True}),
])  # fmt: skip
def test_it_is_the_relevance_of_the_layer(kind: str, layer: str, settings: dict[str, Any], tmp_path: Path) -> None:
    k = keras()
    x = k.Input((STEPS, COLUMNS), name="x")
    model = k.Model(x, k.layers.Dense(2, use_bias=False)(getattr(k.layers, layer)(UNITS, **settings)(x)))
    rng = np.random.default_rng(4)
    for weight in model.weights:
        weight.assign(0.5 * rng.normal(size=weight.shape))
    model.save(tmp_path / "model.keras")
    reset_after = settings.get("reset_after", False)
    held = as_onnx(kind, [weight.numpy() for weight in model.weights], reset_after)
    own = {"linear_before_reset": int(reset_after)} if kind == "GRU" else {}
    layers = opened(tmp_path / "model.keras", "value", "regression")
    graph = opened(written(tmp_path, kind, held, **own), "value", "regression")
    for name, rules in RULES.items():
        if reset_after and name not in ("epsilon", "no biases"):
            continue  # one sum with a factor inside there, two sums here: only what is in proportion is the same
        (found, scores), (wanted, theirs) = shared(graph, rules), shared(layers, rules)
        np.testing.assert_allclose(scores, theirs, atol=1e-5)
        np.testing.assert_allclose(found, wanted, atol=2e-3 * np.abs(wanted).max(), err_msg=name)
