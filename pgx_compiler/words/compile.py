"""``pgx compile``: the plan of an audit."""

import argparse
from typing import TYPE_CHECKING

from pgx_compiler.words import AUTHOR, PASSED, STALE, answer, answer_json, show_diagnostics
from pgx_compiler.words._arguments import add_spec, overrides_of
from pgx_compiler.words._standing import add_locked, stale_lock

if TYPE_CHECKING:
    from pgx_compiler.driver import Outlook
    from pgx_compiler.plan.plan import Plan

HELP = "print the plan of an audit: its steps, what each costs, and why it is done so"
FORMATS = ("text", "json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the word's own arguments."""
    add_spec(parser)
    add_locked(parser)
    parser.add_argument(
        "--graph",
        nargs="?",
        const="text",
        choices=("text", "dot", "mermaid"),
        help="print the whole execution graph instead of the table: as text (the default), for Graphviz or for Mermaid",
    )
    parser.add_argument(
        "-s",
        "--select",
        metavar="EXPR",
        action="append",
        default=[],
        help="only this part and what it rests on: NAME, +NAME, NAME+, stage:NAME, method:NAME, state:modified; "
        "`*` stands for anything, a comma for and; may be repeated",
    )
    parser.add_argument(
        "--states",
        action="store_true",
        help="with --format json: the plan inside a document that also says what is known already, and predicted seconds",
    )
    parser.add_argument(
        "--why",
        action="store_true",
        help="say of every method of the catalogue why it is taken or refused, stage by stage",
    )


def run(options: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    from pgx_compiler.driver import compile, look_ahead, said_of_budget, store_of

    plan = compile(options.spec, overrides_of(options))
    if stale_lock(options, lambda: plan):
        return STALE
    if options.why:
        from pgx_compiler.analysis.strategy.why import why_data, why_text

        choices = plan.audit.choices
        answer_json(why_data(choices)) if options.format == "json" else answer(why_text(choices))
        return PASSED
    if options.format == "json" and not (options.states or options.select):
        answer(plan.to_json().rstrip("\n"))
        return PASSED
    outlook = look_ahead(plan, store_of(options.spec), options.select)
    if options.format == "json":
        answer_json(_view(plan, outlook))
    elif options.graph:
        answer(_drawn(plan, outlook, options.graph))
    else:
        from pgx_compiler.plan.table import table

        answer(table(plan, outlook.found, outlook.selection))
    if outlook.warning is None:
        return PASSED
    said = said_of_budget(outlook.warning, plan)
    show_diagnostics(said.diagnostics, said.sources, "text")
    return AUTHOR if said.diagnostics.failed else PASSED


def _view(plan: "Plan", outlook: "Outlook") -> dict[str, object]:
    """The plan, and beside it what depends on the store and on what was asked for."""
    import json

    from pgx_compiler.plan.selection import described

    selection = None if outlook.selection is None else described(outlook.selection)
    whole = json.loads(plan.to_json())
    return {"schema": "pgx-plan-view/1", "plan": whole, "selection": selection, **outlook.found.document()}


def _drawn(plan: "Plan", outlook: "Outlook", kind: str) -> str:
    from pgx_compiler.ir import text
    from pgx_compiler.plan import dot, mermaid

    only = None if outlook.selection is None else outlook.selection.nodes
    if kind == "text":
        return text.render(plan.graph if only is None else plan.graph.only(only)).rstrip("\n")
    name = f"{plan.audit.spec.metadata.name} {plan.audit.spec.metadata.version}"
    return dot.render(plan.folded, name, only) if kind == "dot" else mermaid.render(plan.folded, name, only)
