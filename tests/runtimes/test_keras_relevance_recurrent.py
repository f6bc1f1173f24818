"""Relevance through recurrent layers and attention: conserved, and the signal takes all, written out step by step."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtimes.capabilities import Rule, Rules
from runtimes.formats.keras_runtime import keras
from runtimes.frameworks import tensorflow_native
from tests.runtimes.test_keras_relevance import EPSILON, TARGET, drawn, opened, rows_for, total

pytestmark = pytest.mark.frameworks

WITHOUT_BIASES: Rules = (("any", Rule("epsilon", epsilon=1e-7, biases=False)),)
"""Biases take part in no denominator, so that nothing is lost but what the stabiliser takes."""


def ended(k: Any, y: Any, x: Any) -> Any:
    return k.Model(x, k.layers.Dense(2)(y))


def lstm(k: Any) -> Any:
    x = k.Input((6, 3), name="x")
    return ended(k, k.layers.LSTM(4)(x), x)


def gru(k: Any) -> Any:
    x = k.Input((6, 3), name="x")
    return ended(k, k.layers.GRU(4)(x), x)


def gru_reset_before(k: Any) -> Any:
    x = k.Input((None, 3), name="x")
    return ended(k, k.layers.GRU(4, reset_after=False, go_backwards=True)(x), x)


def simple(k: Any) -> Any:
    x = k.Input((6, 3), name="x")
    return ended(k, k.layers.SimpleRNN(4, unroll=True)(x), x)


def stacked(k: Any) -> Any:
    x = k.Input((6, 3), name="x")
    below = k.layers.LSTM(4, return_sequences=True)(x)
    above = k.layers.GRU(3, return_sequences=True, go_backwards=True)(k.layers.Dropout(0.3)(below))
    return ended(k, k.layers.GlobalAveragePooling1D()(above), x)


def masked(k: Any) -> Any:
    x = k.Input((6, 3), name="x")
    y = k.layers.Bidirectional(k.layers.LSTM(4, return_sequences=True))(k.layers.Masking()(x))
    return ended(k, k.layers.GRU(3)(y), x)


def cells(k: Any) -> Any:
    x = k.Input((6, 3), name="x")
    return ended(k, k.layers.RNN(k.layers.LSTMCell(4, activation="softsign"))(x), x)


def encoder_and_decoder(k: Any) -> Any:
    x, y = k.Input((6, 3), name="x"), k.Input((4, 2), name="y")
    _, h, c = k.layers.LSTM(4, return_state=True)(x)
    decoded = k.layers.LSTM(4, return_sequences=True)(y, initial_state=[h, c])
    return ended(k, k.layers.GlobalMaxPooling1D()(decoded), [x, y])


def each_time(k: Any) -> Any:
    x = k.Input((4, 5, 2), name="x")
    inner = k.Sequential([k.Input((5, 2)), k.layers.Conv1D(3, 2, activation="relu"), k.layers.GlobalMaxPooling1D()])
    y = k.layers.TimeDistributed(k.layers.Dense(4, "tanh"))(k.layers.TimeDistributed(inner)(x))
    return ended(k, k.layers.SimpleRNN(3)(y), x)


def attentive(k: Any) -> Any:
    x = k.Input((5, 4), name="x")
    y = k.layers.LayerNormalization()(k.layers.Add()([x, k.layers.MultiHeadAttention(2, 3)(x, x)]))
    z = k.layers.LayerNormalization()(k.layers.Add()([y, k.layers.Dense(4)(k.layers.Dense(6, "gelu")(y))]))
    return ended(k, k.layers.GlobalAveragePooling1D()(z), x)


def attention_of_kinds(k: Any) -> Any:
    x, y = k.Input((5, 4), name="x"), k.Input((3, 4), name="y")
    asked = k.layers.Attention(use_scale=True)([x, y, k.layers.Dense(4)(y)])
    added = k.layers.AdditiveAttention()([x, y])
    causal = k.layers.MultiHeadAttention(2, 3, value_dim=2, output_shape=4)(x, x, use_causal_mask=True)
    grouped = k.layers.GroupQueryAttention(3, 4, 2)(x, y)
    return ended(k, k.layers.Flatten()(k.layers.Add()([asked, added, causal, grouped])), [x, y])


CONSERVING = [lstm, gru, gru_reset_before, simple, stacked, masked, cells, encoder_and_decoder, each_time, attentive]
CONSERVING += [attention_of_kinds]


def rows_of(model: Any) -> dict[str, Any]:
    """Rows of a model, six steps where any number would do; the second ends in two steps of zeros where they are masked.

    Elsewhere a step of zeros upon a memory of zeros has nothing but its bias, and nobody to hand relevance to.
    """
    rng = np.random.default_rng(0)
    rows = {t.name: rng.normal(size=(3, *(size or 6 for size in t.shape[1:]))).astype(np.float32) for t in model.inputs}
    if any(type(layer).__name__ == "Masking" for layer in model.layers):
        rows["x"][1, -2:] = 0.0
    return rows


@pytest.mark.parametrize("build", CONSERVING, ids=lambda build: build.__name__)
def test_the_score_is_conserved_once_biases_take_nothing(build: Callable[[Any], Any], tmp_path: Path) -> None:
    handle = opened(model := drawn(build(keras())), tmp_path)
    assert tensorflow_native.inspect(tmp_path / "model.keras").without_rule == ""
    x = rows_of(model)
    scores = handle.predict(x)[np.arange(3), TARGET]
    np.testing.assert_allclose(total(handle.relevance(x, TARGET, WITHOUT_BIASES)), scores, rtol=2e-3, atol=5e-4)


@pytest.mark.parametrize("merge", ["sum", "ave", "mul", "concat"])
def test_both_directions_share_what_is_joined(merge: str, tmp_path: Path) -> None:
    k = keras()
    x = k.Input((5, 3), name="x")
    y = k.layers.Bidirectional(k.layers.GRU(3, return_sequences=True), merge_mode=merge)(x)
    handle = opened(model := drawn(ended(k, k.layers.Flatten()(y), x), biases=False), tmp_path)
    rows = rows_for(model)
    scores = handle.predict(rows)[np.arange(3), TARGET]
    # Without biases in the model, no rule needs to leave any out.
    np.testing.assert_allclose(total(handle.relevance(rows, TARGET, EPSILON)), scores, rtol=2e-3, atol=5e-4)


def sigmoid(z: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-z))


def shared(z: Any, weights: Any, bias: Any, owed: Any, epsilon: float) -> Any:
    """The epsilon rule, one contribution at a time: z_i w_ij over the sum that j is."""
    found = np.zeros(len(z))
    for j, relevance in enumerate(owed):
        summed = sum(z[i] * weights[i, j] for i in range(len(z))) + bias[j]
        for i in range(len(z)):
            found[i] += z[i] * weights[i, j] / (summed + epsilon * (1.0 if summed >= 0 else -1.0)) * relevance
    return found


def lstm_slowly(x: Any, weights: list[Any], owed: Any, epsilon: float) -> Any:
    """Signal-take-all through one sequence (steps, columns): Arras et al. (2017), equations of section 3.1."""
    kernel, recurrent, bias = weights
    units = len(recurrent)
    h, c, kept = np.zeros(units), np.zeros(units), []
    for step in x:
        i, f, g, o = np.split(step @ kernel + h @ recurrent + bias, 4)
        c_after = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        kept.append((step, h, c, sigmoid(i), sigmoid(f), np.tanh(g), c_after))
        h, c = sigmoid(o) * np.tanh(c_after), c_after
    new = slice(2 * units, 3 * units)
    both = np.concatenate([kernel[:, new], recurrent[:, new]])
    of_h, of_c, found = np.asarray(owed, float), np.zeros(units), []
    for step, h, c, i, f, g, after in reversed(kept):
        of_c = of_c + of_h
        of_g = i * g / after * of_c
        passed = shared(np.concatenate([step, h]), both, bias[new], of_g, epsilon)
        found.append(passed[: x.shape[1]])
        of_h, of_c = passed[x.shape[1] :], f * c / after * of_c
    return np.array(found[::-1])


def gru_slowly(x: Any, weights: list[Any], owed: Any, epsilon: float, reset_after: bool) -> Any:
    kernel, recurrent, bias = weights
    units, columns = len(recurrent), x.shape[1]
    bias_x, bias_h = bias if reset_after else (bias, np.zeros(3 * units))
    h, kept = np.zeros(units), []
    for step in x:
        z, r = np.split(sigmoid((step @ kernel + h @ recurrent + bias_x + bias_h)[: 2 * units]), 2)
        new = slice(2 * units, None)
        # The reset gate is a factor of the weights from h: of unit j after the sum, of h_i before it.
        gated = recurrent[:, new] * (r[None, :] if reset_after else r[:, None])
        offset = bias_x[new] + (r if reset_after else 1.0) * bias_h[new]
        both = np.concatenate([kernel[:, new], gated])
        g = np.tanh(np.concatenate([step, h]) @ both + offset)
        kept.append((step, h, z, g, both, offset))
        h = z * h + (1 - z) * g
    of_h, found = np.asarray(owed, float), []
    for step, h, z, g, both, offset in reversed(kept):
        after = z * h + (1 - z) * g
        passed = shared(np.concatenate([step, h]), both, offset, (1 - z) * g / after * of_h, epsilon)
        found.append(passed[:columns])
        of_h = passed[columns:] + z * h / after * of_h
    return np.array(found[::-1])


@pytest.mark.parametrize("kind", ["lstm", "gru", "gru_reset_before"])
def test_it_is_signal_take_all_written_out(kind: str, tmp_path: Path) -> None:
    k = keras()
    x = k.Input((5, 3), name="x")
    layer = k.layers.LSTM(4) if kind == "lstm" else k.layers.GRU(4, reset_after=kind == "gru")
    handle = opened(model := drawn(ended(k, layer(x), x)), tmp_path)
    rows = rows_for(model)
    found = handle.relevance(rows, TARGET, (("any", Rule("epsilon", epsilon=0.01)),))["x"]
    recurrent = [weight.numpy().astype(np.float64) for weight in model.layers[1].weights]
    top = [weight.numpy().astype(np.float64) for weight in model.layers[2].weights]
    hidden = k.Model(x, model.layers[1].output)(rows["x"]).numpy().astype(np.float64)
    for row, series in enumerate(rows["x"].astype(np.float64)):
        column = TARGET[row]
        score = hidden[row] @ top[0][:, column] + top[1][column]
        # The rule of the dense layer: h_j w_j over the score, of the score.
        owed = hidden[row] * top[0][:, column] / (score + 0.01 * np.sign(score)) * score
        if kind == "lstm":
            wanted = lstm_slowly(series, recurrent, owed, 0.01)
        else:
            wanted = gru_slowly(series, recurrent, owed, 0.01, reset_after=kind == "gru")
        np.testing.assert_allclose(found[row], wanted, atol=2e-4 * np.abs(wanted).max())


def test_masked_steps_are_owed_nothing_and_change_nothing(tmp_path: Path) -> None:
    k = keras()
    x = k.Input((None, 3), name="x")
    y = k.layers.Bidirectional(k.layers.GRU(3))(k.layers.LSTM(4, return_sequences=True)(k.layers.Masking()(x)))
    handle = opened(drawn(ended(k, y, x)), tmp_path)
    rows = np.random.default_rng(3).normal(size=(3, 4, 3)).astype(np.float32)
    padded = np.concatenate([rows, np.zeros((3, 2, 3), np.float32)], axis=1)
    short, long = (handle.relevance({"x": given}, TARGET, EPSILON)["x"] for given in (rows, padded))
    np.testing.assert_allclose(long[:, :4], short, atol=1e-4 * np.abs(short).max())
    assert not long[:, 4:].any()


def test_attention_passes_relevance_on_by_its_weights(tmp_path: Path) -> None:
    # One query q over values v with keys v: softmax(q v) = a, answer sum of a_i v_i; each place is owed a_i v_i, q nothing.
    k = keras()
    q, v = k.Input((1, 1), name="q"), k.Input((3, 1), name="v")
    answered = k.layers.Flatten()(k.layers.Attention()([q, v]))
    model = k.Model([q, v], k.layers.Dense(1, use_bias=False)(answered))
    model.set_weights([np.array([[2.0]])])
    rows = {"q": np.full((3, 1, 1), 0.5, np.float32), "v": np.array([[[1], [2], [-1]]] * 3, np.float32)}
    weights = np.exp([0.5, 1.0, -0.5]) / np.exp([0.5, 1.0, -0.5]).sum()
    found = opened(model, tmp_path).relevance(rows, np.zeros(3, int), EPSILON)
    np.testing.assert_allclose(found["v"][0, :, 0], 2.0 * weights * [1.0, 2.0, -1.0], rtol=1e-4)
    assert not found["q"].any()


def test_a_trained_network_is_owed_by_the_step_that_decides(tmp_path: Path) -> None:
    # The class is the sign of the first column at the one step that the second column marks.
    k = keras()
    k.utils.set_random_seed(1)
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(600, 8, 2)).astype(np.float32)
    marked = rng.integers(0, 8, 600)
    rows[:, :, 1] = 0.0
    rows[np.arange(600), marked, 1] = 1.0
    labels = (rows[np.arange(600), marked, 0] > 0).astype(int)
    model = k.Sequential([k.Input((8, 2), name="x"), k.layers.LSTM(8), k.layers.Dense(2, "softmax")])
    model.compile(k.optimizers.Adam(0.03), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(rows[:500], labels[:500], epochs=20, batch_size=50, verbose=0)
    assert model.evaluate(rows[500:], labels[500:], verbose=0)[1] > 0.9
    handle = opened(model, tmp_path, "logit")
    seen = {"x": rows[500:]}
    target = handle.predict(seen).argmax(axis=1)
    scores = handle.predict(seen)[np.arange(100), target]
    owed = handle.relevance(seen, target, WITHOUT_BIASES)["x"]
    np.testing.assert_allclose(owed.sum(axis=(1, 2)), scores, rtol=5e-3, atol=5e-3)
    # By chance one of eight.
    assert (np.abs(owed.sum(axis=2)).argmax(axis=1) == marked[500:]).mean() > 0.6


def test_what_has_no_rule_is_named_with_what_holds_it(tmp_path: Path) -> None:
    k = keras()
    x = k.Input((5, 3), name="x")
    made = {
        "layer `cells` (RNN of StackedRNNCells)": k.layers.RNN(
            k.layers.StackedRNNCells([k.layers.LSTMCell(2), k.layers.GRUCell(2)]), name="cells"
        ),
        "layer `forward_inner` (GRU with softmax) in `two`": k.layers.Bidirectional(
            k.layers.GRU(2, activation="softmax", name="inner"), name="two"
        ),
        "layer `inner` (Softmax) in `each`": k.layers.TimeDistributed(k.layers.Softmax(name="inner"), name="each"),
    }
    for said, layer in made.items():
        model = drawn(ended(k, k.layers.Flatten()(layer(x)), x))
        handle = opened(model, tmp_path)
        assert tensorflow_native.inspect(tmp_path / "model.keras").without_rule == said
        with pytest.raises(ValueError, match="no rule"):
            handle.relevance(rows_for(model), TARGET, EPSILON)
