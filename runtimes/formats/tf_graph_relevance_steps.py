"""A frozen graph as steps, each with a way in which relevance (or differences) passes it.

What frameworks write as several operations is one step here: a convolution with its bias and the normalisation that stands on
it, an activation made of elementary functions, a layer normalisation.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from runtimes.formats import tf_graph_relevance_kinds as kinds
from runtimes.formats.tf_graph_operations import Operation, Operations, sides_of
from runtimes.formats.tf_graph_relevance_sums import Linear, linear_of
from runtimes.formats.tf_graph_rows import axes_of_rows
from runtimes.formats.tf_graphs import FrozenGraph
from runtimes.formats.tf_operators.declaring import GATED


@dataclass(frozen=True)
class Step:
    """What makes one tensor of numbers that depends on the inputs."""

    manner: str
    """``plain``, ``passed``, ``affine``, ``shared``, ``winning``, ``gated``, ``fixed``, ``summed``, ``weighed``, ``centred``,
    ``refused``."""
    operation: Operation
    """The last one."""
    sources: tuple[Any, ...]
    """Tensors that it hands on to; those that only say how much (gates) are not among them."""
    chain: tuple[Operation, ...]
    """The operations from the sources on."""
    linear: Linear | None = None

    @property
    def root(self) -> str:
        """The name of the first source."""
        return str(self.sources[0].name) if self.sources else ""


class Steps:
    """The steps of a graph, found as they are asked for."""

    def __init__(self, frozen: FrozenGraph) -> None:
        self.operations = Operations(frozen)
        self._made: dict[str, Step] = {}
        self._above: dict[str, str | None] = {}
        """By tensor, the nearest one that it depends on the inputs by way of alone."""
        self._below: dict[str, str | None] = {}
        """The same through operations on single numbers alone."""
        self._depths: list[dict[str, int]] = [{}, {}]
        for operation in self.operations.ordered:
            if operation.type in kinds.LOOPS and self.operations.lives_of(operation):
                raise ValueError(f"there is no rule for the operation `{operation.type}` (`{operation.name}`)")
            self._place(operation)

    @cached_property
    def rows(self) -> dict[str, int]:
        """By tensor, the axis of its rows; see `runtimes.formats.tf_graph_rows`."""
        return axes_of_rows(self.operations.frozen)

    def of(self, tensor: Any) -> Step:
        """The step that makes a tensor of numbers that depends on the inputs."""
        name = tensor.name
        if name not in self._made:
            self._made[name] = self._classified(tensor.op, tensor)
        return self._made[name]

    def needed(self, *, whole: bool) -> list[Any]:
        """The tensors to compute for the outputs, each after what it needs.

        ``whole``: weighted sums together with what stands on them; else each operation by itself.
        """
        graph = self.operations.frozen.graph
        done: dict[str, Any] = {}
        waiting = [graph.get_tensor_by_name(name) for name in self.operations.frozen.outputs]
        while waiting:
            one = waiting[-1]
            lacking = [read for read in self.read_by(one, whole=whole) if read.name not in done]
            if one.name in done or not lacking:
                done.setdefault(waiting.pop().name, one)
            else:
                waiting += lacking
        return list(done.values())

    def read_by(self, tensor: Any, *, whole: bool) -> list[Any]:
        """The tensors that a step reads, constants left out."""
        if tensor.name in self.operations.frozen.inputs or self.operations.is_constant(tensor):
            return []
        if not self.is_step(tensor):
            return [one for one in tensor.op.inputs if not self.operations.is_constant(one)]
        step = self.of(tensor)
        single = not whole and step.manner in ("summed", "weighed", "affine", "shared", "plain")
        chain = [tensor.op] if single else step.chain
        first = list(tensor.op.inputs) if single else [*step.sources]
        more = [] if single else list(sides_of(chain, step.root))
        return [one for one in [*first, *more] if not self.operations.is_constant(one)]

    def is_step(self, tensor: Any) -> bool:
        """Whether relevance may come to a tensor."""
        made = tensor.name not in self.operations.frozen.inputs
        return made and self.operations.carries(tensor)

    def _place(self, operation: Operation) -> None:
        lives = [tensor.name for tensor in self.operations.lives_of(operation)]
        for output in operation.outputs:
            if not self.operations.is_live(output):
                continue
            at_place = operation.type in kinds.POINTWISE or operation.type == "Cast"
            whole = not (at_place and self._keeps_shape(operation))
            for table, depths, ends in ((self._above, self._depths[0], False), (self._below, self._depths[1], whole)):
                parent = None if ends else self._common(table, depths, lives)
                table[output.name] = parent
                depths[output.name] = 0 if parent is None else depths[parent] + 1

    def _keeps_shape(self, operation: Operation) -> bool:
        """Whether each number is made of those at its own place: nothing is spread over more places."""
        out = operation.outputs[0].shape
        return all(
            one.shape.rank == out.rank and list(one.shape) == list(out) for one in self.operations.lives_of(operation)
        )

    def _common(self, table: dict[str, str | None], depths: dict[str, int], names: Sequence[str]) -> str | None:
        """The nearest tensor that all depend on the inputs by way of; None where there is none."""
        found: str | None = names[0] if names else None
        for other in names[1:]:
            mine: str | None = other
            while found is not None and mine is not None and found != mine:
                if depths[found] >= depths[mine]:
                    found = table[found]
                else:
                    mine = table[mine]
            found = found if found == mine else None
        return found

    def _classified(self, operation: Operation, tensor: Any) -> Step:
        lives = [one for one in self.operations.lives_of(operation) if self.operations.carries(one)]
        kind, own = operation.type, (operation,)
        linear = linear_of(self.operations, operation)
        if linear is not None:
            return Step("summed", operation, (linear.data,), linear.chain, linear)
        if (centred := self._centred(operation, tensor)) is not None:
            return centred
        if kind in kinds.NORMALISED and len(lives) == 1 and not operation.get_attr("is_training"):
            return Step("affine", operation, (lives[0],), own)
        if kind in kinds.POINTWISE and (found := self._pointwise(operation, tensor, lives)) is not None:
            return found
        if kind in kinds.PRODUCTS and len(lives) == 2:
            signals = self._signals(lives)
            if len(signals) == 1:
                return Step("weighed", operation, tuple(signals), own)
            return Step("refused", operation, tuple(lives), own)
        if kind in kinds.MOVED and lives:
            return Step("plain", operation, tuple(lives), own)
        if kind in kinds.SHARED and lives:
            return Step("shared", operation, tuple(lives), own)
        if kind in kinds.POOLS and lives:
            return Step("winning", operation, tuple(lives), own)
        return Step("refused", operation, tuple(lives), own)

    def _pointwise(self, operation: Operation, tensor: Any, lives: list[Any]) -> Step | None:
        kind, own = operation.type, (operation,)
        root = self._below.get(tensor.name)
        if len(lives) == 1 and len(self.operations.lives_of(operation)) == 1:
            manner = "passed" if root is not None else "shared"
            if kind == "Mul" and GATED in _scopes(operation):
                return Step("fixed", operation, (lives[0],), own)
            if kind in kinds.SCALING | kinds.ADDING | {"BiasAdd"} and (
                kind not in kinds.DIVIDING or lives[0] is operation.inputs[0]
            ):
                manner = "affine"
            elif root is None:
                manner = "refused"
            return Step(manner, operation, (lives[0],), own)
        if root is not None:
            source = self.operations.frozen.graph.get_tensor_by_name(root)
            return Step("passed", operation, (source,), tuple(self.operations.chain(operation, root)))
        if kind in kinds.ADDING:
            return Step("shared", operation, tuple(lives), own)
        if kind in kinds.LARGEST:
            return Step("winning", operation, tuple(lives), own)
        if kind in ("Select", "SelectV2"):
            return Step("plain", operation, tuple(lives), own)
        if kind in kinds.DIVIDING and any(lives[0] is one for one in operation.inputs[:1]):
            return Step("gated", operation, (lives[0],), own)
        if kind in ("Mul", "MulNoNan"):
            return Step("gated", operation, tuple(self._signals(lives)), own)
        return None

    def _signals(self, lives: list[Any]) -> list[Any]:
        """The factors of a product that are no gates; all where all are."""
        found = [one for one in lives if not self._is_gate(one)]
        return found or lives

    def _is_gate(self, tensor: Any) -> bool:
        low, high = self.operations.range(tensor)
        if low >= 0.0 and high <= 1.0:
            return True
        while tensor.op.type in kinds.MOVED and len(self.operations.lives_of(tensor.op)) == 1:
            tensor = self.operations.lives_of(tensor.op)[0]
        if tensor.op.type in ("Mul", "Cast") and len(self.operations.lives_of(tensor.op)) == 1:
            return self._is_gate(self.operations.lives_of(tensor.op)[0])
        return tensor.op.type in kinds.INVERSE

    def _centred(self, operation: Operation, tensor: Any) -> Step | None:
        """A normalisation over numbers of the row itself, as far as it reaches."""
        if operation.type not in kinds.CENTRING or len(self.operations.lives_of(operation)) < 2:
            return None
        root = self._above.get(tensor.name)
        if root is None:
            return None
        chain = self.operations.chain(operation, root)
        held = {one.type for one in chain}
        if not (held <= kinds.CENTRING and held & kinds.SPREADS and held & {"Mean", "Sum"}):
            return None
        source = self.operations.frozen.graph.get_tensor_by_name(root)
        return Step("centred", operation, (source,), tuple(chain))


def _scopes(operation: Operation) -> set[str]:
    """The scopes that an operation was written in, without the numbers that keep them apart."""
    return {re.sub(r"_\d+$", "", one) for one in operation.name.split("/")[:-1]}
