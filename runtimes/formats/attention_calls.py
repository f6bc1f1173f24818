"""What positions look at, read out of a graph while it answers: see `runtimes.capabilities.AttentionReadable`."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from runtimes.capabilities import Floats, Inputs, Spent
from runtimes.formats.batches import conform, n_rows, slices
from runtimes.formats.graph_attention import Attention, of_first_row
from runtimes.formats.keras_runtime import tensorflow
from runtimes.formats.layer_calls import Traced
from runtimes.target import TensorFacts


class ReadsAttention(ABC):
    """Part of a handle on a graph of operations, some of which are attention."""

    _inputs: tuple[TensorFacts, ...]
    _fixed: int | None
    spent: Spent

    @abstractmethod
    def _attentions(self) -> Sequence[Attention]:
        """Those of the graph, in the order of computation."""

    @abstractmethod
    def _to_shares(self, attentions: Sequence[Attention]) -> Traced:
        """From the inputs to what each attention's tensor is, its axes as `Attention` counts them."""

    @abstractmethod
    def _once(self, key: Any, make: Callable[[], Any]) -> Any: ...

    def attention(self, inputs: Inputs) -> Mapping[str, Floats]:
        """Return what each position looks at, ``(rows, heads, position, position looked at)``. Counts as forward rows.

        One row a call: a graph may hold rows and heads on one axis, and its file does not say in which order.

        Raises:
            ValueError: the rows are not what the model reads.
        """
        arrays = conform(inputs, self._inputs)
        attentions: Sequence[Attention] = self._once("attentions", self._attentions)
        found: dict[str, list[Floats]] = {one.name: [] for one in attentions}
        self.spent.forward += n_rows(arrays)
        if not attentions:
            return {}
        run, tf = self._once("shares", lambda: self._to_shares(attentions)), tensorflow()
        for row in range(n_rows(arrays)):
            alone = {name: array[row : row + 1] for name, array in arrays.items()}
            part, _ = next(slices(alone, 1, self._fixed))
            for one, shares in zip(attentions, run(*map(tf.constant, part.values())), strict=True):
                turned = np.transpose(shares.numpy(), one.order(len(shares.shape)))
                found[one.name].append(of_first_row(turned, n_rows(part)))
        return {name: np.concatenate(parts) if parts else np.zeros((0, 1, 0, 0)) for name, parts in found.items()}
