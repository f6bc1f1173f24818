"""``docs/strategy.md``, written from the rules by ``make docs``."""

from pgx_compiler.analysis.strategy.choice import place_of
from pgx_compiler.analysis.strategy.rule import Rule, When
from pgx_compiler.analysis.strategy.rules import BY_DECLARATION, QUESTIONS, RULES
from pgx_compiler.methods.catalogue import STAGES

HEAD = """\
# The strategy chooses

<!-- Written by `make docs` from the code: change it there. -->

A spec may leave the choice of methods to its `strategy`: by `use: auto` under a stage, or by naming no step at all.

```yaml
strategy:
  risk: high
  audience: [regulator]
  questions: [which_inputs_matter, can_the_explanation_be_trusted]   # left out: whatever can be answered
  budget: {model_rows: 2000000}
precaution:
  - use: auto
    with: {without: [outliers]}
explain:
  perturbation:
    - use: auto
      with: {params: {shapley_values: {samples: 4096}}}
    - use: occlusion               # named by you: kept, and not chosen again
agreement: [{use: auto}]
```

`pgx compile --why` gives one line for every method of the catalogue, taken or refused, with the reason; `--format json` the same
as data, with the source of each rule. `plan.json` holds it too.

## What you may say beside `use: auto`

| key of `with` | does |
|---|---|
| `without: [METHOD, …]` | these methods are not taken |
| `only: [METHOD, …]` | the rules may take these and no others; it forces nothing |
| `params: {METHOD: {…}}` | these parameters, should the method be taken; the rules' own, and what they scale, are put aside |

To have a method whatever the rules say, name it in a step of its own. Rules of your own cannot be given.

## How it chooses

1. A method is a candidate where a rule below names it for a question that is asked and its condition holds, and where modality,
   task, data and model allow it. A rule that refuses goes before those that take.
2. Algorithms that compute a requested quantity (`shapley_values`) are not chosen beside it: the compiler picks the best one
   that the model admits. A step of yours that computes the quantity already stands for it.
3. With `strategy.budget.model_rows`, priority 1 is served before 2 and 3. Within a priority the method that adds fewest model
   rows comes first, at its last parameters; when all that fits is in, the methods get better parameters in turns. What your own
   steps, the predictions and the search cost is taken off first. Without a budget everything is taken at its best.
4. Agreement is chosen where there are two explanations, faithfulness where there is one. Every explanation that draws at random
   and is compared is also paid for a second time, under another seed.
5. The choice uses facts of the files and the spec alone. It reads no row of data and draws nothing at random: the same files
   give the same choice. Rows to explain are not chosen: `explain.rows` says them. `strategy.budget.seconds` plays no part.
6. Where explanations are chosen, `strategy.expectations` ask `which_inputs_matter` by themselves, and steps of yours under
   `agreement` or `faithfulness` ask `can_the_explanation_be_trusted`.

A question that nothing answers, and an `auto` that chooses nothing, are warnings that name the reasons; where the whole audit
would be empty, they are errors.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *_questions(), *_rules(), *_general()]) + "\n"


def _questions() -> list[str]:
    lines = ["## The questions", "", "| question | means | answered under | remains open |", "|---|---|---|---|"]
    for name, asked in QUESTIONS.items():
        places = ", ".join(f"`{place_of(stage)}`" for stage in asked.stages)
        lines.append(f"| `{name}` | {asked.meaning} | {places} | {asked.open or '–'} |")
    return [*lines, ""]


def _rules() -> list[str]:
    lines = [
        "## The rules",
        "",
        "Of two rules of one method the first that holds sets its parameters. Parameters stand with the best first; `{}` are the",
        "method's defaults.",
        "",
    ]
    for stage in STAGES:
        lines += [f"### {place_of(stage)}", "", "| method | for | where | priority | parameters | because | source |"]
        lines.append("|---|---|---|---|---|---|---|")
        lines += [_row(rule) for rule in RULES if rule.stage == stage]
        lines.append("")
    return lines


def _row(rule: Rule) -> str:
    questions = ", ".join(f"`{question}`" for question in rule.questions)
    params = ", ".join(f"`{_flow(one)}`" for one in rule.params)
    verdict = ("never", "–") if rule.refuses else (str(rule.priority), params)
    cells = (f"`{rule.method}`", questions, _where(rule.when), *verdict, rule.reason, rule.source)
    return f"| {' | '.join(cells)} |"


def _flow(params: object) -> str:
    return str(params).replace("'", "")


def _where(when: When) -> str:
    words = []
    if when.stakes:
        words.append(f"for {', '.join(when.stakes)}")
    if when.modalities:
        words.append(f"on {', '.join(when.modalities)} data")
    if when.rows_below:
        words.append(f"the smaller split has fewer than {when.rows_below} rows")
    if when.sensitive:
        words.append("a feature is declared sensitive")
    if when.black_box_only:
        words.append("the model has no gradients")
    return "; ".join(words) or "always"


def _general() -> list[str]:
    lines = ["## Methods that no rule names", ""]
    for rule in BY_DECLARATION:
        questions = ", ".join(f"`{question}`" for question in rule.questions)
        lines.append(
            f"- {rule.says[0].upper()}{rule.says[1:]} is taken for {questions} (priority {rule.priority}): {rule.reason}."
        )
    return [*lines, '- Every other one is refused: "no rule asks for it".']
