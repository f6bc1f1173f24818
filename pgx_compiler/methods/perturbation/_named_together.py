"""Features that are looked at together because somebody asks for them by name, and not for being the strongest."""

from collections.abc import Sequence
from itertools import combinations
from math import comb

from pgx_compiler.methods.declaration import UnfitParams
from pgx_compiler.methods.precaution._wording import listing

Named = tuple[tuple[str, ...], ...]
Members = tuple[int, ...]


def positions(named: Named, names: Sequence[str]) -> list[Members]:
    """Positions of the features that are named together, each set in the order of the table and once.

    Raises:
        UnfitParams: there is no such feature, or a set names one twice.
    """
    found = set()
    for one in named:
        missing = [name for name in one if name not in names]
        if missing:
            raise UnfitParams(f"`always` names {listing(missing)}, and the features are {listing(names, 30)}")
        if len(set(one)) < len(one):
            raise UnfitParams(f"`always` names a feature together with itself: {listing(one)}")
        found.add(tuple(sorted(names.index(name) for name in one)))
    return sorted(found)


def with_named(strongest: Sequence[int], size: int, named: Sequence[Members]) -> list[Members]:
    """All sets of so many of the strongest features, and the named ones of that size, in the order of the table."""
    return sorted({*combinations(sorted(strongest), size), *(one for one in named if len(one) == size)})


def at_most(strongest: int, features: int, named: Named, size: int = 2) -> int:
    """How many sets `with_named` gives, where none of the named is among the strongest."""
    return min(comb(features, size), comb(min(strongest, features), size) + sum(len(one) == size for one in named))
