"""What methods promise, as functions that can be run: a method names its laws where it is declared.

Each law takes a declaration and a bench (a small model of which something is known, with rows to explain) and returns
the violations in words; None where the bench says nothing about it. Whoever adds a method can hold it to them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import get_type_hints

import numpy as np

from pgx_compiler.evidence.results import Attribution, Report, RowReport, Scores
from pgx_compiler.methods.apply import Attributed, attribute, base_values, compare, judge, make_global, state
from pgx_compiler.methods.declaration import Declaration, Shape, UnfitParams
from pgx_compiler.modalities.data import AuditData, Split, Variable
from pgx_compiler.modalities.features import FIXED, Rows
from pgx_compiler.modalities.game import game_of_row
from pgx_compiler.modalities.table import Table, TableRow
from runtimes.capabilities import CAPABILITIES, Floats, LayerDifferentiable, Predictor
from runtimes.target import ModelFacts

STANDARD_ERRORS = 5.0
"""How far a sampled value may lie from what the law says."""


@dataclass(frozen=True)
class Bench:
    """A small model of which something is known, with rows to explain."""

    name: str
    modality: str
    model: Predictor
    rows: Rows
    facts: ModelFacts
    score: str = "value"
    ignored: tuple[int, ...] = ()
    """Features that the model does not read."""
    symmetric: tuple[tuple[int, int], ...] = ()
    """Pairs of features that the model treats alike, equal in every row and reference."""
    parts: tuple[tuple[float, Predictor], ...] = ()
    """Models of which this one is the weighted sum."""
    additive: bool = False
    """No feature interacts with another."""
    mirrored: tuple[tuple[int, int], ...] = ()
    """Pairs of features that change places in the mirror; the rows, references and the model are their own mirror images."""
    twin: Predictor | None = None
    """Another model that computes the same function by other layers."""
    shifted: tuple[Predictor, Rows] | None = None
    """The rows and references with a constant added to each element, and a model that takes it off again."""
    unbiased: bool = False
    """No layer of the network adds a bias."""
    table: Table | None = None
    """The same as a table, where methods may ask for real values; its model is `model`."""
    data: AuditData | None = None
    """The data that the rows were taken from."""

    @property
    def shape(self) -> Shape:
        """The bench as the planner sees it."""
        outputs = self.facts.n_outputs
        return Shape(len(self.rows), len(self.rows.features), len(self.rows.references), outputs, len(self.rows))

    def suits(self, declaration: Declaration) -> bool:
        """Whether the method can be run here at all."""
        if self.modality not in declaration.modalities:
            return False
        asked = set(get_type_hints(declaration.function).values())
        if {Table, TableRow} & asked and self.table is None:
            return False
        if declaration.capability and not isinstance(self.model, CAPABILITIES[declaration.capability]):
            return False
        return declaration.admits is None or declaration.admits(self.facts, self.shape, self.score) is None


Law = Callable[[Declaration, Bench, int], Sequence[str] | None]


def completeness(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str]:
    """The values of a row add up to its score minus the mean score of its references (efficiency)."""
    found = _explain(declaration, bench, seed)
    gap = np.abs(found.values.sum(axis=1) - (found.scores - found.base_values))
    return _beyond(gap, 1e-4 * _scale(found), "values do not add up to the difference")


def null_feature(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str] | None:
    """A feature that the model does not read gets zero."""
    if not bench.ignored:
        return None
    found = _explain(declaration, bench, seed)
    ignored = list(bench.ignored)
    allowed = 1e-9 * _scale(found) + STANDARD_ERRORS * _error(found)[:, ignored]
    return _beyond(np.abs(found.values[:, ignored]), allowed, "an ignored feature has a value")


def symmetry(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str] | None:
    """Two features that the model treats alike, with equal values, get the same."""
    if not bench.symmetric:
        return None
    found = _explain(declaration, bench, seed)
    one, other = (list(side) for side in zip(*bench.symmetric, strict=True))
    error = np.hypot(_error(found)[:, one], _error(found)[:, other])
    apart = np.abs(found.values[:, one] - found.values[:, other])
    return _beyond(apart, 1e-6 * _scale(found) + STANDARD_ERRORS * error, "equal features have different values")


def linearity(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str] | None:
    """The values for a weighted sum of models are the weighted sum of their values, drawn with the same generator."""
    if not bench.parts:
        return None
    whole = _explain(declaration, bench, seed)
    params = declaration.params()
    parts = [weight * attribute(declaration, model, bench.rows, params, seed).values for weight, model in bench.parts]
    return _beyond(np.abs(whole.values - np.sum(parts, axis=0)), 1e-7 * _scale(whole), "values are not linear")


def completeness_in_expectation(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str]:
    """As completeness, but for sampling error; of a row's sum it is told as ``sum_error``."""
    found = _explain(declaration, bench, seed)
    gap = np.abs(found.values.sum(axis=1) - (found.scores - found.base_values))
    allowed = 1e-6 * _scale(found) + STANDARD_ERRORS * found.notes["sum_error"]
    return _beyond(gap, allowed, "values do not add up to the difference")


def completeness_of_its_own(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str]:
    """The values of a row add up to a difference of scores that the method tells, as ``difference``."""
    found = _explain(declaration, bench, seed)
    gap = np.abs(found.values.sum(axis=1) - found.notes["difference"])
    return _beyond(gap, 1e-4 * _scale(found), "values do not add up to the difference that is told")


def implementation_invariance(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str] | None:
    """Networks that compute the same function by other layers get the same values (Sundararajan et al. 2017)."""
    if bench.twin is None:
        return None
    one = _explain(declaration, bench, seed)
    other = attribute(declaration, bench.twin, bench.rows, declaration.params(), seed)
    return [
        *_beyond(np.abs(one.scores - other.scores), 1e-9 * _scale(one), "the bench's twin is no twin"),
        *_beyond(np.abs(one.values - other.values), 1e-6 * _scale(one), "equal functions have different values"),
    ]


def shift_invariance(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str] | None:
    """A constant that is added to the input, and taken off by the first layer, changes nothing (Kindermans et al. 2017)."""
    if bench.shifted is None:
        return None
    one = _explain(declaration, bench, seed)
    other = attribute(declaration, *bench.shifted, declaration.params(), seed)
    return [
        *_beyond(np.abs(one.scores - other.scores), 1e-5 * _scale(one), "the bench's shift is not taken off"),
        *_beyond(np.abs(one.values - other.values), 1e-5 * _scale(one), "a shift of the input changes the values"),
    ]


def identity(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str]:
    """An explanation agrees with itself as well as anything can."""
    first, _ = _random_attributions(seed)
    scores = _compare(declaration, first, first)
    best = 1.0 if scores.range is None else scores.range[1 if scores.better == "higher" else 0]
    return _beyond(np.abs(scores.values - best), 1e-12, "an explanation does not agree with itself")


def exchange(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str]:
    """It does not matter which of the two explanations comes first."""
    first, second = _random_attributions(seed)
    there, back = _compare(declaration, first, second), _compare(declaration, second, first)
    return _beyond(np.abs(there.values - back.values), 1e-12, "the order of the explanations matters")


def scale(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str]:
    """Multiplying an explanation by a positive number changes nothing."""
    first, second = _random_attributions(seed)
    scaled = Attribution("scaled", "random", "gradient", first.values * 4.0, None, signed=True)
    there, back = _compare(declaration, first, second), _compare(declaration, scaled, second)
    return _beyond(np.abs(there.values - back.values), 1e-12, "the scale of an explanation matters")


def chance(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str]:
    """Random explanations score what is declared as chance."""
    scores = _compare(declaration, *_random_attributions(seed, rows=2000))
    if scores.chance is None:
        return ["no chance level is declared"]
    error = scores.values.std(ddof=1) / np.sqrt(len(scores.values))
    off = np.array([np.abs(scores.values.mean() - scores.chance)])
    return _beyond(off, STANDARD_ERRORS * error, "random explanations do not score chance")


def chance_level(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str]:
    """An explanation that knows nothing scores zero on average."""
    rng = np.random.default_rng(seed)
    shape = (len(bench.rows), len(bench.rows.features))
    params = declaration.params()
    drawn = np.concatenate(
        [judge(declaration, bench.model, bench.rows, rng.normal(size=shape), params, s).values for s in range(30)]
    )
    error = drawn.std(ddof=1) / np.sqrt(len(drawn))
    return _beyond(np.abs(drawn.mean(keepdims=True)), STANDARD_ERRORS * error, "random explanations do not score zero")


def oracle_order(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str] | None:
    """Where features do not interact, what each adds beats chance, and its negative is beaten by it."""
    if not bench.additive:
        return None
    params, truth = declaration.params(), _contributions(bench)
    right = judge(declaration, bench.model, bench.rows, truth, params, seed).values
    wrong = judge(declaration, bench.model, bench.rows, -truth, params, seed).values
    return [
        *_beyond(-right, 0.0, "the true order does not beat chance"),
        *_beyond(wrong, 0.0, "the opposite of the true order beats chance"),
    ]


def shapley_adds_up(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str] | None:
    """What features add that do not interact leaves no gap; one unit too much on each leaves one for each."""
    if not bench.additive:
        return None
    params, truth = declaration.params(), _contributions(bench)
    none = judge(declaration, bench.model, bench.rows, truth, params, seed).values
    some = judge(declaration, bench.model, bench.rows, truth + 1.0, params, seed).values
    return [
        *_beyond(np.abs(none), 1e-7, "true contributions leave a gap"),
        *_beyond(np.abs(some - truth.shape[1]), 1e-7, "a known gap is measured wrongly"),
    ]


def unread_feature(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str] | None:
    """What is measured of a feature that the model does not read is zero, or undefined."""
    if not bench.ignored or bench.table is None:
        return None
    unread = {bench.table.names[feature] for feature in bench.ignored}
    report = make_global(declaration, bench.model, bench.rows, None, bench.table, declaration.params(), seed)
    told = [m for m in report.measures if m.subject in unread and m.value is not None]
    values = np.array([m.value for m in told], np.float64)
    errors = np.array([m.standard_error or 0.0 for m in told])
    return _beyond(np.abs(values), 1e-9 + STANDARD_ERRORS * errors, "an unread feature is said to matter")


def price_is_a_ceiling(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str]:
    """A method that states something asks the model for no more rows than its declaration plans."""
    data = bench.data or _data_of(bench)
    bench = replace(bench, data=data)
    test = 0 if data.test is None else len(data.test)
    shape = replace(bench.shape, data_rows=len(data.train) + test, test_rows=test)
    before = bench.model.spent.forward
    (_reported if declaration.gives == "global" else _said)(declaration, bench, seed)
    asked = np.array([bench.model.spent.forward - before], np.float64)
    return _beyond(asked, declaration.cost(declaration.params(), shape).forward, "more rows are asked than planned")


def repeatable(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str]:
    """The same seed gives the same statements and numbers."""
    if declaration.gives == "global":
        reports = [repr(_reported(declaration, bench, seed)) for _ in range(2)]
        return [] if reports[0] == reports[1] else ["the same seed reports something else"]
    one, other = _said(declaration, bench, seed), _said(declaration, bench, seed)
    apart = [
        repr(a.statements) != repr(b.statements) or repr(a.numbers) != repr(b.numbers)
        for a, b in zip(one, other, strict=True)
    ]
    return _beyond(np.array(apart, np.float64), 0.0, "the same seed says something else")


def counterfactuals_hold(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str] | None:
    """What is called a counterfactual has another class, and nothing but what may change is changed."""
    table = bench.table
    if table is None:
        return None
    fixed = [index for index, feature in enumerate(table.features) if feature.immutable]
    wrong: list[float] = []
    for index, said in enumerate(_said(declaration, bench, seed)):
        z, row = said.arrays["counterfactuals"], table.row(index).z
        z = z[~np.isnan(z).all(axis=1)]
        before, after = (table.score(part).argmax(axis=1) for part in (row[None], z))
        wrong += list((after == before) | (z[:, fixed] != row[fixed]).any(axis=1))
    return _beyond(np.array(wrong, np.float64), 0.0, "a counterfactual does not hold")


def flat_where_unread(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str] | None:
    """The curve of a feature that the model does not read is flat."""
    if not bench.ignored or bench.table is None:
        return None
    curves = np.stack([one.arrays["curve_scores"][list(bench.ignored)] for one in _said(declaration, bench, seed)])
    heights = np.nanmax(curves, axis=2) - np.nanmin(curves, axis=2)
    return _beyond(heights, 1e-12, "a feature that is not read has a curve")


def additive_contributions(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str] | None:
    """Where features do not interact, each gets what it alone adds, but for sampling error and a penalty of 2 %."""
    if not bench.additive:
        return None
    found = _explain(declaration, bench, seed)
    apart = np.abs(found.values - _contributions(bench))
    return _beyond(apart, 0.02 * _scale(found) + STANDARD_ERRORS * _error(found), "values are not what features add")


def variance_shares(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str] | None:
    """Where features do not interact, each gets its share in the sum of the squares of what they add."""
    if not bench.additive:
        return None
    found = _explain(declaration, bench, seed)
    squares = _contributions(bench) ** 2
    shares = squares / squares.sum(axis=1, keepdims=True)
    return _beyond(np.abs(found.values - shares), 1e-6 + STANDARD_ERRORS * _error(found), "values are no shares of variance")


def unread_unnamed(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str] | None:
    """Nothing is said of a feature that the model does not read."""
    if not bench.ignored:
        return None
    unread = {bench.rows.features.names[feature] for feature in bench.ignored}
    said = [statement for one in _said(declaration, bench, seed) for statement in one.statements]
    named = np.array([len(unread & set(statement.features)) for statement in said], np.float64)
    return _beyond(named, 0.0, "a statement names features that the model does not read")


def promised_precision(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str] | None:
    """The precision measured of a rule is the one asked for or more, but for sampling error."""
    if bench.table is None:
        return None
    wanted = getattr(declaration.params(), "precision")  # noqa: B009
    said = [statement.numbers for one in _said(declaration, bench, seed) for statement in one.statements]
    if not said:
        return None
    missing = wanted - np.array([numbers["precision"] for numbers in said])
    error = np.array([numbers["precision"] - numbers["precision_low"] for numbers in said]) / 1.96
    return _beyond(missing, STANDARD_ERRORS * error, "a rule is less precise than asked for")


def nothing_beyond_the_sum(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str] | None:
    """Where features do not interact, no pair of them does anything together."""
    if not bench.additive:
        return None
    found = np.stack([one.arrays["interactions"] for one in _said(declaration, bench, seed)])
    error = np.stack([one.arrays["standard_error_of_pairs"] for one in _said(declaration, bench, seed)])
    pairs = found - found * np.eye(found.shape[1])
    return _beyond(np.abs(pairs), 1e-6 * np.abs(found).max() + STANDARD_ERRORS * error, "features interact")


def mirrored(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str] | None:
    """A row that is its own mirror image, for a model to which mirror images are the same, has such an explanation."""
    if not bench.mirrored:
        return None
    found = _explain(declaration, bench, seed)
    if not found.values.any():
        return ["the explanation says nothing"]
    one, other = (list(side) for side in zip(*bench.mirrored, strict=True))
    apart = np.abs(found.values[:, one] - found.values[:, other])
    return _beyond(apart, 1e-9 * np.abs(found.values).max(), "mirror images have different values")


def conductance_adds_up(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str]:
    """What the channels of a layer carry adds up to the score of a row minus the mean score of its references."""
    report = make_global(declaration, bench.model, bench.rows, None, bench.table, declaration.params(), seed)
    scores = bench.model.predict(bench.rows.inputs)[np.arange(len(bench.rows)), bench.rows.target]
    difference = scores - base_values(bench.model, bench.rows)
    gap = np.abs(report.arrays["conductance"].sum(axis=1) - difference)
    return _beyond(gap, 1e-6 * max(1.0, np.abs(difference).max()), "channels do not carry the difference")


def influence_is_slope(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str] | None:
    """Where the score has the same slope by a layer at a row and its references, the channels' influence is that slope."""
    rows, model = bench.rows, bench.model
    assert isinstance(model, LayerDifferentiable)
    report = make_global(declaration, model, rows, None, bench.table, declaration.params(), seed)
    layer = next(one.name for one in model.layers if one.shape[-1] == report.arrays["influence"].shape[1])
    slopes = model.layer_gradient(rows.inputs, rows.target, layer)[1]
    at_references = model.layer_gradient(rows.references.of_row(0), rows.target[: len(rows.references)], layer)[1]
    if np.abs(at_references - slopes[: len(at_references)]).max() > 1e-12:
        return None
    expected = slopes.reshape(len(rows), -1, slopes.shape[-1]).sum(axis=1)
    return _beyond(np.abs(report.arrays["influence"] - expected), 1e-9, "influence is not the slope")


def shares_of_attention(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str]:
    """What the positions of a row get is not negative and adds up to one."""
    values = _explain(declaration, bench, seed).values
    return [
        *_beyond(np.abs(values.sum(axis=1) - 1.0), 1e-9, "shares do not add up to one"),
        *_beyond(-values, 0.0, "a share is negative"),
    ]


def conservation(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str] | None:
    """Where no layer adds a bias, the values of a row add up to its score itself."""
    if not bench.unbiased:
        return None
    found = _explain(declaration, bench, seed)
    gap = np.abs(found.values.sum(axis=1) - found.scores)
    return _beyond(gap, 1e-4 * _scale(found), "values do not add up to the score")


def same_report(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str] | None:
    """The same seed gives the same report on the whole model, bit by bit."""
    try:
        one, other = _reported(declaration, bench, seed), _reported(declaration, bench, seed)
    except UnfitParams:  # the bench is not a model that this can be asked of
        return None
    told = repr((one.measures, one.tables, one.charts)) != repr((other.measures, other.tables, other.charts))
    apart = [told, *(one.arrays[name].tobytes() != other.arrays[name].tobytes() for name in one.arrays)]
    return _beyond(np.array(apart, np.float64), 0.0, "the same seed reports something else")


def adversaries_hold(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str]:
    """With the change that was found a row gets another decision; what is never perturbed is not changed."""
    rows, arrays = bench.rows, _reported(declaration, bench, seed).arrays
    changes = {name: arrays[f"change_{name}"] for name in rows.inputs if f"change_{name}" in arrays}
    moved = {name: (array + changes.get(name, 0.0)).astype(array.dtype) for name, array in rows.inputs.items()}
    before, after = (bench.model.predict(inputs).argmax(axis=1) for inputs in (rows.inputs, moved))
    fixed = [change[:, rows.features.owners[name] == FIXED].any() for name, change in changes.items()]
    return [
        *_beyond(np.asarray((before != after) != arrays["found"], np.float64), 0.0, "a change does not do what is said"),
        *_beyond(np.asarray(fixed, np.float64), 0.0, "what is never perturbed is changed"),
    ]


def helps_itself(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str] | None:
    """No training row speaks against its own label."""
    try:
        itself = _reported(declaration, bench, seed).arrays["self_influence"]
    except UnfitParams:  # the bench's last layer is not one that can be looked at
        return None
    return _beyond(-itself, 1e-9 * np.abs(itself).max(), "a training row speaks against its own label")


def climbs(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str] | None:
    """What is made scores no less than what it was made from."""
    arrays = _reported(declaration, bench, seed).arrays
    if "start_score" not in arrays:
        return None
    return _beyond(arrays["start_score"] - arrays["score"], 0.0, "what is made scores less than its start")


LAWS: dict[str, Law] = {
    law.__name__: law
    for law in (
        completeness,
        null_feature,
        symmetry,
        linearity,
        completeness_in_expectation,
        completeness_of_its_own,
        implementation_invariance,
        shift_invariance,
        identity,
        exchange,
        scale,
        chance,
        chance_level,
        oracle_order,
        shapley_adds_up,
        unread_feature,
        price_is_a_ceiling,
        repeatable,
        counterfactuals_hold,
        flat_where_unread,
        additive_contributions,
        variance_shares,
        unread_unnamed,
        promised_precision,
        mirrored,
        conductance_adds_up,
        influence_is_slope,
        shares_of_attention,
        nothing_beyond_the_sum,
        conservation,
        same_report,
        adversaries_hold,
        helps_itself,
        climbs,
    )
}


def violations(declaration: Declaration, benches: Sequence[Bench], seed: int = 0) -> list[str]:
    """Hold a method to all laws that it declares, on every bench that it can be run on."""
    found: list[str] = []
    suited = [bench for bench in benches if bench.suits(declaration)]
    for name in declaration.laws:
        if name not in LAWS:
            found.append(f"{declaration.name} declares the law `{name}`, which nobody has written")
            continue
        results = {bench.name: LAWS[name](declaration, bench, seed) for bench in suited}
        if all(result is None for result in results.values()):
            found.append(f"{declaration.name}: no bench can tell whether `{name}` holds")
        found += [f"{declaration.name} on {bench}: {name}: {text}" for bench, r in results.items() for text in r or ()]
    return found


def _said(declaration: Declaration, bench: Bench, seed: int) -> list[RowReport]:
    return state(declaration, bench.model, bench.rows, bench.table, declaration.params(), seed)


def _reported(declaration: Declaration, bench: Bench, seed: int) -> Report:
    data = bench.data or _data_of(bench)
    return make_global(declaration, bench.model, bench.rows, data, bench.table, declaration.params(), seed)


def _data_of(bench: Bench) -> AuditData:
    """Data of an audit for a bench: mixtures of its rows and references, with the model's own answers as labels."""
    rows, rng = bench.rows, np.random.default_rng(11)
    held = {name: np.concatenate([array, rows.references.of_row(0)[name]]) for name, array in rows.inputs.items()}
    size = len(next(iter(held.values())))
    shares = rng.dirichlet(np.full(size, 0.5), 80)
    inputs = {
        name: np.tensordot(shares, array, 1).astype(array.dtype)
        if array.dtype.kind == "f"
        else array[shares.argmax(axis=1)]
        for name, array in held.items()
    }
    labels = bench.model.predict(inputs).argmax(axis=1).astype(np.int64)
    classes = tuple(f"class {k}" for k in range(bench.facts.n_outputs))
    train = Split("train", inputs, labels, np.arange(len(labels)))
    variable = Variable("first share", "numeric", shares[:, 0], None, is_descriptor=True)
    return AuditData(bench.modality, "classification", classes, train, None, rows.features, (variable,))


def _explain(declaration: Declaration, bench: Bench, seed: int) -> Attributed:
    return attribute(declaration, bench.model, bench.rows, declaration.params(), seed)


def _compare(declaration: Declaration, first: Attribution, second: Attribution) -> Scores:
    return compare(declaration, first, second, declaration.params())


def _scale(found: Attributed) -> float:
    """The size of what is explained: a gap is judged against it."""
    return float(max(np.abs(found.scores - found.base_values).max(), np.abs(found.values).max(), 1e-12))


def _error(found: Attributed) -> Floats:
    return np.zeros_like(found.values) if found.standard_error is None else found.standard_error


def _contributions(bench: Bench) -> Floats:
    """What each feature alone adds to the references, ``(rows, features)``."""
    rows, alone = bench.rows, np.eye(len(bench.rows.features), dtype=bool)
    games = [
        game_of_row(bench.model, rows.inputs, row, rows.references, rows.features, int(target))
        for row, target in enumerate(rows.target)
    ]
    return np.stack([(game.value(alone) - game.empty())[:, 0] for game in games])


def _random_attributions(seed: int, rows: int = 50, features: int = 12) -> tuple[Attribution, Attribution]:
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(2, rows, features))
    return (
        Attribution("first", "random", "perturbation", first, None, signed=True),
        Attribution("second", "random", "gradient", second, None, signed=True),
    )


def _beyond(found: Floats, allowed: Floats | float, words: str) -> list[str]:
    """One sentence where anything exceeds what is allowed (NaN does)."""
    excess = ~(found <= allowed)
    if not excess.any():
        return []
    return [f"{words}: {excess.sum()} of {excess.size}, by up to {np.max(found):.3g}"]
