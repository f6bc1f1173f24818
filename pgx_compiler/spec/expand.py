"""Steps with ``when`` and ``matrix``: left out, or written out once for each combination of values."""

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pgx_compiler.diagnostics.diagnostic import Code, Diagnostic, Diagnostics, Span
from pgx_compiler.diagnostics.nearest import nearest, quoted, shortened
from pgx_compiler.spec.model import STEP_PATHS, ExplainStep, Step, When
from pgx_compiler.spec.source import Document, LeftOut
from pgx_compiler.spec.tree import Tree, flatten, plain, replaced, tree
from pgx_compiler.spec.validate import Schema, problems
from pgx_compiler.spec.variables import Variables, written

BAD_MATRIX = Code(
    2009,
    "bad-matrix",
    "A `matrix` gives some parameters of a step several values: `matrix: {samples: [512, 2048]}` makes the steps"
    " `kernel_shap[samples=512]` and `kernel_shap[samples=2048]`; several parameters make every combination, at most 64"
    " steps. The values become a part of the step's name: numbers, true and false, or words of letters, digits, `_`, `.`,"
    " `+` and `-`. A parameter stands in `matrix` or in `with`, not in both.",
)
UNKNOWN_PROFILE = Code(
    3006,
    "unknown-profile",
    "No profile of the spec has this name. Profiles stand under the top-level key `profiles`, in the file itself or in"
    " one that it extends; `--profile NAME` chooses one.",
)

MOST_STEPS = 64
"""Of one matrix."""

LONGEST_ID = 100
"""Characters: two ids and what joins them must make a file's name."""

_WORD = re.compile(r"[A-Za-z0-9_.+\-]{1,40}")
_CONDITIONS = frozenset(When.model_fields)


@dataclass
class Expander:
    """Decides each step's ``when`` and writes out its ``matrix``."""

    root: Tree
    variables: Variables
    profiles: tuple[str, ...]
    """Those chosen."""
    found: Diagnostics
    left_out: list[LeftOut] = field(default_factory=list)

    def expand(self) -> Tree:
        """The document with every step written out; notes the steps left out. A malformed key stays for validation."""
        root = self.root
        for path in STEP_PATHS:
            steps = root.get(*path)
            if steps is None or not isinstance(steps.value, tuple):
                continue
            kept: list[Tree] = []
            for step in steps.value:
                because = self._refusal(step)
                if because is None:
                    kept += self._instances(_without_when(step))
                else:
                    self.left_out.append(because)
                    self._check_form(step, path[0] == "explain")
            if len(kept) != len(steps.value) or any(a is not b for a, b in zip(kept, steps.value, strict=True)):
                root = replaced(root, path, tree(tuple(kept), steps.span, steps.key))
        return root

    def _check_form(self, step: Tree, explains: bool) -> None:
        """Hold a step that is left out against the form of the language: it may be in another audit."""
        data, keys, values, refused = flatten(step)
        document = Document("", "", data, keys, values, Diagnostics())
        # `vars.NAME` is a condition, though no key of the language
        data["when"] = {name: held for name, held in data["when"].items() if not name.startswith("vars.")}
        model = ExplainStep if explains else Step
        for item in problems(Schema(model, f"the step `{_name(step)}`"), data, document, ())[1]:
            if item.path not in refused:
                self.found.add(item)

    # when

    def _refusal(self, step: Tree) -> LeftOut | None:
        """Why a step is left out; None where it stays (also where `when` is malformed, for validation to say)."""
        when = step.get("when")
        if when is None or not isinstance(when.value, dict):
            return None
        verdicts = {name: self._holds(name, wanted) for name, wanted in when.value.items()}
        if None in verdicts.values():
            return None
        for name, wanted in when.value.items():
            if not verdicts[name]:
                return LeftOut(_name(step), f"{name}: {_shown(wanted)}", wanted.key or wanted.span)
        return None

    def _holds(self, name: str, wanted: Tree) -> bool | None:
        """Whether one condition holds; None where it is malformed."""
        if name.startswith("vars."):
            held = self.variables.look_up(name.removeprefix("vars."), wanted.key)
            return None if held is None else _same(plain(held), plain(wanted))
        if not _is_condition(name, wanted):
            return None
        if name == "has":
            words = [item.value for item in wanted.value] if isinstance(wanted.value, tuple) else [wanted.value]
            return all(_HAS[word](self.root) for word in words)
        if name == "profile":
            return self._chosen(wanted)
        held = self.root.get("data", "modality") if name == "modality" else self.root.get("model", "task")
        there = held.value if held else "classification" if name == "task" else None
        return bool(there == wanted.value)

    def _chosen(self, wanted: Tree) -> bool:
        say_unknown_profile(str(wanted.value), wanted.span, profiles_of(self.root), self.found)
        return wanted.value in self.profiles

    # matrix

    def _instances(self, step: Tree) -> list[Tree]:
        """The steps that a step stands for: itself, where it has no matrix or a malformed one."""
        matrix = step.get("matrix")
        if matrix is None or not _is_matrix(matrix) or not _may_have_parameters(step):
            return [step]
        axes: dict[str, tuple[Tree, ...]] = {name: axis.value for name, axis in matrix.value.items()}
        count = 1
        for axis in axes.values():
            count *= len(axis)
        if count > MOST_STEPS:
            help_ = "give fewer values, or write the steps that matter"
            self._say(f"the matrix makes {count:,} steps, more than {MOST_STEPS}", matrix.key, help_)
            return [step]
        usable = [self._is_usable(step, name, axis) for name, axis in matrix.value.items()]
        if not all(usable):
            return [_without(step, "matrix")]
        return [
            self._instance(step, matrix, dict(zip(axes, values, strict=True)))
            for values in itertools.product(*axes.values())
        ]

    def _is_usable(self, step: Tree, name: str, axis: Tree) -> bool:
        good = True
        both = step.get("with", name)
        if both is not None:
            good = self._say(f"`{shortened(name)}` stands in `with` and in `matrix`", axis.key, "delete one of the two")
        seen: list[str] = []
        for item in axis.value:
            text = written(item.value) if item.value is not None else "null"
            if not _WORD.fullmatch(text):
                message = f"`{shortened(text)}` cannot be a part of a step's name"
                good = self._say(
                    message, item.span, "use numbers or short words, or write the steps out with an `id` each"
                )
            elif text in seen:
                good = self._say(f"`{shortened(text)}` stands twice", item.span, "delete one of the two")
            seen.append(text)
        return good

    def _instance(self, step: Tree, matrix: Tree, values: dict[str, Tree]) -> Tree:
        parameters = step.get("with")
        held: dict[str, Tree] = dict(parameters.value) if parameters and isinstance(parameters.value, dict) else {}
        for name, value in values.items():
            held[name] = value.moved(value.span, matrix.value[name].key)
        where = parameters or matrix
        named = step.get("id") or step.get("use")
        assert named is not None
        words = ",".join(f"{name}={written(values[name].value)}" for name in sorted(values))
        name = f"{named.value}[{words}]"
        if len(name) > LONGEST_ID:
            self._say(f"the step's name `{shortened(name)}` has {len(name)} characters, more than {LONGEST_ID}",
                      matrix.key, "give the step a shorter `id`, or the matrix fewer parameters")  # fmt: skip
            name = name[:LONGEST_ID]
        items = {key: item for key, item in step.value.items() if key not in ("matrix", "id", "with")}
        items["id"] = Tree(name, named.span, named.key)
        items["with"] = tree(held, where.span, where.key)
        return step.but(items)

    def _say(self, message: str, span: Span | None, help_: str) -> bool:
        self.found.add(Diagnostic(BAD_MATRIX, message, span, help_))
        return False


def say_unknown_profile(name: str, span: Span | None, known: list[str], found: Diagnostics) -> None:
    """Complain about a profile that the spec does not have."""
    if name in known:
        return
    near = nearest(name, known)
    label = f"did you mean `{near}`?" if near else ""
    help_ = f"profiles: {quoted(known)}" if known else "the spec has no `profiles`"
    found.add(Diagnostic(UNKNOWN_PROFILE, f"no profile is called `{shortened(name)}`", span, help_, label=label))


def profiles_of(root: Tree) -> list[str]:
    """Names of the profiles that a document has."""
    profiles = root.get("profiles")
    return list(profiles.value) if profiles is not None and isinstance(profiles.value, dict) else []


def _given(*path: str) -> Callable[[Tree], bool]:
    def there(root: Tree) -> bool:
        held = root.get(*path)
        return held is not None and held.value is not None

    return there


_HAS: dict[Any, Callable[[Tree], bool]] = {
    "keras": _given("model", "keras"),
    "onnx": _given("model", "onnx"),
    "test": _given("data", "test"),
}


def _without_when(step: Tree) -> Tree:
    """A step whose conditions hold, without them; those that are malformed stay, for validation to say."""
    when = step.get("when")
    if when is None or not isinstance(when.value, dict):
        return step
    left = {name: item for name, item in when.value.items() if not _is_condition(name, item)}
    return step.but({**step.value, "when": when.but(left)}) if left else _without(step, "when")


def _is_condition(name: str, wanted: Tree) -> bool:
    if name.startswith("vars."):
        return True  # looked up, and complained about where it is unknown
    if name == "has":
        words = [item.value for item in wanted.value] if isinstance(wanted.value, tuple) else [wanted.value]
        return all(isinstance(word, str) and word in _HAS for word in words)
    return name in _CONDITIONS and isinstance(wanted.value, str)


def _without(step: Tree, key: str) -> Tree:
    return step.but({name: item for name, item in step.value.items() if name != key})


def _is_matrix(matrix: Tree) -> bool:
    """Whether it has the form of a matrix: lists of plain values, none of them empty."""
    if not isinstance(matrix.value, dict) or not matrix.value:
        return False
    return all(
        isinstance(axis.value, tuple) and axis.value and all(_is_plain(item.value) for item in axis.value)
        for axis in matrix.value.values()
    )


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


def _may_have_parameters(step: Tree) -> bool:
    named, parameters = step.get("id") or step.get("use"), step.get("with")
    return isinstance(named and named.value, str) and (parameters is None or isinstance(parameters.value, dict))


def _name(step: Tree) -> str:
    named = step.get("id") or step.get("use")
    return shortened(named.value) if named is not None and isinstance(named.value, str) else "a step"


def _shown(wanted: Tree) -> str:
    value = plain(wanted)
    return f"[{', '.join(str(item) for item in value)}]" if isinstance(value, list) else shortened(written(value))


def _same(held: Any, wanted: Any) -> bool:
    """Equality in which true is not 1."""
    return bool(held == wanted) and isinstance(held, bool) == isinstance(wanted, bool)
