"""A first spec from a model and its data: what the files say is written down, what was guessed says so."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pgx_compiler.analysis.resolved import Resolved
from pgx_compiler.authoring.draft import Draft, draft_of
from pgx_compiler.authoring.files import sort_files
from pgx_compiler.authoring.steps import Choice, Proposal, choose, looked_at
from pgx_compiler.authoring.suggestions import gates, strategy, tuning
from pgx_compiler.authoring.yaml_text import flow, indented_suggestion, line, scalar, suggestion
from pgx_compiler.diagnostics.diagnostic import AuthorError, Code, Diagnostic, Diagnostics
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.methods.declaration import Declaration

ALREADY_THERE = Code(
    5091,
    "already-there",
    "`pgx init` does not write over a spec, which may hold somebody's work. Choose another name with `-o`, or say `--force`.",
)
CANNOT_WRITE_SPEC = Code(
    5092,
    "cannot-write-spec",
    "The spec's folder does not exist or cannot be written: no permission, or a full disk. `-o FILE` chooses another place.",
)

SCHEMA = "audit.schema.json"
"""Name of the schema that the spec's first line points an editor to."""
MOST_WORDS = 72
"""Characters of a comment beside a step."""


@dataclass(frozen=True)
class FirstSpec:
    """A spec that was made, and what a person should know of it."""

    text: str
    guesses: tuple[str, ...]
    """What was guessed and is worth a look, in sentences."""
    left: Diagnostics
    """What the checks say of it that only the author can settle; empty where it is ready."""


def first_spec(paths: Sequence[str], spec: Path) -> FirstSpec:
    """Make the text of a spec that is to stand at `spec`. Raises `AuthorError` where the files do not allow it."""
    draft = draft_of(sort_files(paths, spec.parent))
    choice, tried = choose(lambda stages: _text(draft, Choice(stages)), draft.given.root)
    text = _text(draft, choice, tried.resolved)
    useful = _useful(draft, choice, tried.resolved)
    text = _text(draft, choice, tried.resolved, useful)
    return FirstSpec(text, _guesses(draft), looked_at(text, draft.given.root).diagnostics)


def refuse_to_overwrite(spec: Path) -> None:
    """Raises `AuthorError` where a file stands already."""
    if spec.exists():
        found = Diagnostics()
        help_ = "choose another name with `-o FILE`, or write over it with `--force`"
        found.add(Diagnostic(ALREADY_THERE, f"`{spec}` is there already", None, help_))
        raise AuthorError(found)


def cannot_write(error: OSError, spec: Path) -> AuthorError:
    """What to say of a spec that could not be written."""
    found = Diagnostics()
    message = f"cannot write `{error.filename or spec}`: {(error.strerror or str(error)).lower()}"
    found.add(
        Diagnostic(CANNOT_WRITE_SPEC, message, None, "choose another place with `-o FILE`, in a folder that exists")
    )
    return AuthorError(found)


def _useful(draft: Draft, choice: Choice, resolved: Resolved | None) -> list[list[str]]:
    """The suggested blocks, each tried in place: one that the checks would refuse is not shown."""
    plain = _text(draft, choice, resolved)
    root = draft.given.root
    before = len(looked_at(plain, root).diagnostics)

    def fits(block: Sequence[str]) -> bool:
        return bool(block) and len(looked_at("\n".join([plain, *block, ""]), root).diagnostics) <= before

    blocks = [block for block in (strategy(draft, resolved),) if fits(block)]
    items = [item for item in gates(draft, choice) if fits(["gates:", *item])]
    if items:
        blocks.append(
            [*line("gates:", "what must hold, or `pgx run` ends with 1"), *(t for item in items for t in item)]
        )
    return blocks + [block for block in (tuning(draft, choice),) if fits(block)]


def _text(
    draft: Draft, choice: Choice, resolved: Resolved | None = None, suggested: Sequence[Sequence[str]] = ()
) -> str:
    parts = [
        _head(draft),
        *(suggestion(block) for block in suggested[:1] if block[0].startswith("strategy")),
        _model(draft),
        _data(draft),
        _steps("precaution", choice, "precaution:", "before believing the model: is the data fit?", 0),
        _explain(draft, choice, resolved),
        _steps("agreement", choice, "agreement:", "do the explanations say the same?", 0),
        _steps("faithfulness", choice, "faithfulness:", "is what they say true of the model?", 0),
        *(suggestion(block) for block in suggested if not block[0].startswith("strategy")),
        ["factsheet:", "  formats: [json, html, pdf]", *indented_suggestion("  language: en", "or ko")],
    ]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _head(draft: Draft) -> list[str]:
    return [
        f"# yaml-language-server: $schema={SCHEMA}",
        "# Written by `pgx init` from the files' own words. Comments say what was guessed; a block behind `#` is a",
        "# suggestion: take the `#` away to have it.",
        "apiVersion: pgx/v1",
        "kind: Audit",
        "metadata:",
        f"  name: {scalar(draft.name)}",
        "  version: 0.1.0",
        *indented_suggestion("  owner: your-team"),
        *line("seed: 7", "the one seed; the same spec gives the same numbers"),
    ]


def _model(draft: Draft) -> list[str]:
    words = {"keras": "the white box: gradients", "onnx": "the black box: perturbation"}
    lines = ["model:"]
    for format_ in ("keras", "onnx"):
        if format_ in draft.given.models:
            lines += line(f"  {format_}: {scalar(draft.given.models[format_].relative)}", words[format_])
    lines += line(f"  task: {draft.task.value}", draft.task.why)
    if draft.output is not None:
        others = [tensor.name for tensor in draft.given.model.facts.outputs[1:]]
        lines += line(f"  output: {scalar(draft.output)}", f"guessed; there are also: {', '.join(others)}")
    if draft.classes:
        lines += line(f"  classes: {flow(draft.classes)}", draft.classes_why)
    elif draft.task.value == "classification":
        names = [f"class {index}" for index in range(min(draft.given.model.facts.n_outputs, 12))]
        lines += indented_suggestion(f"  classes: {flow(names)}", draft.classes_why)
    return lines


def _data(draft: Draft) -> list[str]:
    lines = ["data:", *line(f"  modality: {draft.modality.value}", draft.modality.why)]
    for split, file in draft.given.data.items():
        known = draft.labels is not None and (split == "train" or draft.labels.in_test)
        target = f", target: {scalar(draft.labels.name)}" if known and draft.labels else ""
        why = f"{file.facts.rows} rows"
        if split == "train" and draft.labels is not None:
            why += f"; target guessed: {draft.labels.why}"
        elif not known:
            why += "; no labels found: add `target: NAME` if there are"
        lines += line(f"  {split}: {{path: {scalar(file.relative)}{target}}}", why)
    if draft.columns.listed:
        lines += line("  columns:", "those that the model can read; the others are left out")
        lines += [f"    - {scalar(name)}" for name in draft.columns.listed]
    if draft.scale is not None:
        lines += line(f"  preprocess: {{scale: {flow(draft.scale[0])}}}", draft.scale[1])
    return lines + _features(draft)


def _features(draft: Draft) -> list[str]:
    columns = draft.columns
    written = [
        text
        for name, role in columns.beside.items()
        for text in line(f"    {scalar(name)}: {{role: {role}}}", "guessed: the model does not read it")
    ]
    for name, patterns in columns.groups.items():
        why = "protected by law or fairness? add `role: sensitive`" if name in columns.sensitive else ""
        written += line(f"    {scalar(name)}: {{columns: {flow(patterns)}}}", why)
    suggested = [f"{scalar(name)}: {{role: sensitive}}" for name in columns.sensitive if name not in columns.groups]
    why = "protected by law or fairness? take the `#` away"
    if not written:
        lines = [text for one in suggested for text in line(f"  #   {one}")]
        return [*line("  # features:", why), *lines] if suggested else []
    comment = "one-hot columns are one feature" if columns.groups else "what the data cannot say of itself"
    marked = [text for one in suggested for text in line(f"    # {one}", why)]
    return [*line("  features:", comment), *written, *marked]


def _explain(draft: Draft, choice: Choice, resolved: Resolved | None) -> list[str]:
    rows = {"from": draft.explained, "sample": draft.rows}
    drawn = f"of {draft.given.data[draft.explained].facts.rows}"
    if draft.task.value == "classification" and draft.labelled:
        rows["stratify"] = "target"
        drawn += ", drawn evenly over the classes"
    lines = line("explain:", "which inputs matter, row by row")
    if _has_log_link(draft):
        lines += line("  score: log_value", "what the final exponential is given: differences are ratios; or value")
    elif resolved is not None:
        lines += line(f"  score: {resolved.score}", "the quantity that is explained")
    if resolved is not None and draft.task.value == "classification":
        last = f" {scalar(resolved.classes[-1])}," if draft.classes else ""
        lines += line("  target: predicted", f"the class explained; or{last} `label`, any class")
    if (several := _outputs_of_regression(draft)) > 1:
        lines += line(
            "  target: all", f'each of {several} values a row; name one (`"0"`) to compare it with the labels'
        )
    lines += line(f"  rows: {flow(rows)}", drawn)
    if draft.patch is not None:
        count = f"{len(resolved.features)} features a row" if resolved is not None else ""
        lines += line(f"  features: {flow({'superpixels': 'patches', 'size': draft.patch})}", count)
    if resolved is not None:
        why = "what stands for a removed feature; this is the default"
        lines += indented_suggestion(f"  fill: {flow(dict(resolved.fill))}", why)
    lines += _steps("perturbation", choice, "perturbation:", "the black box, by what it answers", 2)
    return lines + _steps("gradient", choice, "gradient:", "the white box, by its gradients", 2)


def _outputs_of_regression(draft: Draft) -> int:
    """Values that a regression gives a row; 0 of a classification."""
    facts = draft.given.model.facts
    return 0 if draft.task.value != "regression" or facts.activation == "sigmoid" else facts.n_outputs


def _has_log_link(draft: Draft) -> bool:
    """Whether a regression ends in an exponential, below which its features add up or nearly so."""
    facts = [file.facts for file in draft.given.models.values()]
    ends = any(one.activation == "exp" for one in facts) and all("log_value" in one.scores for one in facts)
    return draft.task.value == "regression" and ends


def _steps(stage: str, choice: Choice, key: str, comment: str, indent: int) -> list[str]:
    """One stage: what is taken, what else could be, and what this model and data cannot do."""
    pad = " " * indent
    taken = choice.taken.get(stage, ())
    menu = choice.menu.get(stage, ())
    lines = []
    for one in taken:
        lines += line(f"{pad}  {_step(one)}", _short(one.method))
    for one in menu:
        lines += indented_suggestion(f"{pad}  {_step(one)}", one.note or _short(one.method))
    refused = [name for name in choice.refused if catalogue()[name].stage == stage]
    if refused:
        lines.append(f"{pad}  # not for this model and data: {', '.join(refused)}")
    if not taken:
        return []
    return [*line(f"{pad}{key}", comment), *lines]


def _step(proposal: Proposal) -> str:
    with_ = f", with: {flow(proposal.params)}" if proposal.params else ""
    return f"- {{use: {proposal.method.name}{with_}}}" if with_ else f"- use: {proposal.method.name}"


def _short(declaration: Declaration) -> str:
    """The first words of a summary: whole clauses where they are not too short."""
    first = re.split(r"[.:;] ", declaration.summary)[0].rstrip(".")
    if len(first) <= MOST_WORDS:
        return first
    clause = first[:MOST_WORDS].rpartition(", ")[0]
    return clause if len(clause) > MOST_WORDS // 2 else first[: MOST_WORDS - 2].rsplit(" ", 1)[0] + " …"


def _guesses(draft: Draft) -> tuple[str, ...]:
    found = list(draft.given.guesses)
    found.append(f"task {draft.task.value}: {draft.task.why}")
    found.append(f"modality {draft.modality.value}: {draft.modality.why}")
    if draft.labels is not None:
        found.append(f"labels in `{draft.labels.name}`: {draft.labels.why}")
    else:
        found.append("no column or array of labels was found: checks that need labels are left out")
    if draft.classes_why:
        found.append(f"classes: {draft.classes_why}")
    if draft.scale is not None:
        found.append(f"pixels onto {draft.scale[0][0]}..{draft.scale[0][1]}: {draft.scale[1]}")
    if draft.columns.groups:
        found.append(f"{len(draft.columns.groups)} groups of one-hot columns")
    if draft.columns.sensitive:
        found.append(f"perhaps sensitive, for you to decide: {', '.join(draft.columns.sensitive)}")
    return tuple(found)
