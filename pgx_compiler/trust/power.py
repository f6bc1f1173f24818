"""The powers that can be granted to a model file, one by one; there is none that means everything."""

import re
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What a power lets a file do."""

    CUSTOM_OBJECTS = "custom-objects"
    """Use classes and functions of an installed module that the grant names."""
    LAMBDA = "lambda"
    """Run the Python bytecode of its Keras Lambda layers."""
    SAVEDMODEL_OP = "savedmodel-op"
    """Use one operation of TensorFlow that is not on the list of arithmetic."""
    ONNX_DOMAIN = "onnx-domain"
    """Use the operators of one domain, where ONNX Runtime knows it."""


NAMED = frozenset({Kind.SAVEDMODEL_OP, Kind.ONNX_DOMAIN})
"""Powers that say for which name: ``savedmodel-op:ReadFile``."""
_NAME = re.compile(r"[A-Za-z0-9_.\-]{1,100}")


class NoPowerError(ValueError):
    """A text that names no power; says which there are."""


@dataclass(frozen=True)
class Power:
    """One power of one file."""

    kind: Kind
    name: str = ""
    """The operation or domain, where the kind has one."""

    def __str__(self) -> str:
        return f"{self.kind.value}:{self.name}" if self.kind in NAMED else self.kind.value

    @classmethod
    def parse(cls, text: str) -> "Power":
        """A power as people write it. Raises `NoPowerError`."""
        kind, colon, name = text.partition(":")
        known = {one.value: one for one in Kind}
        found = known.get(kind)
        if found is None:
            raise NoPowerError(f"`{text[:80]}` is no power; there are {', '.join(known)}")
        if found in NAMED and not _NAME.fullmatch(name):
            raise NoPowerError(f"`{kind}` is granted for one name: {kind}:NAME")
        if found not in NAMED and colon:
            raise NoPowerError(f"`{kind}` takes no name")
        return cls(found, name)


def needed_power(needs: str) -> tuple[Power, str]:
    """What a refusal says that it needs, as a power and, of custom objects, the name of the object."""
    kind, _, name = needs.partition(":")
    power = Kind(kind)
    return (Power(power, name), "") if power in NAMED else (Power(power), name)
