"""The page and the document as text: Jinja templates over a factsheet, everything from it escaped."""

import base64
import hashlib
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from pgx_compiler.report import charts, figures, graph_figure, heat_maps, numbers, search_figures, slices, view
from pgx_compiler.report.factsheet import Factsheet
from pgx_compiler.report.presentable import presentable, visible
from pgx_compiler.report.words import words

_PACKAGE = Path(__file__).resolve().parents[1]
FOLDERS = (_PACKAGE / "templates" / "factsheet", _PACKAGE.parent / "templates" / "factsheet")
"""Where the templates lie: inside the package once installed, beside it in a checkout."""

_HANGUL_PAIR = re.compile("(?<=[\uac00-\ud7a3])(?=[\uac00-\ud7a3])")


def folder() -> Path:
    """The folder of the templates.

    Raises:
        FileNotFoundError: the installation has lost them.
    """
    for place in FOLDERS:
        if (place / "page.html.j2").is_file():
            return place
    raise FileNotFoundError(f"the factsheet's templates are missing; looked in {' and '.join(map(str, FOLDERS))}")


def _shown(value: Any) -> Any:
    if value is None:
        return numbers.NOTHING
    if isinstance(value, Markup):
        return value
    return visible(str(value))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(folder()),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.do"],
    )
    environment.globals |= {
        "fig": figures,
        "charts": charts,
        "graph": graph_figure,
        "search": search_figures,
        "heat": heat_maps,
        "slices": slices,
        "view": view,
    }
    environment.filters |= {
        "number": numbers.number,
        "signed": numbers.signed,
        "interval": numbers.interval,
        "percent": numbers.percent,
        "threshold": numbers.threshold,
        "short": numbers.short,
        "moment": numbers.moment,
        "unmarked": numbers.unmarked,
    }
    return environment


def _asset(name: str) -> str:
    """The text of a style sheet or script; it is written into the page as it is."""
    return (folder() / name).read_text("utf-8")


def _source_hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode('utf-8')).digest()).decode('ascii')}'"


def _as_data(value: Any) -> Markup:
    """JSON that may stand inside a script element: no ``<`` can end it."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    escaped = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return Markup(escaped)  # noqa: S704 - nothing in it can end the element


def page(factsheet: Factsheet) -> str:
    """The self-contained HTML page."""
    factsheet = presentable(factsheet)
    style, script = _asset("base.css") + heat_maps.shade_rules() + _asset("page.css"), _asset("page.js")
    told = words(factsheet.audit.language)
    policy = f"default-src 'none'; img-src data:; style-src {_source_hash(style)}; script-src {_source_hash(script)}; "
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            view.context(factsheet, told, "html"),
            policy=policy + "base-uri 'none'; form-action 'none'",
            style=Markup(style),  # noqa: S704 - our own file
            script=Markup(script),  # noqa: S704 - our own file
            data=_as_data(view.explorer(factsheet, told)),
        )
    )


def document(factsheet: Factsheet) -> str:
    """The HTML that the PDF is laid out from; words of Hangul are kept whole by word joiners."""
    factsheet = presentable(factsheet)
    style = _asset("base.css") + heat_maps.shade_rules() + _asset("document.css")
    told = words(factsheet.audit.language)
    template = _environment().get_template("document.html.j2")
    ours = Markup(style)  # noqa: S704 - our own file
    text = template.render(view.context(factsheet, told, "pdf"), style=ours)
    head, body = text.split("<body", 1)
    return f"{head}<body{_HANGUL_PAIR.sub(chr(0x2060), body)}"
