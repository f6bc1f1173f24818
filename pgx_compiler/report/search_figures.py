"""The pictures of the search: convergence, the trade-off with explainability, and what the settings decide."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from pgx_compiler.report.drawing import Scale, around, element, line, paint, path, picture, text, tick_label, ticks
from pgx_compiler.report.factsheet import Trial, TuningEntry
from pgx_compiler.report.numbers import clip, number

_COLOURS = {"accept": "passed", "re-think": "unknown", "reject": "failed"}


def objective_of(tuning: TuningEntry) -> tuple[str | None, bool]:
    """The metric that the search follows, and whether less of it is better."""
    named = {name for trial in tuning.trials for name in trial.metrics}
    said = sorted((name for name in named if name in tuning.objective), key=lambda name: (-len(name), name))
    return (said[0] if said else None), "maxim" not in tuning.objective


def second_metric(tuning: TuningEntry) -> str | None:
    """The explanation metric that trades against the objective: the first one required, else the first agreement."""
    named = {name for trial in tuning.trials for name in trial.metrics}
    wanted = [name for name in tuning.require if name in named]
    return next(iter(wanted or sorted(name for name in named if name.startswith("agreement."))), None)


def _value(trial: Trial, metric: str) -> float | None:
    value = trial.metrics.get(metric)
    return None if value is None else float(value)


def verdict_mark(verdict: str, x: float, y: float, hint: str, size: float = 4.4) -> Markup:
    """A trial's mark: a disc is accepted, a triangle is to be thought over, a cross is rejected."""
    title, colour = element("title", hint), _COLOURS.get(verdict, "muted")
    if verdict == "accept":
        return element("circle", title, cx=x, cy=y, r=size, **paint(colour, "paper"))
    if verdict == "re-think":
        d = f"M{x:.2f} {y - size:.2f} L{x + size:.2f} {y + size * 0.8:.2f} L{x - size:.2f} {y + size * 0.8:.2f} Z"
        return element("path", title, d=d, **paint(colour, "paper"))
    s = size * 0.75
    d = f"M{x - s:.2f} {y - s:.2f} L{x + s:.2f} {y + s:.2f} M{x + s:.2f} {y - s:.2f} L{x - s:.2f} {y + s:.2f}"
    return element("path", title, d=d, **paint(None, colour, 1.8))


def _frame(across: Scale, up: Scale, x_label: str, y_label: str, whole: bool = False) -> list[Markup]:
    parts = []
    for tick in ticks(up):
        y = up(tick)
        parts += [line(across.start, y, across.end, y), text(across.start - 6, y + 3.5, tick_label(tick), anchor="end")]
    for tick in (tick for tick in ticks(across, 5) if not whole or tick == int(tick)):
        parts.append(text(across(tick), up.start + 16, tick_label(tick), anchor="middle"))
    parts.append(text((across.start + across.end) / 2, up.start + 32, x_label, anchor="middle"))
    parts.append(text(4, 12, y_label, "ink"))
    return parts


def _near(values: list[float]) -> list[float]:
    """The values without those beyond three quartile ranges, which are drawn at the edge with their number."""
    order = sorted(values)
    low, high = order[len(order) // 4], order[(3 * len(order) - 1) // 4]
    reach = 3 * (high - low)
    return [value for value in values if low - reach <= value <= high + reach] if reach else values


def _best_so_far(trials: Sequence[Trial], metric: str, less: bool, feasible: bool) -> list[tuple[int, float]]:
    best: float | None = None
    steps: list[tuple[int, float]] = []
    for trial in trials:
        value = _value(trial, metric)
        if value is not None and (trial.feasible or not feasible):
            best = value if best is None else (min(best, value) if less else max(best, value))
        if best is not None:
            steps.append((trial.number, best))
    return steps


def convergence(tuning: TuningEntry, title: str, words: Mapping[str, str]) -> Markup:
    """Every trial's objective, the best so far, and the best so far among those that meet the constraints."""
    metric, less = objective_of(tuning)
    trials = [trial for trial in tuning.trials if metric and _value(trial, metric) is not None]
    if metric is None or not trials:
        return Markup("")
    across = Scale(trials[0].number - 0.5, max(trials[-1].number, trials[0].number + 1) + 0.5, 52, 546)
    up = around(_near([_value(trial, metric) or 0.0 for trial in trials]), 180, 30)
    parts = _frame(across, up, words["trial"], metric, whole=True)
    for feasible, colour, dashes in ((False, "muted", "3 3"), (True, "perturbation", None)):
        steps = _best_so_far(trials, metric, less, feasible)
        corners: list[tuple[float, float]] = []
        for number_, value in steps:
            if corners:
                corners.append((across(number_), corners[-1][1]))
            corners.append((across(number_), up(value)))
        if corners:
            parts.append(path(corners, colour, 1.8, stroke_dasharray=dashes))
    for trial in trials:
        value = _value(trial, metric) or 0.0
        parts.append(verdict_mark(trial.verdict, across(trial.number), up(value), f"{trial.number}: {number(value)}"))
        if not up.low <= value <= up.high:
            arrow = "\u2191" if value > up.high else "\u2193"
            parts.append(text(across(trial.number) + 8, up(value) + 4, f"{arrow} {number(value)}", "ink", font_size=10))
    return picture(560, 218, title, *parts)


def trade_off(tuning: TuningEntry, title: str, words: Mapping[str, str]) -> Markup:
    """Objective against agreement; a ring is on the Pareto front, the baseline and the choice are named."""
    (metric, _), second = objective_of(tuning), second_metric(tuning)
    if metric is None or second is None:
        return Markup("")
    both = [(trial, _value(trial, metric), _value(trial, second)) for trial in tuning.trials]
    pairs = [(trial, x, y) for trial, x, y in both if x is not None and y is not None]
    if not pairs:
        return Markup("")
    across = around(_near([x for _, x, _ in pairs]), 52, 546)
    up, bounds, outside = _heights(tuning, second, [y for _, _, y in pairs])
    parts = _frame(across, up, metric, second)
    parts += [line(52, up(bound), 546, up(bound), "ink", 1.2, stroke_dasharray="4 3") for bound in bounds]
    for bound in outside:
        side = "\u2193" if bound < up.low else "\u2191"
        said = f"{side} {words['constraint']} {number(bound)}"
        parts.append(text(*((52, 252) if bound < up.low else (260, 12)), said, "ink"))
    front = sorted((across(x), up(y)) for t, x, y in pairs if t.number in tuning.pareto)
    if len(front) > 1:
        parts.append(path(front, "hairline", 1.4))
    for trial, x, y in pairs:
        at = (across(x), up(y))
        if trial.number in tuning.pareto:
            parts.append(element("circle", cx=at[0], cy=at[1], r=7.5, **paint(None, "ink", 1.2)))
        parts.append(verdict_mark(trial.verdict, *at, f"{trial.number}: {number(x)}, {number(y)}"))
        if not across.low <= x <= across.high:
            said = f"{number(x)} \u2192" if x > across.high else f"\u2190 {number(x)}"
            anchor = "end" if x > across.high else "start"
            parts.append(text(at[0], at[1] - 9, said, "ink", anchor, font_size=10))
    named = {tuning.baseline: words["baseline"]}
    if tuning.best is not None:
        same = tuning.best == tuning.baseline
        named[tuning.best] = f"{words['baseline']} = {words['chosen']}" if same else words["chosen"]
    for trial, x, y in pairs:
        if trial.number in named:
            anchor = "end" if across(x) > 440 else "start"
            shift = -11 if anchor == "end" else 11
            lift = -8 if trial.number == tuning.best else 15
            at = (across(x) + shift, up(y) + lift)
            parts.append(text(*at, named[trial.number], "ink", anchor, font_weight="600"))
    return picture(560, 258, title, *parts)


def _heights(tuning: TuningEntry, metric: str, values: list[float]) -> tuple[Scale, list[float], list[float]]:
    """The upward scale, the bounds inside it, and those so far off that they would flatten the picture."""
    low, high = min(values), max(values)
    room = (high - low) or abs(high) * 0.1
    bounds = _required(tuning, metric)
    inside = [bound for bound in bounds if low - room <= bound <= high + room]
    return around(values + inside, 220, 36), inside, [bound for bound in bounds if bound not in inside]


def _required(tuning: TuningEntry, metric: str) -> list[float]:
    bounds = tuning.require.get(metric)
    if not isinstance(bounds, Mapping):
        return []
    return [float(bounds[key]) for key in ("min", "max") if isinstance(bounds.get(key), int | float)]


def shares(importance: Mapping[str, float | int | None], title: str, unknown: str) -> Markup:
    """What share of a metric's variance each setting explains."""
    width, left = 330, 134
    order = sorted(importance, key=lambda name: (-(importance[name] or 0.0), name))
    parts = []
    for place, name in enumerate(order):
        y, value = 4 + 21 * place, importance[name]
        whole = element("title", name)
        parts.append(element("text", whole, clip(name, 22), x=left - 6, y=y + 12, text_anchor="end", **paint("ink")))
        parts.append(element("rect", x=left, y=y + 3, width=120, height=11, **paint("hairline", fill_opacity=0.5)))
        if value is not None:
            size = 120 * min(1.0, max(0.0, float(value)))
            parts.append(element("rect", x=left, y=y + 3, width=size, height=11, **paint("perturbation")))
        said = unknown if value is None else number(value)
        parts.append(text(left + 126, y + 13, said, "ink"))
    return picture(width, 8 + 21 * len(order), title, *parts)
