"""The locales that a file's StringNormalizer names, and what stands for those that a host has not."""

from pathlib import Path
from typing import Any

from runtimes.target import ModelFileError

_DEFAULT = "en_US.UTF-8"
"""What ONNX Runtime takes where a node names none, on Linux."""
_EVERYWHERE = "C.UTF-8"
"""Its rules of small and capital letters are those of Unicode, as in every locale of glibc but those that have their own (tr,
az, lt); an image of a container often has no other."""


def is_of_locale(error: Exception) -> bool:
    """Whether a session was refused because this host has not the locale that a file names."""
    return "Failed to construct locale" in str(error)


def with_known_locale(path: Path, model: Any) -> Any:
    """A copy of a model that was refused, whose English locales are one that every host has.

    Raises:
        ModelFileError: it names none of those.
    """
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    changed, others = False, set[str]()
    for node in copy.graph.node:
        if node.op_type != "StringNormalizer":
            continue
        named = [one for one in node.attribute if one.name == "locale"]
        if not named:
            node.attribute.append(onnx.helper.make_attribute("locale", _DEFAULT))
        locale = next(one for one in node.attribute if one.name == "locale")
        if locale.s.decode("utf-8", "replace").startswith("en"):
            locale.s = _EVERYWHERE.encode()
            changed = True
        else:
            others.add(locale.s.decode("utf-8", "replace")[:40])
    if not changed:
        lacking = ", ".join(sorted(others))
        raise ModelFileError(
            f"`{path.name}` needs the locale {lacking}, and this host has it not", "install the locale"
        )
    return copy
