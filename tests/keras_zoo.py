"""Small Keras models of every kind that an audit may meet, by name: how each is built, and rows that it reads."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Build = Callable[[Any], Any]

ROWS = 4


@dataclass(frozen=True)
class Kind:
    """One model of the zoo."""

    build: Build
    shapes: Mapping[str, tuple[int, ...]]
    """Of each input, without the rows."""
    columns: tuple[int, ...]
    """Numbers a row, of each output."""
    task: str = "classification"
    ids: Mapping[str, int] | None = None
    """Inputs that are token ids, with how many there are."""
    step: float = 1e-2
    """Of central differences; larger where the model computes in half precision. 0: it goes up and down in steps."""
    tolerance: float = 2e-3
    """Largest difference of a slope from central differences, as a part of the largest."""

    def rows(self, seed: int = 0) -> dict[str, NDArray[Any]]:
        """Rows that the model reads; series end in zeros (masked where a model masks them)."""
        rng = np.random.default_rng(seed)
        found: dict[str, NDArray[Any]] = {}
        for name, shape in self.shapes.items():
            if self.ids and name in self.ids:
                found[name] = rng.integers(1, self.ids[name], (ROWS, *shape)).astype(np.int32)
            else:
                found[name] = rng.normal(size=(ROWS, *shape)).astype(np.float32)
        return found


def _sequential(*layers: Callable[[Any], Any]) -> Callable[[tuple[int, ...]], Build]:
    def of_shape(shape: tuple[int, ...]) -> Build:
        return lambda k: k.Sequential([k.Input(shape, name="x"), *[layer(k.layers) for layer in layers]])

    return of_shape


def _uncalled(k: Any) -> Any:
    """A Sequential that says its input's shape by its first call alone."""
    model = k.Sequential([k.layers.Dense(5, "tanh"), k.layers.Dense(3, "softmax")])
    model(np.zeros((2, 4), np.float32))
    return model


def _convnext(k: Any) -> Any:
    """As `keras.applications` makes them, but small: with layers of its own (`LayerScale`, `StochasticDepth`)."""
    from keras.src.applications.convnext import ConvNeXt

    sizes = {"depths": [1, 1, 1, 1], "projection_dims": [4, 4, 6, 6], "drop_path_rate": 0.5}
    return ConvNeXt(**sizes, weights=None, input_shape=(32, 32, 3), classes=3, include_preprocessing=False)


def _scaled_branch(k: Any) -> Any:
    """As in InceptionResNetV2 of `keras.applications`, with its `CustomScaleLayer`."""
    from keras.src.applications.inception_resnet_v2 import CustomScaleLayer

    x = k.Input((6, 6, 2), name="x")
    branch = k.layers.Conv2D(2, 3, padding="same", activation="tanh")(x)
    joined = CustomScaleLayer(0.3)([x, branch])
    return k.Model(x, k.layers.Dense(3, "softmax")(k.layers.Flatten()(joined)))


def _residual(k: Any) -> Any:
    x = k.Input((4,), name="x")
    hidden = k.layers.Dense(4, "gelu")(x)
    return k.Model(x, k.layers.Dense(3, "softmax")(k.layers.Add()([hidden, x])))


def _nested(k: Any) -> Any:
    inner_in = k.Input((4,))
    inner = k.Model(inner_in, k.layers.Dense(5, "tanh", name="within")(inner_in), name="body")
    x = k.Input((4,), name="x")
    return k.Model(x, k.layers.Dense(3, "softmax")(inner(x)))


def _nested_end(k: Any) -> Any:
    head = k.Sequential([k.Input((5,)), k.layers.Dense(3, "softmax")], name="head")
    return k.Sequential([k.Input((4,), name="x"), k.layers.Dense(5, "tanh"), head])


def _siamese(k: Any) -> Any:
    a, b = k.Input((4,), name="a"), k.Input((4,), name="b")
    shared = k.layers.Dense(3, "tanh", name="shared")
    apart = k.layers.Subtract()([shared(a), shared(b)])
    return k.Model([a, b], k.layers.Dense(1, "sigmoid")(apart))


def _two_outputs(k: Any) -> Any:
    a, b = k.Input((2,), name="a"), k.Input((3,), name="b")
    joined = k.layers.Dense(4, "tanh")(k.layers.Concatenate()([a, b]))
    kind = k.layers.Dense(3, "softmax", name="kind")(joined)
    return k.Model([a, b], [kind, k.layers.Dense(1, name="size")(joined)])


def _dictionaries(k: Any) -> Any:
    """Inputs and outputs in dictionaries, written in an order that is not that of their names."""
    b, a = k.Input((3,), name="b"), k.Input((2,), name="a")
    joined = k.layers.Concatenate()([b, a])
    ends = {"size": k.layers.Dense(1, name="size")(joined), "kind": k.layers.Dense(3, "softmax", name="kind")(joined)}
    return k.Model({"b": b, "a": a}, ends)


def _masked_lstm(k: Any) -> Any:
    x = k.Input((5, 2), name="x")
    seen = k.layers.LSTM(3)(k.layers.Masking()(x))
    return k.Model(x, k.layers.Dense(2, "softmax")(seen))


def _bidirectional(k: Any) -> Any:
    x = k.Input((5, 2), name="x")
    seen = k.layers.Bidirectional(k.layers.GRU(3, return_sequences=True))(x)
    return k.Model(x, k.layers.Dense(2, "softmax")(k.layers.GlobalAveragePooling1D()(seen)))


def _multi_head(k: Any) -> Any:
    x = k.Input((5, 4), name="x")
    seen = k.layers.LayerNormalization()(k.layers.Add()([x, k.layers.MultiHeadAttention(2, 3)(x, x)]))
    return k.Model(x, k.layers.Dense(3, "softmax")(k.layers.GlobalAveragePooling1D()(seen)))


def _attention(k: Any) -> Any:
    x = k.Input((5, 4), name="x")
    seen = k.layers.Attention()([k.layers.Dense(4)(x), x])
    return k.Model(x, k.layers.Dense(2, "softmax")(k.layers.Flatten()(seen)))


def _tokens(k: Any) -> Any:
    ids = k.Input((6,), dtype="int32", name="ids")
    seen = k.layers.LSTM(3)(k.layers.Embedding(9, 4, mask_zero=True)(ids))
    return k.Model(ids, k.layers.Dense(2, "softmax")(seen))


def _half_precision(k: Any) -> Any:
    policy = "mixed_float16"
    x = k.Input((6,), name="x")
    hidden = k.layers.Dense(8, "softplus", dtype=policy)(x)
    return k.Model(x, k.layers.Dense(3, "softmax", dtype="float32")(k.layers.Dense(5, "tanh", dtype=policy)(hidden)))


def _half_to_the_end(k: Any) -> Any:
    policy = "mixed_float16"
    layers = [k.layers.Dense(8, "tanh", dtype=policy), k.layers.Dense(3, "softmax", dtype=policy)]
    return k.Sequential([k.Input((6,), name="x"), *layers])


def _quantised(k: Any) -> Any:
    model = k.Sequential([k.Input((6,), name="x"), k.layers.Dense(8, "tanh"), k.layers.Dense(3, "softmax")])
    model.quantize("int8")
    return model


def _arithmetic(k: Any) -> Any:
    x = k.Input((4,), name="x")
    hidden = k.ops.tanh(k.layers.Dense(3)(x)) * 2.0 + 1.0
    return k.Model(x, k.layers.Dense(1)(hidden))


def _reshaped(k: Any) -> Any:
    x = k.Input((4,), name="x")
    return k.Model(x, k.layers.Flatten()(k.layers.Reshape((3, 1))(k.layers.Dense(3, "tanh")(x))))


_square = (6, 6, 2)

ZOO: dict[str, Kind] = {
    "one_layer": Kind(_sequential(lambda n: n.Dense(3, "softmax"))((4,)), {"x": (4,)}, (3,)),
    "uncalled": Kind(_uncalled, {"x": (4,)}, (3,)),
    "residual": Kind(_residual, {"x": (4,)}, (3,)),
    "nested": Kind(_nested, {"x": (4,)}, (3,)),
    "nested_end": Kind(_nested_end, {"x": (4,)}, (3,)),
    "siamese": Kind(_siamese, {"a": (4,), "b": (4,)}, (1,)),
    "two_outputs": Kind(_two_outputs, {"a": (2,), "b": (3,)}, (3, 1)),
    "dictionaries": Kind(_dictionaries, {"a": (2,), "b": (3,)}, (3, 1)),
    "masked_lstm": Kind(_masked_lstm, {"x": (5, 2)}, (2,)),
    "bidirectional_gru": Kind(_bidirectional, {"x": (5, 2)}, (2,)),
    "multi_head_attention": Kind(_multi_head, {"x": (5, 4)}, (3,)),
    "attention": Kind(_attention, {"x": (5, 4)}, (2,)),
    "tokens": Kind(_tokens, {"ids": (6,)}, (2,), ids={"ids": 9}),
    "half_precision": Kind(_half_precision, {"x": (6,)}, (3,), step=0.1, tolerance=0.05),
    "half_to_the_end": Kind(_half_to_the_end, {"x": (6,)}, (3,), step=0.1, tolerance=0.05),
    "quantised": Kind(_quantised, {"x": (6,)}, (3,), step=0.0),
    "arithmetic": Kind(_arithmetic, {"x": (4,)}, (1,), "regression"),
    "reshaped": Kind(_reshaped, {"x": (4,)}, (3,), "regression"),
    "conv1d": Kind(
        _sequential(
            lambda n: n.Conv1D(3, 3, padding="causal", activation="tanh"),
            lambda n: n.AveragePooling1D(2),
            lambda n: n.Flatten(),
            lambda n: n.Dense(1, "sigmoid"),
        )((8, 2)),
        {"x": (8, 2)},
        (1,),
    ),
    "conv2d": Kind(
        _sequential(
            lambda n: n.Conv2D(3, 3, activation="swish"),
            lambda n: n.BatchNormalization(),
            lambda n: n.AveragePooling2D(2),
            lambda n: n.Flatten(),
            lambda n: n.Dropout(0.5),
            lambda n: n.Dense(3),
            lambda n: n.Softmax(),
        )(_square),
        {"x": _square},
        (3,),
    ),
    "separable": Kind(
        _sequential(
            lambda n: n.SeparableConv2D(3, 3, activation="tanh"),
            lambda n: n.DepthwiseConv2D(2, activation="tanh"),
            lambda n: n.GlobalAveragePooling2D(),
            lambda n: n.Dense(2, "softmax"),
        )(_square),
        {"x": _square},
        (2,),
    ),
    "conv3d": Kind(
        _sequential(
            lambda n: n.Conv3D(2, 2, activation="tanh"),
            lambda n: n.GlobalAveragePooling3D(),
            lambda n: n.Dense(2, "softmax"),
        )((4, 4, 4, 1)),
        {"x": (4, 4, 4, 1)},
        (2,),
    ),
    "global_end": Kind(
        _sequential(lambda n: n.Conv2D(3, 3, activation="tanh"), lambda n: n.GlobalAveragePooling2D())(_square),
        {"x": _square},
        (3,),
        "regression",
    ),
    "recurrent_end": Kind(
        _sequential(lambda n: n.LSTM(3, return_sequences=True), lambda n: n.SimpleRNN(2))((5, 2)),
        {"x": (5, 2)},
        (2,),
        "regression",
    ),
    "dense_over_time": Kind(
        _sequential(lambda n: n.TimeDistributed(n.Dense(1)), lambda n: n.Flatten(), lambda n: n.Dense(1))((5, 2)),
        {"x": (5, 2)},
        (1,),
        "regression",
    ),
    "forecast": Kind(
        _sequential(lambda n: n.GRU(4), lambda n: n.Dense(6), lambda n: n.Reshape((6, 1)))((5, 2)),
        {"x": (5, 2)},
        (6,),
        "regression",
    ),
    "convnext": Kind(_convnext, {"x": (32, 32, 3)}, (3,), tolerance=1e-2),
    "scaled_branch": Kind(_scaled_branch, {"x": (6, 6, 2)}, (3,)),
}
