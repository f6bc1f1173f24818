"""All that the planner may know of a runtime and of a model file, found without importing any framework."""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from runtimes.capabilities import Trainable, View


@dataclass(frozen=True)
class TensorFacts:
    """One input or output of a model."""

    name: str
    shape: tuple[int | None, ...]
    """Axis 0 is rows; None is dynamic."""
    dtype: str
    """NumPy name: ``float32``, ``int64``, ``str``."""


@dataclass(frozen=True)
class LayerFacts:
    """One layer of a network, as its file declares it."""

    name: str
    kind: str
    """Class name in the framework's words: ``Conv2D``."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The plain numbers, booleans and words of its configuration: what tuning may address."""
    used: int = 1
    """How often one call of the model uses it: only a layer used once can be looked into. An input is not used."""
    shape: tuple[int | None, ...] | None = None
    """Of what it gives, without the row axis, where the file says it."""


@dataclass(frozen=True)
class ModelFacts:
    """What a model file says of itself, read statically."""

    format: str
    """``keras`` or ``onnx``."""
    structure: str
    """``network``, ``tree_ensemble`` or ``linear``."""
    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]
    capabilities: frozenset[str]
    """Names of `runtimes.capabilities` that a handle on this file will offer."""
    scores: frozenset[str]
    """The members of `runtimes.capabilities.SCORES` that this file can give."""
    n_outputs: int
    """Columns of a view: classes of a classifier (a single sigmoid column counts as two), else outputs. 0: not known."""
    parameters: int
    """Trained numbers in the file."""
    operators: Mapping[str, int]
    """Operator or layer kind to how often it stands in the file."""
    producer: str = ""
    activation: str = ""
    """The final activation: ``softmax``, ``sigmoid``, ``exp``, ``linear`` or ``logistic`` (trees)."""
    layers: tuple[LayerFacts, ...] = ()
    """In file order; those of nested models before them, as ``outer/inner``."""
    tunables: Mapping[str, Any] = field(default_factory=dict)
    """Address to declared value: ``layers.dense.units: 32``, ``optimizer.learning_rate: 0.001``."""
    loss: str | None = None
    work_per_row: int = 0
    """Multiply-adds of a forward pass of one row, roughly; 0: unknown. For pricing only."""
    classes: tuple[str, ...] = ()
    """Names of the classes in output order, where the file holds them."""
    feature_names: tuple[str, ...] = ()
    """Names of the columns of a single input, where the file holds them."""
    problem: tuple[str, str] | None = None
    """Why the output cannot be explained, and what to do about it."""
    beside: Mapping[str, Path] = field(default_factory=dict)
    """Files of weights that stand beside the model's own, by the location that it says."""
    without_rule: str = ""
    """The first layer that relevance cannot be propagated through, in words: ``layer `lstm` (LSTM)``."""
    without_rescaling: str = ""
    """The first layer that DeepLIFT's rescale rule has no share for, in words."""
    unsaid: bool = False
    """True where the problem is only that the file does not say how many numbers its output has a row."""
    lacks: Mapping[str, str] = field(default_factory=dict)
    """A capability that files of this format can have to why this one does not, in words."""
    coarse: bool = False
    """True where it computes in half precision or rounds to a few bits on its way: two runtimes differ by more then."""
    ends: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """By score, the lowest and highest number that it can be, where the output is rounded to whole numbers of few bits."""


class ModelFileError(Exception):
    """A model file that cannot be used: missing, empty, truncated, not what its suffix says, or refused.

    Attributes:
        reason: one sentence for the author.
        help: what to do about it.
        needs: the power that a person would have to grant the file (`pgx trust`): ``lambda``, ``custom-objects:NAME``,
            ``savedmodel-op:NAME``, ``onnx-domain:NAME``; empty where no trust would help.
    """

    def __init__(self, reason: str, help: str, needs: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.help = help
        self.needs = needs


class NoSignatureError(ModelFileError):
    """A model file without the signature that was asked for."""


@dataclass(frozen=True)
class Target:
    """One runtime, as the planner sees it."""

    name: str
    """The file name under ``runtimes/frameworks``."""
    formats: tuple[str, ...]
    """Model formats it opens: ``keras``, ``onnx``."""
    suffixes: tuple[str, ...]
    capabilities: frozenset[str]
    """The most that it can offer; a file may offer less (`ModelFacts.capabilities`)."""
    distributions: tuple[str, ...]
    """Python distributions whose versions are part of every key computed here."""
    price: float
    """Relative seconds of one forward row; the cheapest capable target is chosen."""
    rests_on: tuple[str, ...] = ()
    """Other files under ``runtimes/frameworks`` whose code its numbers come from."""
    rebuilds: bool = False
    """Whether it computes with a rebuild of the model, which has to be shown to be the same one before it is believed."""


class Framework(Protocol):
    """What a file under ``runtimes/frameworks`` exports (as module attributes)."""

    TARGET: Target
    inspect: Callable[[Path], ModelFacts]
    """Read static facts; imports no framework. Raises `ModelFileError`."""
    open_model: Callable[[Path, View], Any]
    """Open a handle for one view."""
    open_trainable: Callable[[Path], Trainable]
    """Only where TARGET.capabilities has ``Trainable``."""


@cache
def frameworks() -> Mapping[str, Any]:
    """Every framework by file name; importing them costs no heavy library."""
    package = importlib.import_module("runtimes.frameworks")
    return {
        entry.name: importlib.import_module(f"runtimes.frameworks.{entry.name}")
        for entry in sorted(pkgutil.iter_modules(package.__path__), key=lambda entry: entry.name)
    }


def framework_for(format: str, capability: str = "Predictor") -> Any:
    """The cheapest framework that opens a model format (``keras``, ``onnx``) and can offer a capability of it."""
    able = [one for one in frameworks().values() if format in one.TARGET.formats]
    able = [one for one in able if capability in one.TARGET.capabilities]
    if not able:
        raise LookupError(f"no framework opens the format {format!r} and offers {capability}")
    return min(able, key=lambda one: (one.TARGET.price, one.TARGET.name))
