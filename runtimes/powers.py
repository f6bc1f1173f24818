"""What a model file may do beyond the lists of what is allowed: nothing, unless a person has trusted exactly that file."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Powers:
    """Powers that a person has granted one file; they lift a refusal of the file's contents, and no limit of a process."""

    lambdas: bool = False
    """Python bytecode inside a Keras file may run."""
    custom_objects: frozenset[str] = frozenset()
    """Names of classes and functions of others that a Keras file may use."""
    modules: tuple[str, ...] = ()
    """Installed modules that are imported to bring them."""
    operations: frozenset[str] = frozenset()
    """Operations that a SavedModel may use beside those of the list."""
    domains: frozenset[str] = frozenset()
    """Domains of operators that an ONNX file may use beside the standard ones."""

    @property
    def plain(self) -> dict[str, Any]:
        """As plain values, for a plan: what is granted, and nothing else."""
        said: dict[str, Any] = {
            "lambdas": self.lambdas,
            "custom_objects": sorted(self.custom_objects),
            "modules": list(self.modules),
            "operations": sorted(self.operations),
            "domains": sorted(self.domains),
        }
        return {key: value for key, value in said.items() if value}

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> "Powers":
        """From plain values, as they stand in a plan."""
        return cls(
            lambdas=plain.get("lambdas", False) is True,
            custom_objects=frozenset(map(str, plain.get("custom_objects", ()))),
            modules=tuple(map(str, plain.get("modules", ()))),
            operations=frozenset(map(str, plain.get("operations", ()))),
            domains=frozenset(map(str, plain.get("domains", ()))),
        )


NO_POWERS = Powers()
"""What a file has that nobody has trusted."""
