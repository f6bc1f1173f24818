"""Method names as headings: what the literature writes otherwise than in plain words."""

import re

_ACRONYMS = ("shap", "ebm", "mmd", "cam")
_AS_WRITTEN = {word: word.upper() for word in _ACRONYMS} | {
    "shapley": "Shapley",
    "top_k": "top-k",
    "sobol": "Sobol",
    "morris": "Morris",
    "friedman": "Friedman",
}
"""Words of names. A method whose whole name is written otherwise says so itself, with ``TITLE`` in its file."""


def title_of(name: str) -> str:
    """A method's name as a heading: ``kernel_shap`` becomes ``Kernel SHAP``."""
    for word, written in _AS_WRITTEN.items():
        name = re.sub(rf"(?<![a-z]){word}(?![a-z])", written, name)
    words = name.replace("_", " ")
    return words[0].upper() + words[1:]
