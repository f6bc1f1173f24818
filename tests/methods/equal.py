"""Reference networks of which an equal one with other layers is known, and one that reads shifted inputs."""

import numpy as np

from pgx_compiler.methods.laws import Bench
from pgx_compiler.modalities.features import References, Rows
from runtimes.frameworks.reference import Network, ReferenceModel
from tests.methods.models import facts, image_rows, tree_rows


def network(rows: Rows, ignored: int, equal: tuple[int, int], rng: np.random.Generator) -> Network:
    """tanh, softplus, three outputs; one feature is not read and two are treated alike."""
    ((name, array),) = rows.inputs.items()
    owner = rows.features.owners[name].reshape(-1)
    first = rng.normal(size=(len(owner), 5)) * 0.7
    first[owner == ignored] = 0.0
    first[owner == equal[1]] = first[owner == equal[0]]
    weights = (first, rng.normal(size=(5, 4)), rng.normal(size=(4, 3)))
    biases = (rng.normal(size=5), rng.normal(size=4), rng.normal(size=3))
    return Network(weights, biases, ("tanh", "softplus", "linear"), name, array.shape[1:])


def by_other_layers(one: Network, rng: np.random.Generator) -> Network:
    """The same function: units change places, one is cut in halves, signs turn (tanh is odd), a layer is two."""
    order, sign = rng.permutation(5), np.array([1.0, -1.0, 1.0, -1.0, -1.0])
    first, bias = one.weights[0][:, order] * sign, one.biases[0][order] * sign
    second = one.weights[1][order] * sign[:, None]
    first, bias = np.concatenate([first, first[:, :1]], axis=1), np.append(bias, bias[0])
    second = np.concatenate([second, second[:1] / 2])
    second[0] /= 2
    turn = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    return Network(
        (first, second, turn, turn.T @ one.weights[2]),
        (bias, one.biases[1], np.zeros(4), one.biases[2]),
        ("tanh", "softplus", "linear", "linear"),
        one.input_name,
        one.input_shape,
    )


def taking_off(one: Network, shift: np.ndarray) -> Network:
    """g(x) = f(x - shift): its first bias is b - shift W."""
    biases = (one.biases[0] - shift.reshape(-1) @ one.weights[0], *one.biases[1:])
    return Network(one.weights, biases, one.activations, one.input_name, one.input_shape)


def plain_rows(rng: np.random.Generator) -> Rows:
    """Ten float32 columns in eight features, none missing, one fixed; the first two are equal."""
    drawn = tree_rows(rng)
    references = References({"x": np.nan_to_num(drawn.references.inputs["x"])})
    return Rows({"x": np.nan_to_num(drawn.inputs["x"])}, drawn.target, references, drawn.features)


def equal_benches() -> list[Bench]:
    rng = np.random.default_rng(17)
    found = []
    for modality, rows, ignored, equal in (
        ("tabular", plain_rows(rng), 7, (0, 1)),
        ("image", image_rows(rng), 3, (0, 5)),
    ):
        one = network(rows, ignored, equal, rng)
        ((name, array),) = rows.inputs.items()
        shift = rng.normal(size=array.shape[1:])
        moved = Rows(
            {name: (array + shift).astype(array.dtype)},
            rows.target,
            References({name: (rows.references.inputs[name] + shift).astype(array.dtype)}),
            rows.features,
        )
        found.append(
            Bench(
                f"{modality} reference network",
                modality,
                ReferenceModel(one),
                rows,
                facts(rows, "network", {"Predictor", "Differentiable"}, 3),
                ignored=(ignored,),
                symmetric=(equal,),
                twin=ReferenceModel(by_other_layers(one, rng)),
                shifted=(ReferenceModel(taking_off(one, shift)), moved),
            )
        )
    return found
