"""Do the expectations speak of features and classes that exist?"""

from pgx_compiler.analysis.checks.capabilities import NOTHING_TO_JUDGE
from pgx_compiler.analysis.checks.features import UNKNOWN_FEATURE
from pgx_compiler.analysis.checks.model import NOT_FOR_REGRESSION
from pgx_compiler.analysis.checks.rows import UNKNOWN_CLASS
from pgx_compiler.analysis.context import Context
from pgx_compiler.diagnostics.nearest import nearest, quoted, shortened
from pgx_compiler.modalities import is_pictured


def check_expectations(context: Context) -> None:
    """Look up every expectation's feature and class."""
    for index, expected in enumerate(context.spec.strategy.expectations):
        at = ("strategy", "expectations", index)
        _check_feature(context, expected.feature, (*at, "feature"))
        if expected.on is None:
            continue
        if context.spec.model.task == "regression":
            message = "regression has no classes"
            context.error(NOT_FOR_REGRESSION, message, (*at, "on"), "delete `on`", on="key")
        elif context.classes is not None and expected.on not in context.classes:
            near = nearest(expected.on, context.classes)
            label = f"did you mean `{near}`?" if near else ""
            message = f"no class is called `{shortened(expected.on)}`"
            context.error(UNKNOWN_CLASS, message, (*at, "on"), f"one of: {quoted(context.classes)}", label)
    if context.spec.strategy.expectations and context.steps_known and not context.attributions:
        message = "expectations are held against explanations, and the audit makes none"
        help_ = "add a step under `explain.perturbation` or `explain.gradient`"
        context.error(NOTHING_TO_JUDGE, message, ("strategy", "expectations"), help_, on="key")


def _check_feature(context: Context, name: str, at: tuple[str | int, ...]) -> None:
    if context.features is None:
        return
    pictured = is_pictured(context.spec.data.modality)
    regions = [key for key, declared in context.spec.data.features.items() if declared.mask is not None]
    known = [*regions, *context.features.names]
    if name in regions or context.features.called(name):
        return
    known = [*context.features.layout.get("channels", ()), *known]
    near = nearest(name, regions if pictured else known)
    grouped = [group for group, declared in context.spec.data.features.items() if declared.columns]
    if not pictured and name in (context.columns or ()):
        near = next((group for group in grouped if name.startswith(group)), near)
    label = f"did you mean `{near}`?" if near else ""
    help_ = f"regions: {quoted(regions)}" if pictured else f"features: {quoted(known, 30)}"
    if pictured and not regions:
        help_ = "name a region: `data.features: {border: {mask: FILE.png}}`"
    context.error(UNKNOWN_FEATURE, f"no feature or region is called `{shortened(name)}`", at, help_, label)
