"""Blocks of a first spec that do nothing until they are wanted: strategy, gates, tuning; each is checked before it is shown."""

from collections.abc import Mapping, Sequence
from textwrap import shorten
from typing import Any

from pgx_compiler.analysis.resolved import Resolved
from pgx_compiler.authoring.draft import Draft
from pgx_compiler.authoring.steps import Choice
from pgx_compiler.authoring.yaml_text import flow, line, scalar

MOST_DIMENSIONS = 6
MOST_CHARACTERS = 100


def strategy(draft: Draft, resolved: Resolved | None) -> list[str]:
    """Why the audit is done, and for whom."""
    lines = [
        *line("strategy:", "why, and for whom: page one of the factsheet says it"),
        *line("  intended_use: what the model decides, in a sentence"),
        *line("  risk: limited", "minimal, limited or high"),
        *line("  audience: [developer]", "validator, regulator, affected_person, domain_expert, business"),
        *line("  questions: [which_inputs_matter, is_the_data_fit]", "is_it_robust, is_it_fair, …"),
    ]
    if resolved is not None and draft.modality.value == "tabular":
        feature = {"feature": resolved.features.names[0], "effect": "matters", "source": "who says so"}
        lines += line("  expectations:", "what people who know the domain expect; each becomes a test of the model")
        lines += line(f"    - {flow(feature)}", "or irrelevant, increases, decreases")
    return lines


def gates(draft: Draft, choice: Choice) -> list[list[str]]:
    """What must hold, an item each."""
    found = []
    if len(draft.given.models) == 2:
        found.append(
            [*line("  - fact: model.parity.max_difference", "the two files must be one model"), "    max: 1.0e-4"]
        )
    if draft.commonest is not None and draft.explained == "test" and draft.labelled:
        why = "what always saying the commonest class would reach: ask for more"
        lines = line("  - fact: model.performance.accuracy", why)
        found.append([*lines, f"    min: {draft.commonest:.2f}"])
    explanations = [p.method for p in (*choice.taken["perturbation"], *choice.taken["gradient"])]
    metric = _rising(choice, "agreement")
    if metric and len(explanations) > 1:
        pair = [explanations[0].name, explanations[-1].name]
        found.append(
            [
                *line(f"  - fact: agreement.{metric}", "compare with chance and self-agreement in the factsheet"),
                f"    between: {flow(pair)}",
                "    aggregate: median",
                "    min: 0.5",
            ]
        )
    metric = _rising(choice, "faithfulness")
    if metric and explanations:
        found.append(
            [
                *line(f"  - fact: faithfulness.{metric}", "above 0: better than features in random order"),
                f"    of: {explanations[-1].name}",
                "    aggregate: median",
                "    min: 0",
            ]
        )
    return found


def _rising(choice: Choice, stage: str) -> str | None:
    """The first measure taken of which more is better."""
    return next((p.method.name for p in choice.taken[stage] if p.method.better == "higher"), None)


def tuning(draft: Draft, choice: Choice) -> list[str]:
    """A search over what the Keras file declares; nothing where it declares nothing that is worth searching."""
    keras = draft.given.models.get("keras")
    explanations = [p.method for p in (*choice.taken["gradient"], *choice.taken["perturbation"])]
    if keras is None or draft.labels is None or not explanations or "Trainable" not in keras.facts.capabilities:
        return []
    space = {a: d for a, v in keras.facts.tunables.items() if (d := dimension(a, v)) is not None}
    if not space:
        return []
    shown = dict(list(space.items())[:MOST_DIMENSIONS])
    lines = [
        *line("tuning:", "a search for better settings, each trained anew and explained"),
        "  search: hyperopt.tpe",
        "  trials: 20",
        *line("  space:", "what the Keras file declares, around the values it has there"),
        *(
            text
            for a, d in shown.items()
            for text in line(f"    {scalar(a)}: {flow(d)}", _now(keras.facts.tunables[a]))
        ),
    ]
    more = [address for address in keras.facts.tunables if address not in shown]
    if more:
        lines.append(f"    # also: {shorten(', '.join(more), MOST_CHARACTERS, placeholder=' …')}")
    lines += [
        "  objective: {minimize: validation.loss}",
        f"  explain: {flow({'rows': min(16, draft.rows), 'methods': [explanations[0].name]})}",
    ]
    return lines


def _now(value: Any) -> str:
    return f"now {value:.4g}" if isinstance(value, float) else f"now {value}"


def dimension(address: str, value: Any) -> Mapping[str, Sequence[float | int]] | None:
    """A range around a declared value, or None where none is evident."""
    setting = address.rpartition(".")[2]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if setting in ("units", "filters") and isinstance(value, int):
        step = max(1, value // 4)
        low = max(step, value - 2 * step)
        return {"quniform": [low, low + 6 * step, step]}
    if setting in ("rate", "dropout", "recurrent_dropout"):
        return {"uniform": [0.0, max(0.6, float(f"{value:.2g}"))]}
    if setting == "learning_rate" and value > 0:
        return {"loguniform": [float(f"{value / 10:.2g}"), float(f"{value * 10:.2g}")]}
    if setting == "batch_size" and isinstance(value, int) and value > 1:
        return {"choice": sorted({max(1, value // 2), value, value * 2})}
    return None
