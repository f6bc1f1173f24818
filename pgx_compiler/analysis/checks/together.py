"""Parameters that name features to be looked at together: are they there, and on which of them do gates stand?"""

import re
from collections.abc import Collection, Iterator, Sequence
from itertools import combinations, pairwise, product

from pgx_compiler.analysis.checks.features import UNKNOWN_FEATURE
from pgx_compiler.analysis.context import Context, NamedStep
from pgx_compiler.analysis.facts_made import TOGETHER, named_together
from pgx_compiler.diagnostics.nearest import nearest, quoted, shortened
from pgx_compiler.methods.declaration import Params
from pgx_compiler.methods.precaution._wording import measure_names
from pgx_compiler.spec.source import Path_

Names = tuple[str, ...]


def with_together(context: Context, named: NamedStep, params: Params, at: Path_) -> Params:
    """Check the features that parameters name together, and add those on which a gate stands.

    Args:
        context: what is known so far.
        named: the step.
        params: of the step.
        at: where they stand.
    """
    ground = context.grounds.get(named.id)
    features = ground.features if ground else context.features
    marked = named_together(type(params))
    if features is None or features.varies or not marked:
        return params
    known, filled = features.names, {}
    for name, mark in marked.items():
        given: tuple[Names, ...] = getattr(params, name)
        good = [_is_known(context, one, known, (*at, name, place)) for place, one in enumerate(given)]
        if not all(good):
            continue
        asked = [
            members
            for measure, limits in mark.limits.items()
            if not named.declaration.short_of(measure, params)
            and any(getattr(params, limit) < len(known) for limit in limits)
            for members in _gated(context, f"explain.{named.id}.{measure}", known)
        ]
        places = {tuple(sorted(known.index(member) for member in one)) for one in [*given, *asked]}
        filled[name] = tuple(tuple(known[place] for place in one) for one in sorted(places))
    return params.model_copy(update=filled) if any(filled.values()) else params


def _is_known(context: Context, together: Names, known: Sequence[str], at: Path_) -> bool:
    good = True
    for place, name in enumerate(together):
        if name not in known:
            near = nearest(name, known)
            label = f"did you mean `{near}`?" if near else ""
            message = f"no feature is called `{shortened(name)}`"
            context.error(UNKNOWN_FEATURE, message, (*at, place), f"features: {quoted(known, 30)}", label)
            good = False
        elif name in together[:place]:
            message = f"`{shortened(name)}` is named together with itself"
            context.error(UNKNOWN_FEATURE, message, (*at, place), "name another feature")
            good = False
    return good


def _gated(context: Context, family: str, known: Sequence[str]) -> Iterator[Names]:
    """The features that gates on a family of facts name: ``explain.STEP.interaction_{pair}``."""
    before, word = family.split("{")
    size = TOGETHER[word.removesuffix("}")]
    for gate in context.spec.gates:
        if gate.fact.startswith(before):
            told = gate.fact.removeprefix(before)
            # names that differ in punctuation alone are numbered as they come up
            yield from _meant(told, known, size) or _meant(re.sub(r"_\d+$", "", told), known, size)


def _meant(told: str, known: Collection[str], size: int) -> list[Names]:
    """Features, in the order of the table, that a fact calls ``age_and_purpose``."""
    called: dict[str, list[str]] = {}
    for name in known:
        called.setdefault(measure_names("", [name])[name].removeprefix("_"), []).append(name)
    parts, order = told.split("_and_"), {name: place for place, name in enumerate(known)}
    found = []
    for cuts in combinations(range(1, len(parts)), size - 1):
        ends = (0, *cuts, len(parts))
        words = ["_and_".join(parts[first:last]) for first, last in pairwise(ends)]
        among = product(*(called.get(word, []) for word in words))
        found += [names for names in among if all(order[one] < order[other] for one, other in pairwise(names))]
    return found
