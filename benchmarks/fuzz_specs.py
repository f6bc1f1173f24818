"""Fuzz of ``pgx check``: 100,000 mutated specs; no traceback, no warning, nothing over 5 seconds or 1 GiB.

    python benchmarks/fuzz_specs.py [--cases N] [--seed N] [--only CASE]

Each case starts from one of the audits under ``specs/`` (with its data cut to 60 rows, so that the time goes into the
language and not into reading the same tables again) and is mutated 1 to 8 times: most often the tree of values (delete,
duplicate, rename, retype, replace, move, references to variables, anchors, other files), else its lines or its bytes. Then
it is read, parsed, analysed and what is wrong with it is written in one of the formats, as `pgx check` would, sometimes with
``--set`` and ``--profile``. A case is a pure function of seed and number.

Prints the number of cases by outcome, the slowest, the peak memory of a worker and every distinct failure with an example.

Found so far (seed 20261123), each with a test of its own since:

- case 12: a spec that is no audit by its form and holds more further mistakes than are shown; the exception that ends the
  search for them was not caught (tests/analysis/test_analyse.py);
- case 98453: a ``quniform`` range of infinitely many steps, whose number was rounded (the same file).
"""

import contextlib
import copy
import io
import json
import random
import shutil
import string
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import limited_workers
import numpy as np
import yaml

SPECS = Path(__file__).parents[1] / "specs"
ROWS = 60
LARGEST_CASE = 400_000
"""Characters: mutations that double a part may not run away; the size limit of the reader has a test of its own."""

Tree = Any
Path_ = tuple[str | int, ...]

ODD = [
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**63), 10**30, 10**400, 0.5, -0.0, 1e308, 1e-320, float("inf"),
    float("nan"), "", " ", "\n", "no", "1e5", "0x10", "2026-01-01", "null", "~", "=", "<<", "é", "\u0130", "\u202e", "\u0000",
    "\ud7ff", "\U0001f600", "한국어", "a" * 70, "a" * 2000, "../x", "/etc/passwd", "data", ".", "data/README.md", "\\", "*",
    "${vars.a}", "${vars.b}", "${vars.}", "$${vars.a}", "${", "${vars.a}${vars.b}", [], {}, [None], [[]], [{}], {"": None},
    {"a": {"b": {}}}, [1, "a", None, True], list(range(200)), "logit", "probability", "test", "train", "predicted", "auto",
    "kernel_shap", "integrated_gradients", "rank_correlation", "agreement.rank_correlation", "precaution.drift.psi_max",
]  # fmt: skip
FILES = [
    "models/digits.keras", "models/digits.onnx", "models/german-credit.keras", "models/german-credit.onnx",
    "models/german-credit-trees.onnx", "data/digits-train.npz", "data/digits-test.npz", "data/digits-border.png",
    "data/german-credit-train.csv", "data/german-credit-test.csv", "data/german-credit-onehot-train.csv",
    "data/german-credit-onehot-test.csv", "digits.yaml", "german-credit.yaml", "part.yaml", "circle.yaml", "case.yaml",
]  # fmt: skip
PARTS = {
    "part.yaml": "seed: 7\nvars: {a: 3, b: [1, 2]}\nprofiles: {quick: {explain: {rows: {sample: 2}}}}\n",
    "circle.yaml": "extends: circle.yaml\n",
}
EXTRA: dict[str, list[Tree]] = {
    "extends": ["part.yaml", "circle.yaml", "digits.yaml", ["part.yaml", "german-credit.yaml"], "case.yaml", "models"],
    "vars": [{"a": 1, "b": "${vars.a}"}, {"a": "${vars.b}", "b": "${vars.a}"}, {"a": {"c": [1, 2]}, "b": 0.5}],
    "profiles": [{"quick": {"seed": 1}}, {"quick": {"explain": {"rows": {"all": True}}}}, {"quick": None}],
    "matrix": [{"samples": [1, 2]}, {"samples": [1, 2, 3], "x": ["a", None]}, {"samples": []}],
    "when": [{"modality": "image"}, {"has": ["keras", "test"]}, {"vars.a": 3}, {"profile": "quick"}],
    "rows": [{"from": "train", "sample": 3}, {"ids": [1, 2, "x"]}, {"errors": 4, "borderline": 2}, {"all": True}],
    "features": [{"superpixels": "patches", "size": 3}, {"age": {"role": "sensitive"}}, {"x": {"columns": ["*"]}}],
    "with": [{"samples": 10}, {"steps": 0}, {"k": 3}, {"samples": "many", "zzz": 1}],
    "accept": [[{"code": "drift", "reason": "known"}], [{"code": "x", "reason": "y", "until": "2026-13-45"}]],
    "strategy": [{"questions": ["which_inputs_matter"], "audience": ["regulator"]}, {"risk": "high", "budget": {}}],
    "x-mine": [{"a": 1}],
    "<<": [{"use": "drift"}, [{"id": "a"}, {"id": "b"}]],
}
SETS = [
    "seed=3", "explain.rows.sample=2", "vars.a=1", "precaution[0].with.eps=1", "precaution[drift].use=x", "model=", "=",
    "gates[99].min=1", "a.b.c=[1, {d: e}]", 'tuning.space."layers.dense.units"={choice: [1]}', "metadata.name=&a [*a]",
]  # fmt: skip


def make_project(folder: Path) -> None:
    """The examples' files with few rows, and files to extend from."""
    shutil.copytree(SPECS, folder, dirs_exist_ok=True)
    for table in (folder / "data").glob("*.csv"):
        table.write_text("".join(table.read_text().splitlines(keepends=True)[: ROWS + 1]))
    for archive in (folder / "data").glob("*.npz"):
        with np.load(archive) as arrays:
            few = {name: array[:ROWS] if array.ndim and len(array) > ROWS else array for name, array in arrays.items()}
        np.savez(archive, **few)
    for name, text in PARTS.items():
        (folder / name).write_text(text)


@dataclass
class Mutant:
    """A mutated spec and how it is checked."""

    content: bytes
    sets: tuple[str, ...]
    profiles: tuple[str, ...]
    format: str


def mutant(seed: int, case: int, texts: list[str], formats: tuple[str, ...]) -> Mutant:
    """The mutant of a number."""
    dice = random.Random(f"{seed}/{case}")  # noqa: S311  (nothing secret)
    text = dice.choice(texts)
    kind = dice.random()
    if kind < 0.65:
        trees = [_tree(other) for other in texts]
        tree = copy.deepcopy(_tree(text))
        for _ in range(dice.choice((1, 1, 1, 2, 2, 3, 5, 8))):
            with contextlib.suppress(RecursionError):  # two aliases may have closed a circle: written as such
                tree = grow(dice, tree, trees)
        content = _written(dice, tree).encode("utf-8", "surrogatepass")
    elif kind < 0.85:
        lines = text.splitlines(keepends=True)
        for _ in range(dice.choice((1, 1, 2, 3, 6))):
            lines = _shuffled(dice, lines, texts)
        content = "".join(lines).encode("utf-8", "surrogatepass")
    else:
        content = _bytes(dice, text.encode())
    sets = tuple(dice.choices(SETS, k=dice.choice((1, 2)))) if dice.random() < 0.1 else ()
    profiles = (dice.choice(("quick", "nothing", "")),) if dice.random() < 0.1 else ()
    return Mutant(content[:LARGEST_CASE], sets, profiles, dice.choice(formats))


@cache
def _tree(text: str) -> Tree:
    return yaml.load(text, yaml.CSafeLoader)


def _places(tree: Tree, at: Path_ = ()) -> Iterator[Path_]:
    yield at
    inside = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in list(inside):
        yield from _places(value, (*at, key))


def _at(tree: Tree, path: Path_) -> Tree:
    for part in path:
        tree = tree[part]
    return tree


def grow(dice: random.Random, tree: Tree, trees: list[Tree]) -> Tree:
    """One mutation of the values."""
    paths = list(_places(tree))
    path = dice.choice(paths)
    if not path:
        return tree if dice.random() < 0.9 else copy.deepcopy(dice.choice(ODD))
    parent, last = _at(tree, path[:-1]), path[-1]
    value = parent[last]
    match dice.randrange(12):
        case 0:
            del parent[last]
        case 1 if isinstance(parent, list):
            parent.insert(dice.randrange(len(parent) + 1), value)
        case 2 if isinstance(parent, dict):
            names = [part for other in paths for part in other if isinstance(part, str)] or ["a"]
            parent[misspelt(dice, str(last)) if dice.random() < 0.5 else dice.choice(names)] = parent.pop(last)
        case 3:
            parent[last] = _retyped(dice, value)
        case 4:
            other = dice.choice(trees)
            parent[last] = copy.deepcopy(_at(other, dice.choice(list(_places(other)))))
        case 5:
            other = dice.choice(paths)  # written as an alias; circles of aliases are left to the lines
            parent[last] = _at(tree, other) if path[: len(other)] != other else copy.deepcopy(_at(tree, other))
        case 6 if isinstance(value, str):
            parent[last] = dice.choice(FILES) if "/" in value else misspelt(dice, value)
        case 7 if isinstance(value, int | float) and not isinstance(value, bool):
            parent[last] = dice.choice((-value, value * 1000, value + 0.5, value / 7, str(value), [value]))
        case 8 | 9:
            key = dice.choice(list(EXTRA))
            mappings = [_at(tree, other) for other in paths if isinstance(_at(tree, other), dict)]
            dice.choice(mappings or [{}])[key] = copy.deepcopy(dice.choice(EXTRA[key]))
        case 10 if isinstance(value, list | dict):
            for _ in range(dice.choice((2, 60))):
                if isinstance(value, list) and value:
                    value.append(dice.choice(value))
                elif isinstance(value, dict):
                    value[misspelt(dice, "name")] = copy.deepcopy(dice.choice(ODD))
        case _:
            parent[last] = copy.deepcopy(dice.choice(ODD))
    return tree


def _retyped(dice: random.Random, value: Tree) -> Tree:
    kinds: list[Callable[[], Tree]] = [
        lambda: str(value)[:500],
        lambda: [value],
        lambda: {"value": value},
        lambda: [value] * 3,
        lambda: list(value) if isinstance(value, str | dict) else None,
        lambda: dict(enumerate(value)) if isinstance(value, list) else {str(value)[:50]: None},
    ]
    return dice.choice(kinds)()


def misspelt(dice: random.Random, word: str) -> str:
    at = dice.randrange(len(word) + 1)
    odd = dice.choice([*string.ascii_lowercase, "_", "-", ".", " ", "é", "[", "]", "${vars.a}", "\u200b", "'"])
    return dice.choice((word[:at] + word[at + 1 :], word[:at] + odd + word[at:], word.upper(), word * 2, word[::-1]))


def _written(dice: random.Random, tree: Tree) -> str:
    """The tree as YAML or JSON; as text that says less where it cannot be written."""
    try:
        if dice.random() < 0.2:
            return json.dumps(tree, ensure_ascii=dice.random() < 0.5, default=str)
        return yaml.dump(
            tree,
            Dumper=yaml.CSafeDumper,
            sort_keys=False,
            allow_unicode=True,
            default_flow_style=dice.choice((None, False, True)),
        )
    except (ValueError, TypeError, RecursionError, yaml.YAMLError):
        return repr(tree)[:5000]


def _shuffled(dice: random.Random, lines: list[str], texts: list[str]) -> list[str]:
    """One mutation of the lines."""
    at, length = dice.randrange(len(lines) or 1), dice.choice((1, 1, 2, 5, 20))
    part = lines[at : at + length]
    match dice.randrange(8):
        case 0:
            return lines[:at] + lines[at + length :]
        case 1:
            return lines[:at] + part * dice.choice((2, 3, 50)) + lines[at + length :]
        case 2:
            return lines[:at] + [" " * dice.choice((1, 2, 4)) + line for line in part] + lines[at + length :]
        case 3:
            return lines[:at] + [line.removeprefix("  ") for line in part] + lines[at + length :]
        case 4:
            other = dice.choice(texts).splitlines(keepends=True)
            start = dice.randrange(len(other))
            return lines[:at] + other[start : start + length] + lines[at:]
        case 5:
            rest = lines[:at] + lines[at + length :]
            to = dice.randrange(len(rest) + 1)
            return rest[:to] + part + rest[to:]
        case 6:
            return (
                lines[:at]
                + [line.replace(": ", dice.choice((": &a ", ": *a ", ":", ": !!int ", ": |\n  "))) for line in part]
                + lines[at + length :]
            )
        case _:
            return [
                *lines[:at],
                dice.choice(("---\n", "...\n", "%YAML 1.1\n", "? a\n", "- \n", "<<: *a\n", "\t\n")),
                *lines[at:],
            ]


def _bytes(dice: random.Random, content: bytes) -> bytes:
    """Mutations of the bytes."""
    found = bytearray(content)
    for _ in range(dice.choice((1, 1, 2, 4, 16, 64))):
        at = dice.randrange(len(found) + 1)
        match dice.randrange(6):
            case 0:
                found[at : at + 1] = bytes([dice.randrange(256)])
            case 1:
                found[at:at] = dice.choice(
                    (b"\0", b"\xff", b"\xc3\x28", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\r", b"\x85", b"\xed\xa0\x80")
                )
            case 2:
                del found[at : at + dice.choice((1, 2, 10, 500))]
            case 3:
                found[at:at] = dice.choice(b"{}[]:,&*!|>'\"%@`#?-\n \t".decode()).encode() * dice.choice((1, 1, 3, 300))
            case 4:
                end = at + dice.choice((1, 8, 200))
                found[at:at] = found[at:end] * dice.choice((1, 2, 40))
            case _:
                found = found[: dice.randrange(len(found) + 1)] if dice.random() < 0.3 else found
    return bytes(found)


def prepare(seed: int) -> limited_workers.Case:
    """Import everything and make the project; what is returned runs one case."""
    from pgx_compiler.analysis.checked import check
    from pgx_compiler.diagnostics import formats
    from pgx_compiler.diagnostics.diagnostic import AuthorError
    from pgx_compiler.spec.overrides import Overrides
    from pgx_compiler.words import show_diagnostics

    folder = limited_workers.fresh_folder("fuzz-specs")
    make_project(folder)
    texts = example_texts()
    for name in formats.names():
        formats.format_called(name)
    for example in sorted(SPECS.glob("*.yaml")):
        check(folder / example.name)  # imports what it needs; the first case is not to pay for it
    spec = folder / "case.yaml"

    def run(case: int) -> str:
        one = mutant(seed, case, texts, formats.names())
        spec.write_bytes(one.content)
        shown = io.StringIO()
        with contextlib.redirect_stderr(shown), contextlib.redirect_stdout(shown):
            try:
                checked = check(spec, Overrides(one.sets, one.profiles))
            except AuthorError as error:
                show_diagnostics(error.diagnostics, error.sources, one.format, str(spec))
                return "refused"
            show_diagnostics(checked.diagnostics, checked.sources, one.format, str(spec))
        if checked.audit is None and not any(item.severity == "error" for item in checked.diagnostics):
            raise AssertionError("refused without saying why")
        # what is said must be text that a terminal and a file can take
        shown.getvalue().encode("utf-8")
        return "valid" if checked.audit else "refused"

    return run


def example_texts() -> list[str]:
    """The audits that mutations start from."""
    return [path.read_text("utf-8") for path in sorted(SPECS.glob("*.yaml"))]


def show(seed: int, case: int) -> None:
    """Print one mutant."""
    from pgx_compiler.diagnostics.formats import names

    one = mutant(seed, case, example_texts(), names())
    sys.stdout.buffer.write(one.content + b"\n")
    print(f"--- sets {one.sets} profiles {one.profiles} format {one.format}", flush=True)


if __name__ == "__main__":
    sys.exit(limited_workers.main(__file__, __doc__ or "", 100_000, prepare, show))
