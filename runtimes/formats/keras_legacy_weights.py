"""The weights of an archive (``.keras``) that Keras 2 wrote, into the model that Keras 3 has made of its configuration.

Both lay an HDF5 file out by kinds of layers: ``layers/dense/vars/0``, the second dense layer ``dense_1``; but each counts them in
the order in which its own models hold their layers. So they are counted here as the file's configuration names them.
"""

import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from runtimes.formats.keras_weights import MEMBER
from runtimes.target import ModelFileError

_MODELS = frozenset({"Functional", "Sequential"})
_OF_LAYERS = ("layers", "_layer_checkpoint_dependencies")
"""Groups in which Keras 2 has kept the layers of a model, by its versions."""
_PARTS = (
    "cell",
    "forward_layer",
    "backward_layer",
    "layer",
    "_query_dense",
    "_key_dense",
    "_value_dense",
    "_output_dense",
)
"""Parts of layers that have weights of their own, by the names that both versions give them."""


def load_weights(model: Any, config: Mapping[str, Any], path: Path) -> None:
    """Read an archive's weights into a model, every one of them.

    Args:
        model: of the configuration.
        config: in the words of Keras 3, its layers in the order in which the file has them.
        path: of the archive.

    Raises:
        ModelFileError: the weights are not those of the configuration.
    """
    import h5py

    try:
        with zipfile.ZipFile(path) as archive:
            held = BytesIO(archive.read(MEMBER))
        with h5py.File(held, "r") as file:
            filled = _fill_model(model, config, _Group(file))
    except (OSError, KeyError, ValueError, RuntimeError, zipfile.BadZipFile) as error:
        raise ModelFileError(
            f"`{path.name}`: its weights are not those of its layers: {error}", "save the model again with `model.save`"
        ) from error
    wanted = {id(weight): weight.path for weight in model.weights}
    missing = sorted(wanted[one] for one in set(wanted) - filled)
    if missing:
        raise ModelFileError(
            f"`{path.name}` holds no weights for `{missing[0]}`", "save the model again with `model.save`"
        )


class _Group:
    """A group of an HDF5 file; names with a backslash, as some versions wrote them, are read as paths."""

    def __init__(self, group: Any) -> None:
        self.arrays: dict[str, Any] = {}
        """By their place below the group, ``dense/vars/0``."""
        group.visititems(self._note)

    def _note(self, name: str, item: Any) -> None:
        if hasattr(item, "shape"):
            self.arrays[name.replace("\\", "/")] = np.asarray(item)

    def below(self, name: str) -> "_Group":
        """What stands below a name."""
        found = _Group.__new__(_Group)
        start = f"{name}/"
        found.arrays = {key.removeprefix(start): a for key, a in self.arrays.items() if key.startswith(start)}
        return found

    def names(self) -> list[str]:
        """What stands directly below, each once."""
        return list(dict.fromkeys(key.partition("/")[0] for key in self.arrays))


def _fill_model(model: Any, config: Mapping[str, Any], group: _Group) -> set[int]:
    place = next((name for name in _OF_LAYERS if name in group.names()), None)
    filled: set[int] = set()
    if place is None:
        return filled
    inside = group.below(place)
    named = {layer.name: layer for layer in model.layers}
    layers = [(one, named[str(one["config"]["name"])]) for one in config["config"]["layers"] if _is_layer(one)]
    kinds = dict.fromkeys(_snake(str(one["class_name"])) for one, _ in layers)
    for kind in kinds:
        of_kind = [(one, layer) for one, layer in layers if _snake(str(one["class_name"])) == kind and layer.weights]
        groups = sorted((name for name in inside.names() if _is_counted(name, kind)), key=lambda n: (len(n), n))
        if len(groups) != len(of_kind):
            raise ValueError(f"{len(of_kind)} layers `{kind}` have weights, and the file has {len(groups)}")
        for (one, layer), name in zip(of_kind, groups, strict=True):
            nested = one["class_name"] in _MODELS
            filled |= _fill_model(layer, one, inside.below(name)) if nested else _fill(layer, inside.below(name))
    return filled


def _is_layer(layer: Mapping[str, Any]) -> bool:
    return not str(layer.get("module") or "").startswith("keras.src.ops") and layer["class_name"] != "InputLayer"


def _fill(thing: Any, group: _Group) -> set[int]:
    """One layer, or a part of one."""
    own = [*thing._trainable_variables, *thing._non_trainable_variables]
    arrays = group.below("vars").arrays
    if sorted(arrays) != sorted(map(str, range(len(own)))):
        raise ValueError(f"`{thing.name}` has {len(own)} weights of its own, and the file has {len(arrays)}")
    for position, weight in enumerate(own):
        array = arrays[str(position)]
        if tuple(array.shape) != tuple(weight.shape):
            raise ValueError(f"`{weight.path}` is {tuple(weight.shape)}, and {tuple(array.shape)} in the file")
        weight.assign(array)
    filled = {id(weight) for weight in own}
    for name, part in _parts_of(thing, group.names()):
        filled |= _fill(part, group.below(name))
    return filled


def _parts_of(thing: Any, names: Sequence[str]) -> Iterator[tuple[str, Any]]:
    for name in names:
        if name in _PARTS:
            yield name, getattr(thing, name)
        elif name not in ("vars", "seed_generator", "_random_generator"):
            raise ValueError(f"`{thing.name}` has no part `{name}`")


def _snake(kind: str) -> str:
    """``Conv2D`` to ``conv2d``, ``BatchNormalization`` to ``batch_normalization``: as Keras itself names groups."""
    name = re.sub(r"\W+", "", kind)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def _is_counted(name: str, kind: str) -> bool:
    return name == kind or (name.startswith(f"{kind}_") and name.removeprefix(f"{kind}_").isdigit())
