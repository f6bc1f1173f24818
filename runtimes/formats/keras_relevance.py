"""Layer-wise relevance propagation and DeepLIFT through Keras models of any shape.

While one call of the model is traced, every layer's ``call`` is replaced by one that gives the same, and that backwards
hands on relevance (or multipliers) by a rule in place of the slope. Automatic differentiation then does the rest: it
walks the graph, adds up what comes back along several ways, and leaves layers that only move elements as they are.
"""

from abc import abstractmethod
from typing import Any

import numpy as np

from runtimes.capabilities import Rules, View
from runtimes.formats.keras_facts import Head
from runtimes.formats.keras_layers import replaced
from runtimes.formats.keras_relevance_layers import Backwards
from runtimes.formats.keras_relevance_rescale import Differences
from runtimes.formats.keras_runtime import tensorflow
from runtimes.formats.relevance_calls import PropagatesByRules


class Propagates(PropagatesByRules):
    """Part of a Keras handle; see `runtimes.capabilities.RulePropagating`."""

    _model: Any
    _view: View
    _head: Head
    _gives_logits: bool

    @abstractmethod
    def _raw(self, arrays: Any) -> Any: ...

    @abstractmethod
    def _chosen(self, raw: Any, target: Any) -> Any: ...

    def _is_sum(self) -> bool:
        """Whether the score is one of the raw columns (or its negative), through activations of single numbers."""
        if self._head.activation in ("softmax", "log_softmax") and not self._gives_logits:
            return False
        single = self._head.activation == "sigmoid" or self._is_single()
        if self._view.score == "log_odds":
            return single and self._gives_logits
        if self._view.score == "log_value":
            return bool(self._gives_logits)
        return self._view.score in ("logit", "value")

    def _by_rules(self, arrays: list[Any], rules: Rules, low: list[Any] | None, high: list[Any] | None) -> Any:
        backwards = Backwards(self._model, rules)
        backwards.starts(arrays, low, high)
        with replaced(backwards.changes()):
            return _flat(self._raw(arrays))

    def _side_by_side(self, both: list[Any]) -> Any:
        with replaced(Differences(self._model).changes()):
            return _flat(self._raw(both))

    def _of_columns(self, columns: Any, target: Any) -> Any:
        return self._chosen(columns, target)

    def _is_single(self) -> bool:
        return bool(self._model.outputs[0].shape[-1] == 1)


def _flat(raw: Any) -> Any:
    tf = tensorflow()
    return tf.reshape(raw, (tf.shape(raw)[0], int(np.prod(raw.shape[1:]))))
