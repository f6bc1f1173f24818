"""``pgx methods``: the catalogue."""

import argparse

from pgx_compiler import modalities
from pgx_compiler.words import PASSED, answer, answer_json

HELP = "list the methods of the catalogue, by stage; with --model, those that a model can do"
FORMATS = ("text", "json")
STAGES = ("precaution", "perturbation", "gradient", "agreement", "faithfulness")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the word's own arguments."""
    parser.add_argument("--stage", choices=STAGES, help="only the methods of this stage")
    parser.add_argument("--modality", choices=modalities.names(), help="only the methods for this kind of data")
    parser.add_argument("--model", metavar="FILE", help="say which methods this model can do, and why not the others")


def run(options: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    from pgx_compiler.authoring.method_pages import described, listed, table, terminal_width

    refused: dict[str, str] = {}
    if options.model is not None:
        from pgx_compiler.authoring.possible import refusals

        refused = refusals(options.model, options.modality)
    methods = listed(options.stage, options.modality)
    if options.format == "text":
        answer(table(methods, terminal_width(), refused))
        return PASSED
    found = [described(d) for d in methods]
    if options.model is not None:
        found = [{**d, "possible": d["name"] not in refused, "why_not": refused.get(d["name"])} for d in found]
    answer_json(found)
    return PASSED
