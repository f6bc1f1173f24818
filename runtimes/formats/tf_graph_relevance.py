"""Layer-wise relevance propagation and DeepLIFT through models that are no Keras layers: SavedModels, rebuilt ONNX files.

The function that a handle calls is frozen, and computed again operation by operation while one call is traced: the same
forwards, and a rule in place of the slope backwards, as in `runtimes.formats.keras_relevance`.
"""

from abc import abstractmethod
from typing import Any

import numpy as np

from runtimes.capabilities import Rules
from runtimes.formats.keras_relevance import Propagates
from runtimes.formats.keras_runtime import tensorflow
from runtimes.formats.onnx_slopes import columns_of, score_of
from runtimes.formats.relevance_calls import PropagatesByRules
from runtimes.formats.tf_graph_relevance_apart import DifferencesApart
from runtimes.formats.tf_graph_relevance_rescale import Differences
from runtimes.formats.tf_graph_relevance_rules import Backwards
from runtimes.formats.tf_graph_relevance_steps import Steps
from runtimes.formats.tf_graphs import frozen


class PropagatesThroughGraph(PropagatesByRules):
    """Part of a handle on a function of TensorFlow; see `runtimes.capabilities.RulePropagating`."""

    @abstractmethod
    def _answering(self, *tensors: Any) -> Any:
        """The raw columns, ``(rows, columns)``."""

    def _by_rules(self, arrays: list[Any], rules: Rules, low: list[Any] | None, high: list[Any] | None) -> Any:
        backwards = Backwards(self._steps(), rules)
        backwards.starts(low, high)
        return backwards.outputs(arrays, whole=True)[0]

    def _side_by_side(self, both: list[Any]) -> Any:
        apart = Differences if self._fixed is None else DifferencesApart
        return apart(self._steps()).outputs(both, whole=False)[0]

    def _steps(self) -> Steps:
        made: Steps = self._once("steps", self._looked_at)
        return made

    def _looked_at(self) -> Steps:
        tf = tensorflow()
        with tf.init_scope():  # outside of the trace that asks for it: weights are read here
            function = tf.function(self._answering, input_signature=self._specs(), autograph=False)
            return Steps(frozen(function.get_concrete_function()))


class PropagatesThroughSignature(PropagatesThroughGraph, Propagates):
    """The same for a SavedModel's signature."""

    def _answering(self, *tensors: Any) -> Any:
        raw = self._raw(list(tensors))
        return tensorflow().reshape(raw, (-1, int(np.prod(raw.shape[1:]))))

    def _is_single(self) -> bool:
        graph = self._steps().operations.frozen
        shape, _ = graph.spec(graph.outputs[0])
        return shape is not None and shape[1:] == (1,)


class PropagatesThroughRebuilt(PropagatesThroughGraph):
    """The same for an ONNX file rebuilt in TensorFlow."""

    _setting: Any
    _wide: int

    @abstractmethod
    def _raw(self, *tensors: Any) -> Any: ...

    def _answering(self, *tensors: Any) -> Any:
        return columns_of(tensorflow(), self._raw(*tensors), self._wide, self._setting.view.adaptation)

    def _of_columns(self, columns: Any, target: Any) -> Any:
        setting = self._setting
        return score_of(tensorflow(), columns, target, setting.view, setting.tail.activation, setting.raw)

    def _is_sum(self) -> bool:
        setting = self._setting
        score, activation, below = setting.view.score, setting.tail.activation, setting.raw == "logit"
        if activation == "softmax" and not below:
            return False
        if score == "log_odds":
            return bool(below and (activation == "sigmoid" or self._wide == 1))
        if score == "log_value":
            return bool(below)
        return score in ("logit", "value")
