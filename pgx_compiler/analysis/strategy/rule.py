"""What a rule of the strategy is: a line of the table that says when a method is taken."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pgx_compiler.methods.declaration import Declaration, Stage
from pgx_compiler.spec.model import Question


@dataclass(frozen=True)
class When:
    """When a rule holds; what is left out holds always."""

    stakes: tuple[str, ...] = ()
    """One of these is in the audience, or is the risk (``high risk``)."""
    modalities: tuple[str, ...] = ()
    sensitive: bool = False
    """A feature is declared sensitive."""
    rows_below: int = 0
    """The smaller split has fewer rows; 0: however many it has."""
    black_box_only: bool = False
    """No file of the model offers gradients."""


@dataclass(frozen=True)
class Rule:
    """One line of the table."""

    method: str
    stage: Stage
    questions: tuple[Question, ...]
    """Taken where the strategy asks one of these."""
    reason: str
    """Follows "taken because" or, of a rule that refuses, "refused because"."""
    source: str
    when: When = When()
    priority: int = 1
    """1 comes first; a lower one is taken only with what the higher ones leave of the budget."""
    params: tuple[Mapping[str, Any], ...] = ({},)
    """What is set, the best first; a smaller budget takes a later one. Left out: the method's defaults."""
    refuses: bool = False


@dataclass(frozen=True)
class Asked:
    """What a question of the strategy means."""

    meaning: str
    stages: tuple[Stage, ...]
    """A method of one of these stages answers it; those of other stages only prepare the answer."""
    open: str = ""
    """What no method of the catalogue answers of it."""
    mend: str = ""
    """What to declare where nothing answers it."""


@dataclass(frozen=True)
class ByDeclaration:
    """A rule for every method that `RULES` does not name, by what its own file declares."""

    stage: Stage
    questions: tuple[Question, ...]
    says: str
    """What must be declared, in words."""
    reason: str
    asks_model: bool
    """False: the method looks at the data alone."""
    priority: int = 3

    def fits(self, declaration: Declaration) -> bool:
        """Whether a method declares what this rule is for."""
        return declaration.stage == self.stage and bool(declaration.capability) == self.asks_model
