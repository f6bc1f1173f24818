"""Over 500 strings that vendors might write into names, values and messages, and a factsheet in which all text is hostile."""

from itertools import cycle, product
from typing import Any

from pgx_compiler.report.factsheet import Factsheet

_MARKUP = (
    "<script>alert(1)</script>", "</script><script>alert(1)</script>", "</style><style>*{{display:none}}</style>",
    "<img src=x onerror=alert(1)>", "<svg onload=alert(1)>", "<iframe src=javascript:alert(1)>", "<link rel=attachment href={url}>",
    "<link rel=stylesheet href={url}>", "<object data={url}>", "<embed src={url}>", "<base href={url}>", "<form action={url}>",
    "<meta http-equiv=refresh content=0;url={url}>", "<style>@import url({url});</style>", "<a href={url}>", "<!-- ", "-->", "]]>",
    "<![CDATA[", "<?xml version='1.0'?>", "<!DOCTYPE x [<!ENTITY e SYSTEM '{url}'>]>", "&lt;script&gt;", "&#60;script&#62;",
    "<template>", "<math><mi//xlink:href=javascript:alert(1)>", "<plaintext>", "<textarea>", "</title><h1>", "</table></td>",
    "<image xlink:href={url}>", "<use href={url}#a>",
)  # fmt: skip
_URLS = (
    "file:///etc/passwd",
    "http://169.254.169.254/latest",
    "//evil.example/x",
    "javascript:alert(1)",
    "data:text/html,x",
    "\\\\evil\\share",
)
_ATTRIBUTE = (
    '" onmouseover="alert(1)', "' onmouseover='alert(1)", "` onmouseover=`alert(1)", '"><script>alert(1)</script>', "'/><b>",
    '" style="background:url({url})', "x:expression(alert(1))", "background:url({url})", "}} body {{ background: url({url}) }}",
    "\\22 ;}}*{{background:url({url})}}", "/**/url({url})", "@import '{url}';", "content:attr(href)",
)  # fmt: skip
_TEMPLATE = (
    "{{7*7}}", "{% include '/etc/passwd' %}", "{# x #}", "{{ ''.__class__.__mro__ }}", "${7*7}", "#{7*7}", "<%= 7*7 %>",
    "{rows}", "{version.__class__}", "%(name)s", "%s%n", "$(id)", "`id`", "|id", ";id", "&&id", "${{ github.token }}",
)  # fmt: skip
_TERMINAL = (
    "\x1b[2J", "\x1b[31mred", "\x1b]0;title\x07", "\x1b]8;;http://evil.example\x1b\\link\x1b]8;;\x1b\\", "\x1b]52;c;aGk=\x07",
    "\x1bP$q\x1b\\", "\x9b2J", "\x9d0;t\x9c", "\r\x1b[1A", "\x08\x08\x08", "\x07", "\x0c", "\x0b", "\x1b[?1049h", "\x1b[5i", "\x1bc",
    "\x00", "a\x00b", "\x7f", "\x85", "\u2028", "\u2029", "\n::error::x", "\r\n::set-output name=a::b", "\n\n# heading",
)  # fmt: skip
_RICH = (
    "[/foo]",
    "[red]",
    "[link=http://evil.example]x[/link]",
    "[bold",
    "[[x]]",
    "[x](http://evil.example)",
    "![x]({url})",
    "[@click=quit]x[/]",
)
_FORMULA = (
    "=cmd|' /C calc'!A0",
    '=HYPERLINK("http://evil.example")',
    "+1+1",
    "-1+1",
    "@SUM(1)",
    "\t=1+1",
    "\r=1+1",
    "＝1+1",
)
_DIRECTION = (
    "\u202egnp.exe", "\u2066x\u2069", "a\u200bb", "\u200f", "\u061c", "\ufeff", "x\u2060y", "\u202dx", "\u2067", "\ufffe", "\uffff",
    "e" + "\u0301" * 200, "\U000e0041\U000e0042", "\u1160", "\u3164", "\U0001f600" * 50, "한글" * 40, "ﷺ" * 30, "\u034f", "\u00ad",
)  # fmt: skip
_NAMES = (
    "__proto__", "constructor", "toString", "../../etc/passwd", "C:\\Windows", "CON", ".", "..", "~", "-rf", "--help", "null", "NaN",
    "Infinity", "None", "true", "0", "1e999", "", " ", "a" * 300, "w" * 5000, "x " * 3000, "'; DROP TABLE x;--", '"', "'", "\\", "\\n",
    "end", "subgraph", "click n0 call alert()", 'n0["x"]', "%%{init: {}}%%", "graph LR", '"]; n1 [label="', "\\N\\G", "->", "<br/>", "#quot;",
)  # fmt: skip

ONE_MEGABYTE = "W" * 1_000_000


def _all() -> tuple[str, ...]:
    made: list[str] = []
    for text, url in product((*_MARKUP, *_ATTRIBUTE, *_RICH), _URLS):
        made.append(text.replace("{url}", url).replace("{{", "{").replace("}}", "}"))
    plain = (*_TEMPLATE, *_TERMINAL, *_FORMULA, *_DIRECTION, *_NAMES)
    made += plain
    made += [f"{a}{b}" for a, b in zip(plain, cycle(_MARKUP), strict=False)]
    made += [f"{a}{b}" for a, b in zip(_MARKUP * 5, cycle((*_TERMINAL, *_DIRECTION)), strict=False)]
    return tuple(dict.fromkeys(made))


STRINGS = _all()
assert len(STRINGS) >= 500

FIXED = frozenset(
    {"kind", "language", "severity", "verdict", "status", "about", "direction", "better", "schema", "spec_path"}
)
"""Keys whose words are ours: enumerations, and what code looks up."""
FIXED_WORDS = frozenset(
    {
        "forward",
        "backward",
        "perturbation",
        "gradient",
        "tabular",
        "image",
        "text",
        "series",
        "list",
        "grid",
        "words",
        "windows",
    }
)


class Poisoned:
    """Replaces every text of a factsheet by a hostile one, equal texts by equal ones, so that what hangs together still does."""

    def __init__(self, first: int = 0) -> None:
        self.used: dict[str, str] = {}
        self._next = first

    def __call__(self, sheet: Factsheet) -> Factsheet:
        """The factsheet of a vendor who means no good."""
        return Factsheet.model_validate(self._value(sheet.model_dump(mode="json", by_alias=True), ""))

    def of(self, text: str) -> str:
        """The hostile text that stands for a text; two texts never become the same."""
        if text not in self.used:
            self.used[text] = f"{STRINGS[self._next % len(STRINGS)]}~{len(self.used)}"
            self._next += 1
        return self.used[text]

    def _value(self, value: Any, key: str) -> Any:
        if isinstance(value, dict):
            return {
                (name if self._is_field(name) else self.of(name)): self._value(one, name) for name, one in value.items()
            }
        if isinstance(value, list):
            return [self._value(one, key) for one in value]
        if isinstance(value, str) and key not in FIXED and value not in FIXED_WORDS:
            return self.of(value)
        return value

    def _is_field(self, name: str) -> bool:
        return name in _FIELDS


def _fields() -> frozenset[str]:
    names: set[str] = set()

    def walk(schema: Any) -> None:
        if isinstance(schema, dict):
            names.update(schema.get("properties", {}))
            for one in schema.values():
                walk(one)
        elif isinstance(schema, list):
            for one in schema:
                walk(one)

    walk(Factsheet.model_json_schema(by_alias=True))
    # keys of mappings that the templates ask for by name
    names.update({"rows", "columns", "size", "height", "width", "forward", "backward", "gates_passed", "gates_failed"})
    names.update({"gates_unknown", "errors", "warnings", "unknown", "nodes_failed", "steps", "channels"})
    return frozenset(names)


_FIELDS = _fields()
