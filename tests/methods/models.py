"""Small NumPy models with known gradients, and benches of rows on them, for the tests of methods."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.methods.laws import Bench
from pgx_compiler.modalities import volume
from pgx_compiler.modalities.features import FIXED, FeatureMap, References, Rows
from pgx_compiler.modalities.image import patches
from runtimes.capabilities import Floats, Inputs, Integers, Spent, Tree
from runtimes.target import ModelFacts, TensorFacts
from tests.methods.tables import table_benches


class Handle:
    """Counts what it computes; subclasses say what a flat row scores."""

    rows_per_call = 301  # odd and small, so that every method has to batch

    def __init__(self) -> None:
        self.spent = Spent()

    def predict(self, inputs: Inputs) -> Floats:
        flat = flatten(inputs)
        self.spent.forward += len(flat)
        return self.scores(flat)

    def scores(self, flat: Floats) -> Floats:
        raise NotImplementedError


class Smooth(Handle):
    """Also has gradients."""

    largest_call = 0

    def gradient(self, inputs: Inputs, target: Integers) -> dict[str, Floats]:
        flat = flatten(inputs)
        assert len(flat) == len(target)
        self.spent.backward += len(flat)
        self.largest_call = max(self.largest_call, len(flat))
        gradient, maps, start = self.slopes(flat, np.asarray(target)), {}, 0
        for name, array in inputs.items():
            size = int(np.prod(array.shape[1:]))
            maps[name] = gradient[:, start : start + size].reshape(array.shape)
            start += size
        return maps

    def slopes(self, flat: Floats, target: Integers) -> Floats:
        raise NotImplementedError


class Linear(Smooth):
    """score = x W + b."""

    def __init__(self, weights: Floats, bias: Floats | float = 0.0) -> None:
        super().__init__()
        self.weights, self.bias = weights, bias

    def scores(self, flat: Floats) -> Floats:
        return flat @ self.weights + self.bias

    def slopes(self, flat: Floats, target: Integers) -> Floats:
        return self.weights.T[target]


class LinearTable(Linear):
    """The same of one input, which says its coefficients."""

    input_name = "x"

    @property
    def coefficients(self) -> Floats:
        return self.weights

    @property
    def intercept(self) -> Floats:
        return np.zeros(self.weights.shape[1]) + self.bias


class Additive(Smooth):
    """score = sum over columns of W sin(x + shift): curved, without interactions."""

    def __init__(self, weights: Floats, shift: Floats) -> None:
        super().__init__()
        self.weights, self.shift = weights, shift

    def scores(self, flat: Floats) -> Floats:
        return np.sin(flat + self.shift) @ self.weights

    def slopes(self, flat: Floats, target: Integers) -> Floats:
        return np.cos(flat + self.shift) * self.weights.T[target]


class Mlp(Smooth):
    """score = tanh(x W1 + b) W2: every column interacts with every other."""

    def __init__(self, first: Floats, bias: Floats, second: Floats) -> None:
        super().__init__()
        self.first, self.bias, self.second = first, bias, second

    def scores(self, flat: Floats) -> Floats:
        return np.tanh(flat @ self.first + self.bias) @ self.second

    def slopes(self, flat: Floats, target: Integers) -> Floats:
        hidden = np.tanh(flat @ self.first + self.bias)
        return ((1 - hidden**2) * self.second.T[target]) @ self.first.T


class Sum(Smooth):
    """A weighted sum of smooth models."""

    def __init__(self, parts: Sequence[tuple[float, Smooth]]) -> None:
        super().__init__()
        self.parts = parts

    def scores(self, flat: Floats) -> Floats:
        return np.sum([weight * part.scores(flat) for weight, part in self.parts], axis=0)

    def slopes(self, flat: Floats, target: Integers) -> Floats:
        return np.sum([weight * part.slopes(flat, target) for weight, part in self.parts], axis=0)


class Forest(Handle):
    """A sum of trees, walked one level at a time."""

    def __init__(self, trees: Sequence[Tree], base: Floats, input_name: str = "x") -> None:
        super().__init__()
        self.trees, self.base, self.input_name = trees, base, input_name

    def scores(self, flat: Floats) -> Floats:
        return self.base + np.sum([self.leaf_values(tree, flat) for tree in self.trees], axis=0)

    @staticmethod
    def leaf_values(tree: Tree, flat: Floats) -> Floats:
        node, rows = np.zeros(len(flat), np.int64), np.arange(len(flat))
        while (tree.feature[node] >= 0).any():
            value = flat[rows, tree.feature[node]]
            left = np.where(np.isnan(value), tree.missing_left[node], value <= tree.threshold[node])
            node = np.where(tree.feature[node] < 0, node, np.where(left, tree.left[node], tree.right[node]))
        return tree.values[node]


def flatten(inputs: Inputs) -> Floats:
    return np.concatenate([np.asarray(a, np.float64).reshape(len(a), -1) for a in inputs.values()], axis=1)


def random_tree(columns: Sequence[int], depth: int, outputs: int, rng: np.random.Generator) -> Tree:
    """A full tree that asks about random columns (one may come twice on a path); node 2i+1 is left of node i."""
    inner, nodes = 2**depth - 1, 2 ** (depth + 1) - 1
    feature = np.full(nodes, -1)
    feature[:inner] = rng.choice(columns, inner)
    values = rng.normal(size=(nodes, outputs))
    values[:inner] = 0.0
    left = 2 * np.arange(nodes) + 1
    threshold = rng.normal(size=nodes).astype(np.float32).astype(np.float64)
    return Tree(feature, threshold, left, left + 1, rng.random(nodes) < 0.5, values)


def mirrored(tree: Tree, one: int, other: int) -> Tree:
    """The same tree with two columns exchanged."""
    feature = tree.feature.copy()
    feature[tree.feature == one], feature[tree.feature == other] = other, one
    return Tree(feature, tree.threshold, tree.left, tree.right, tree.missing_left, tree.values)


def scaled(tree: Tree, weight: float) -> Tree:
    return Tree(tree.feature, tree.threshold, tree.left, tree.right, tree.missing_left, weight * tree.values)


def table_features() -> FeatureMap:
    """Two inputs; groups of columns across and within them; the last column is never perturbed."""
    owners = {"numbers": np.array([0, 1, 2, 3]), "codes": np.array([4, 4, 4, 5, 5, 3, 6, 6, FIXED])}
    return FeatureMap(("a", "b", "c", "d", "e", "f", "g"), owners)


def table_rows(rng: np.random.Generator, rows: int = 3, references: int = 5) -> Rows:
    inputs = {"numbers": rng.normal(size=(rows, 4)), "codes": rng.normal(size=(rows, 9))}
    others = {"numbers": rng.normal(size=(1, references, 4)), "codes": rng.normal(size=(1, references, 9))}
    for array in (*inputs.values(), *others.values()):
        if array.shape[-1] == 4:
            array[..., 1] = array[..., 0]  # features a and b are equal everywhere
    return Rows(inputs, rng.integers(0, 3, rows), References(others), table_features())


def image_rows(rng: np.random.Generator, rows: int = 2) -> Rows:
    """8 x 8 pixels in float32, 16 patches; each row has its own two references; patches 0 and 5 are equal."""
    image, owner = rng.random((rows, 8, 8, 1)), patches((8, 8, 1), 2)
    others = rng.random((rows, 2, 8, 8, 1))
    for array in (image, others):
        array[..., owner == 5] = array[..., owner == 0]
    features = FeatureMap(tuple(f"p{i}" for i in range(16)), {"image": owner}, {"kind": "grid"})
    references = References({"image": others.astype(np.float32)})
    return Rows({"image": image.astype(np.float32)}, rng.integers(0, 3, rows), references, features)


def volume_rows(rng: np.random.Generator, rows: int = 2) -> Rows:
    """4 x 4 x 4 voxels in float32, 8 blocks; each row has its own two references; blocks 0 and 5 are equal."""
    features = volume.feature_map({"scan": (4, 4, 4, 1)}, {"size": [2, 2, 2]})
    scan, others, owner = rng.random((rows, 4, 4, 4, 1)), rng.random((rows, 2, 4, 4, 4, 1)), features.owners["scan"]
    for array in (scan, others):
        array[..., owner == 5] = array[..., owner == 0]
    references = References({"scan": others.astype(np.float32)})
    return Rows({"scan": scan.astype(np.float32)}, rng.integers(0, 3, rows), references, features)


def tree_rows(rng: np.random.Generator, rows: int = 4, references: int = 6) -> Rows:
    """Ten float32 columns in eight features, one column fixed; a few values are missing."""
    x = rng.normal(size=(rows, 10)).astype(np.float32)
    others = rng.normal(size=(1, references, 10)).astype(np.float32)
    x[0, 2] = others[0, 1, 2] = others[0, 3, 7] = np.nan
    x[:, 1], others[..., 1] = x[:, 0], others[..., 0]
    owners = {"x": np.array([0, 1, 2, 3, 4, 4, 5, 6, 7, FIXED])}
    return Rows({"x": x}, rng.integers(0, 2, rows), References({"x": others}), FeatureMap(tuple("abcdefgh"), owners))


def facts(rows: Rows, structure: str, capabilities: set[str], outputs: int) -> ModelFacts:
    inputs = tuple(TensorFacts(n, (None, *a.shape[1:]), str(a.dtype)) for n, a in rows.inputs.items())
    return ModelFacts(
        format="onnx",
        structure=structure,
        inputs=inputs,
        outputs=(TensorFacts("score", (None, outputs), "float64"),),
        capabilities=frozenset(capabilities),
        scores=frozenset({"value"}),
        n_outputs=outputs,
        parameters=0,
        operators={},
        activation="linear",
    )


def smooth_models(
    rows: Rows, ignored: int, equal: tuple[int, int], rng: np.random.Generator
) -> tuple[Linear, Additive, Mlp]:
    """Models of three outputs that do not read one feature and treat two alike."""
    owner = np.concatenate([rows.features.owners[name].reshape(-1) for name in rows.inputs])
    columns = len(owner)

    def shaped(array: NDArray[np.float64]) -> NDArray[np.float64]:
        array[owner == ignored] = 0.0
        array[owner == equal[1]] = array[owner == equal[0]]
        return array

    linear = Linear(shaped(rng.normal(size=(columns, 3))), rng.normal(size=3))
    additive = Additive(shaped(rng.normal(size=(columns, 3))), shaped(rng.normal(size=columns)))
    mlp = Mlp(shaped(rng.normal(size=(columns, 6)) * 0.7), rng.normal(size=6), rng.normal(size=(6, 3)))
    return linear, additive, mlp


def smooth_benches() -> list[Bench]:
    rng = np.random.default_rng(11)
    benches = []
    for modality, rows, ignored, equal in (
        ("tabular", table_rows(rng), 6, (0, 1)),
        ("image", image_rows(rng), 3, (0, 5)),
        ("volume", volume_rows(np.random.default_rng(12)), 3, (0, 5)),
    ):
        linear, additive, mlp = smooth_models(rows, ignored, equal, rng)
        whole = ((1.0, linear), (-2.0, additive), (0.5, mlp))
        said = facts(rows, "network", {"Predictor", "Differentiable"}, 3)
        more = {"facts": said, "ignored": (ignored,), "symmetric": (equal,)}
        benches += [
            Bench(f"{modality} linear", modality, linear, rows, **more, additive=True),
            Bench(f"{modality} additive", modality, additive, rows, **more, additive=True),
            Bench(f"{modality} sum", modality, Sum(whole), rows, **more, parts=whole),
        ]
    return benches


def forest_bench() -> Bench:
    """Trees of two outputs over the columns 0 to 9 without 8 (feature h); columns 0 and 1 (a, b) are treated alike."""
    rng = np.random.default_rng(5)
    rows, columns = tree_rows(rng), [0, 0, 1, 2, 3, 4, 5, 6, 7, 9]
    drawn = [random_tree(columns, depth, 2, rng) for depth in (1, 3, 4)]
    trees = [*drawn, *(mirrored(tree, 0, 1) for tree in drawn)]
    base = np.array([0.25, -0.5])
    halves = (trees[:2] + trees[3:5], [trees[2], trees[5]])
    parts = ((2.0, Forest(halves[0], base)), (-1.0, Forest(halves[1], np.zeros(2))))
    whole = Forest([scaled(t, 2.0) for t in halves[0]] + [scaled(t, -1.0) for t in halves[1]], 2.0 * base)
    said = facts(rows, "tree_ensemble", {"Predictor", "TreeEnsemble"}, 2)
    return Bench("forest", "tabular", whole, rows, said, ignored=(7,), symmetric=((0, 1),), parts=parts)


def linear_bench() -> Bench:
    """The rows of the forest without missing values, under weights for two outputs; a and b alike, h not read."""
    rng = np.random.default_rng(7)
    drawn = tree_rows(rng)
    references = References({"x": np.nan_to_num(drawn.references.inputs["x"])})
    rows = Rows({"x": np.nan_to_num(drawn.inputs["x"])}, drawn.target, references, drawn.features)
    first, second = rng.normal(size=(2, 10, 2))
    for weights in (first, second):
        weights[1], weights[8] = weights[0], 0.0
    parts = ((2.0, LinearTable(first, 0.5)), (-1.0, LinearTable(second)))
    said = facts(rows, "linear", {"Predictor", "Differentiable", "LinearModel"}, 2)
    more = {"ignored": (7,), "symmetric": ((0, 1),), "parts": parts, "additive": True}
    return Bench("linear table", "tabular", LinearTable(2.0 * first - second, 1.0), rows, said, **more)


def benches() -> list[Bench]:
    from tests.methods.equal import equal_benches  # both are made of what stands above
    from tests.methods.layered import layered_benches
    from tests.methods.propagating import relevance_benches

    smooth = [*smooth_benches(), *equal_benches(), forest_bench(), linear_bench()]
    return [*smooth, *table_benches(), *layered_benches(), *relevance_benches()]
