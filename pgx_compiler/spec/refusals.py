"""What the reader of YAML refuses: its limits, its diagnostics, and a parser's complaints in plain words."""

from pgx_compiler.diagnostics.diagnostic import Code
from pgx_compiler.diagnostics.nearest import shortened

LARGEST_FILE = 2**20
DEEPEST = 32
MOST_NODES = 50_000
MOST_ALIASES = 100
MOST_MISTAKES = 100

TOO_LARGE = Code(
    1002,
    "too-large",
    "A spec holds at most 1 MiB of text, 32 levels of nesting, 50,000 values (aliases counted as often as they are"
    " used) and 100 aliases. These limits keep a hostile file from hanging the compiler; no honest audit comes near.",
)
FORBIDDEN_CHARACTER = Code(
    1004,
    "forbidden-character",
    "Control characters, direction overrides and half characters make a text look different from what it says."
    " They are refused, also when written as an escape in quotes. Delete the character.",
)
SYNTAX = Code(
    1005,
    "yaml-syntax",
    "The text is not YAML. The place named is where the reader gave up; the mistake is there or just above."
    " Common causes: a tab used for indentation, a missing colon, quotes or brackets left open, `key:value` without"
    " a space, or the markers of an unresolved merge conflict.",
)
ROOT = Code(
    1006,
    "not-one-mapping",
    "A spec is one YAML document whose top level is a mapping: `apiVersion: pgx/v1` and so on. Empty files, lists,"
    " single values and a second document after `---` are refused.",
)
DUPLICATE_KEY = Code(
    1007,
    "duplicate-key",
    "The same key stands twice in one mapping. Many readers silently keep the last; here it is an error, because an"
    " audit must not depend on which one counts. Delete one of the two.",
)
AMBIGUOUS = Code(
    1008,
    "ambiguous-scalar",
    "Readers of YAML differ about this text: `017` is 15 or 17, `1_000` is 1000 or text, `1:30` is 90 or text. Write"
    " the number plainly, or put quotes around text.",
)
BAD_NUMBER = Code(
    1009,
    "unusable-number",
    "Numbers must be finite, and integers at most 2^53 in size, so that every reader sees the same number.",
)
BAD_TAG = Code(
    1010,
    "forbidden-tag",
    "Tags (`!something`) ask a reader to build an object. Only the plain ones of YAML are allowed (`!!str`, `!!int`,"
    " `!!float`, `!!bool`, `!!null`, `!!map`, `!!seq`), and only where the text is of that kind. Delete the tag.",
)
BAD_KEY = Code(
    1011,
    "unusable-key",
    "A key is a plain or quoted word. Lists, mappings, aliases and nothing at all cannot be keys.",
)
BAD_ALIAS = Code(
    1012,
    "forbidden-alias",
    "Anchors (`&name`) may stand only below a top-level key that starts with `x-`, before the alias (`*name`) that"
    " uses them. A merge key takes the alias of a mapping, `<<: *name`, or a list of such aliases; it stands once in a"
    " mapping. Keys written out win over merged ones, and an earlier alias of the list over a later one.",
)


def plain_problem(problem: str, context: str, at: str) -> tuple[str, str]:
    """A parser's complaint in plain words, and what to do."""
    if "'\\t'" in problem or ("cannot start any token" in problem and at == "\t"):
        return "a tab cannot indent", "indent with spaces"
    if "mapping values are not allowed" in problem:
        advice = "put text that holds `: ` in quotes, mend the indentation, or write a space after the colon above"
        return "a colon where no key can stand", advice
    if "could not find expected ':'" in problem:
        return "a key without its colon", "write `key: value`, with a space after the colon"
    if "expected <block end>" in problem or "did not find expected key" in problem:
        return "a line that does not fit the lines above", "align keys of one mapping, items of one list"
    if "expected ',' or" in problem:
        advice = "close it, or add the comma"
        if at in ("[", "{"):
            advice += f'; text that holds `{at}` needs quotes here: `["kernel_shap[samples=512]", occlusion]`'
        return "a bracket or brace that is not closed, or a comma that is missing", advice
    if "end of stream" in problem:
        return "the text ends inside quotes or brackets", "close them"
    said = f"{context}, {problem}" if context else problem
    return shortened(said, 120) or "cannot be read", "mend the text here or just above"
