"""What a step will be run on, and what it will ask of a model: the two sides of a price."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """What a step will be run on, for pricing and admission at compile time."""

    rows: int
    features: int
    references: int = 1
    outputs: int = 1
    data_rows: int = 0
    """Rows of the data set: of all splits."""
    test_rows: int = 0
    """Those of them that are test rows; 0 where the audit has none."""
    channels: int | None = None
    """Of what the layer gives that the parameters name; None where they name none, or the file does not say it."""

    @property
    def train_rows(self) -> int:
        """Rows of the training split: `Table.train`."""
        return self.data_rows - self.test_rows

    @property
    def unseen_rows(self) -> int:
        """Rows of the test split, else of the training split: `Table.unseen`."""
        return self.test_rows or self.data_rows


@dataclass(frozen=True)
class Cost:
    """What a step will ask of a model, for all its rows together."""

    forward: int = 0
    """Model rows forward."""
    backward: int = 0
    """Model rows of gradients."""
    bytes: int = 0
    """Peak memory of the step's own arrays, roughly."""
