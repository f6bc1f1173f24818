"""What every part of the factsheet is made of."""

from pydantic import BaseModel, ConfigDict

Number = float | int


class Part(BaseModel):
    """Base of every part: strict about keys, frozen, documented where declared."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, populate_by_name=True)
