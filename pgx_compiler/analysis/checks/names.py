"""Do the steps name methods of their stage, and themselves uniquely?"""

from pgx_compiler.analysis.context import Context, NamedStep, steps_of
from pgx_compiler.diagnostics.diagnostic import Code
from pgx_compiler.diagnostics.nearest import nearest, quoted, shortened
from pgx_compiler.methods.catalogue import STAGES, catalogue
from pgx_compiler.methods.declaration import Stage
from pgx_compiler.spec.source import Path_

UNKNOWN_METHOD = Code(
    3001,
    "unknown-method",
    "No method of the catalogue has this name. `pgx methods` lists them all, with what each needs.",
)
WRONG_STAGE = Code(
    3002,
    "wrong-stage",
    "The method exists, but stands under another stage than its own. Move the step to where the message says.",
)
DUPLICATE_STEP = Code(
    3003,
    "duplicate-step",
    "Two steps have the same name. A step is named after its method unless it has an `id`; give one of the"
    " two an `id`.",
)

AUTO_FORM = Code(
    4083,
    "auto-form",
    "`use: auto` stands once under a stage. It takes no key but `with`, and there `without: [METHOD, …]`,"
    " `only: [METHOD, …]` and `params: {METHOD: {…}}`. To have a method whatever the rules say, name it in a step of"
    " its own beside `auto`.",
)

AUTO = "auto"
"""Stands for a method where the strategy is to choose."""

_PLACES = {"perturbation": "explain.perturbation", "gradient": "explain.gradient"}


def check_names(context: Context) -> None:
    """Look every method up; steps that have one become named steps."""
    first: dict[str, Path_] = {}
    context.steps_known = True
    for stage, path, step in steps_of(context.spec):
        if step.use == AUTO:
            _remember_auto(context, stage, path)
            continue
        declaration = catalogue().get(step.use)
        if declaration is None:
            _say_unknown(context, stage, (*path, "use"), step.use)
        elif declaration.stage != stage:
            message = f"`{step.use}` belongs under `{_place(declaration.stage)}`, not under `{_place(stage)}`"
            context.error(WRONG_STAGE, message, (*path, "use"), f"move this step under `{_place(declaration.stage)}`")
        name = step.id or step.use
        if name in first:
            span = context.document.value_span(first[name])
            where = f" (line {span.line})" if span else ""
            at = (*path, "id" if step.id else "use")
            help_ = "give this step an `id` of its own, such as `id: " + f"{name[:60]}_2`"
            context.error(DUPLICATE_STEP, f"a step called `{name}` stands already above{where}", at, help_)
        elif declaration is not None and declaration.stage == stage:
            context.named.append(NamedStep(stage, name, declaration, path, step))
            first[name] = path
            continue
        first.setdefault(name, path)
        context.steps_known = False


def _remember_auto(context: Context, stage: Stage, path: Path_) -> None:
    if stage in context.auto:
        message = f"`auto` stands twice under `{_place(stage)}`"
        context.error(AUTO_FORM, message, (*path, "use"), "delete one of the two")
        context.steps_known = False
    context.auto.setdefault(stage, path)


def _say_unknown(context: Context, stage: Stage, path: Path_, name: str) -> None:
    here = catalogue().of_stage(stage)
    near = nearest(name, here) or nearest(name, catalogue())
    label = ""
    if near:
        home = catalogue()[near].stage
        label = f"did you mean `{near}`{'' if home == stage else f' (under `{_place(home)}`)'}?"
    help_ = f"methods of `{_place(stage)}`: {quoted(here)}"
    context.error(UNKNOWN_METHOD, f"no method is called `{shortened(name)}`", path, help_, label)


def _place(stage: str) -> str:
    assert stage in STAGES
    return _PLACES.get(stage, stage)
