"""Composites: which rule of relevance propagation is applied where in a network, and what its inputs may be."""

from typing import Literal

import numpy as np

from pgx_compiler.modalities.features import Rows
from runtimes.capabilities import Floats, Rule, Rules

Composite = Literal[
    "epsilon_gamma_box",
    "epsilon_plus",
    "epsilon_plus_flat",
    "epsilon_alpha_beta",
    "epsilon_alpha_beta_flat",
    "epsilon",
    "gamma",
    "alpha_beta",
    "z_plus",
]

_FIRST: dict[str, Rules] = {
    "epsilon_gamma_box": (("first_convolution", Rule("box")),),
    "epsilon_plus_flat": (("first", Rule("flat")),),
    "epsilon_alpha_beta_flat": (("first", Rule("flat")),),
}
"""The rule of the first layer, of composites that name one."""


def rules_of(
    composite: Composite,
    *,
    epsilon: float,
    gamma: float,
    alpha: float,
    beta: float,
    biases: bool = True,
    first: str | None = None,
) -> Rules:
    """A composite as data: place and rule, the first that fits is applied.

    ``first`` is the rule of the first layer; None: as the composite says.
    """
    by_kind = {
        "epsilon": Rule("epsilon", epsilon=epsilon, biases=biases),
        "gamma": Rule("gamma", gamma=gamma, biases=biases),
        "alpha_beta": Rule("alpha_beta", alpha=alpha, beta=beta, biases=biases),
        "plus": Rule("alpha_beta", alpha=1.0, beta=0.0, biases=biases),
    }
    beginning = _FIRST.get(composite, ()) if first is None else (("first", Rule(first)),)
    if composite in ("epsilon", "gamma", "alpha_beta", "z_plus"):
        return (*beginning, ("any", by_kind["plus" if composite == "z_plus" else composite]))
    convolutions = composite.removeprefix("epsilon_").removesuffix("_box").removesuffix("_flat")
    return (*beginning, ("convolution", by_kind[convolutions]), ("any", by_kind["epsilon"]))


def box_of(rows: Rows, low: float | None, high: float | None) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """The lowest and highest values that each row's elements may have, shaped as the inputs.

    What is not said is the range seen in the row and its references: of each column by itself in a table, of each channel
    in a picture or a series. It is each row's own, so that no row depends on those beside it.
    """
    lowest: dict[str, Floats] = {}
    highest: dict[str, Floats] = {}
    for name, array in rows.inputs.items():
        for side, said, extreme in ((lowest, low, np.min), (highest, high, np.max)):
            side[name] = array if array.dtype.kind != "f" else np.full_like(array, 0.0 if said is None else said)
            if said is not None or array.dtype.kind != "f":
                continue
            for row in range(len(array)):
                seen = np.concatenate([array[row : row + 1], rows.references.of_row(row)[name]])
                side[name][row] = extreme(seen, axis=tuple(range(array.ndim - 1)))
    return lowest, highest
