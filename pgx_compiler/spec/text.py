"""What the audit language says of text: how it becomes the numbers that a model reads."""

from typing import TYPE_CHECKING, Literal

from pgx_compiler.modalities import names
from pgx_compiler.spec.fields import Path, SpecModel, semantic

_OF_COLUMNS = ("numeric", "categorical")
_OF_TEXT = ("tokens", "token_mask", "token_types", "text", "bytes")

if TYPE_CHECKING:
    InputKind = str
else:  # an input of another modality is of that kind as a whole
    InputKind = Literal[(*_OF_COLUMNS, *_OF_TEXT, *(name for name in names() if name not in ("tabular", "text")))]


class TokenizerSpec(SpecModel):
    """How a column of text becomes the token ids that the model reads."""

    vocabulary: Path = semantic()
    """A tokenizer's ``.json``, a ``.json`` of words with their ids, or a ``.txt`` with a word a line."""
    lowercase: bool = semantic(True)
    """Whether capitals are made small first. A tokenizer's ``.json`` says it of itself."""
    pattern: str | None = semantic(None, min_length=1, max_length=200)
    """Regular expression whose matches are the words; what lies between is dropped (default: words and signs)."""
    length: int | None = semantic(None, ge=1, le=8192)
    """Tokens a row: longer texts are cut, shorter ones padded at the end (default: what the model reads)."""
    unknown: int | None = semantic(None, ge=0)
    """Id of a word that the vocabulary has not (default: what it calls ``[UNK]`` or ``<unk>``)."""
    cls: int | None = semantic(None, ge=0)
    """Id put before each text (default: what a vocabulary of pieces calls ``[CLS]``)."""
    sep: int | None = semantic(None, ge=0)
    """Id put after each text (default: what a vocabulary of pieces calls ``[SEP]``)."""
