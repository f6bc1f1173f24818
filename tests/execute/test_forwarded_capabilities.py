"""Every capability that a model offers is offered by the handles between it and an audit, with the same numbers.

The protocols are those of `runtimes.capabilities`; a new one fails here until `Everything` below can do it.
"""

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pytest

from pgx_compiler.execute.fixed_inputs import with_fixed
from pgx_compiler.execute.forwarding import PROTOCOLS, Translation, in_front
from pgx_compiler.execute.linked_scores import Linking
from pgx_compiler.execute.renaming import renamed
from runtimes import capabilities
from runtimes.adaptation import InputAdaptation
from runtimes.capabilities import (
    CAPABILITIES,
    IDS,
    Composer,
    Labelled,
    LayerShape,
    Predictor,
    Recipe,
    Spent,
    Trained,
    View,
)
from runtimes.target import TensorFacts

WEIGHTS = {"x": 2.0, "word": 3.0, "rate": 5.0}


def by_name(inputs: Mapping[str, Any], factor: float = 1.0) -> dict[str, np.ndarray]:
    """Another number for each input: an array under a wrong name, or one too few, is noticed."""
    missing = set(WEIGHTS) - {name.removesuffix(IDS) for name in inputs}
    if missing:
        raise KeyError(f"no {missing}")
    return {name: factor * WEIGHTS[name.removesuffix(IDS)] * array for name, array in inputs.items()}


def total(inputs: Mapping[str, Any]) -> np.ndarray:
    weighed = by_name({name: np.asarray(array, np.float64) for name, array in inputs.items()})
    return sum(array.reshape(len(array), -1).sum(axis=1) for array in weighed.values())


class Everything:
    """Two numbers `x`, an id `word` and a `rate`: a handle with all capabilities at once; its numbers mean nothing."""

    rows_per_call = 4
    layers = (LayerShape("one", "Dense", (1,)),)
    trees, base, intercept = ("a tree",), np.array([1.5]), np.array([0.5])
    coefficients = np.array([[1.0], [2.0]])
    input_name = "x"

    def __init__(self) -> None:
        self.spent = Spent()

    @property
    def above(self) -> Any:
        return only(capabilities.Differentiable)

    def embed(self, inputs: Any) -> Any:
        by_name(inputs)
        looked_up = np.stack([inputs["word"] * 0.5, inputs["word"] * 0.25], axis=-1)
        return {"x": inputs["x"], "word": looked_up, f"word{IDS}": inputs["word"], "rate": inputs["rate"]}

    def predict(self, inputs: Any) -> Any:
        self.spent.forward += len(inputs["x"])
        return np.stack([total(inputs), -total(inputs)], axis=1) / 128

    def gradient(self, inputs: Any, target: Any) -> Any:
        return by_name(inputs, 1.0 + target[0])

    def activations(self, inputs: Any, layer: str) -> Any:
        return total(inputs)[:, None] + len(layer)

    def layer_gradient(self, inputs: Any, target: Any, layer: str) -> Any:
        return self.activations(inputs, layer), target[:, None] * total(inputs)[:, None]

    def rectified_gradient(self, inputs: Any, target: Any, rule: str) -> Any:
        return by_name(inputs, len(rule) + target[0])

    def tf_explain_gradient(self, inputs: Any, target: Any) -> Any:
        return by_name(inputs, 2.0 + target[0])

    def tf_explain_path(self, inputs: Any, target: Any, steps: int) -> Any:
        return by_name(inputs, steps + target[0])

    def tf_explain_cam(self, inputs: Any, target: Any, layer: str, guided: bool) -> Any:
        return (guided + target)[:, None] * self.activations(inputs, layer)

    def attention(self, inputs: Any) -> Any:
        return {"x": total(inputs)}  # a layer may be called as an input is

    def relevance(self, inputs: Any, target: Any, rules: Any, low: Any = None, high: Any = None) -> Any:
        sides = sum(total(side).sum() for side in (low, high) if side is not None)
        return by_name(inputs, len(rules) + target[0] + sides)

    def rescaled_contributions(self, inputs: Any, references: Any, target: Any) -> Any:
        return by_name(inputs, total(references).sum() + target[0])

    def coalitions(self, row: Any, references: Any, owners: Any) -> Any:
        assert {name: array.shape for name, array in owners.items()} == {n: a.shape[1:] for n, a in row.items()}
        of_nobody = {name for name, array in owners.items() if (array == -1).all()}
        worth = (total(references) + total(row) + len(of_nobody)) / 128
        return Told(np.stack([worth, -worth], axis=1))

    def train(self, recipe: Any, train: Any, validation: Any, seed: int, progress: Any = None) -> Trained:
        found = {"loss": float(total(train.inputs).sum() + 2 * total(validation.inputs).sum() + seed)}
        return Trained(lambda view: only(capabilities.Differentiable), found, (), recipe.epochs)


@dataclass
class Told:
    answers: Any

    def takes(self, masks: Any) -> Any:
        return masks[:, 0]

    def scores(self, masks: Any) -> Any:
        return self.answers * len(masks) / 3


def only(protocol: type) -> Any:
    """A handle with the members of one protocol and no others."""
    names = [
        *typing.get_type_hints(protocol),
        *[name for line in protocol.__mro__ for name, one in vars(line).items() if inspect.isfunction(one)],
    ]
    own = {name: vars(Everything)[name] for name in names if name in vars(Everything) and not name.startswith("_")}
    lost = set(names) - set(own) - {"spent"}
    assert not {name for name in lost if not name.startswith("_")}, f"`Everything` lacks {sorted(lost)}"
    return type("Only", (), {"__init__": Everything.__init__, **own})()


ROWS = {"x": np.array([[1.0, 2.0], [3.0, 5.0]]), "word": np.array([[4], [6]]), "rate": np.array([[7.0], [7.0]])}
MORE = {"x": np.array([[8.0, 1.0], [0.0, 2.0]]), "word": np.array([[1], [2]]), "rate": np.array([[7.0], [7.0]])}
TARGET = np.array([1, 0])
ARGUMENTS: dict[str, Callable[[], Any]] = {
    "inputs": lambda: ROWS,
    "references": lambda: MORE,
    "low": lambda: MORE,
    "high": lambda: ROWS,
    "row": lambda: {name: array[:1] for name, array in ROWS.items()},
    "owners": lambda: {"x": np.array([0, 1]), "word": np.array([2]), "rate": np.array([-1])},
    "train": lambda: Labelled(ROWS, TARGET),
    "validation": lambda: Labelled(MORE, TARGET),
    "target": lambda: TARGET,
    "layer": lambda: "one",
    "rule": lambda: "guided",
    "steps": lambda: 3,
    "guided": lambda: True,
    "rules": lambda: (("any", capabilities.Rule("epsilon")),),
    "recipe": lambda: Recipe(),
    "seed": lambda: 11,
    "progress": lambda: None,
}
"""By name: a new argument of a new capability must be thought of here as well."""

OURS = {"x": "table", "word": "token", "rate": "pace"}


def rename(value: Any) -> Any:
    """What stands under the file's names, under the audit's."""
    if isinstance(value, Labelled):
        return Labelled(rename(value.inputs), value.labels)
    if isinstance(value, Mapping) and {name.removesuffix(IDS) for name in value} <= set(OURS):
        return {name.replace(key := name.removesuffix(IDS), OURS[key]): array for name, array in value.items()}
    return value


def leave_out(value: Any) -> Any:
    """The same without the input that the audit fixes."""
    if isinstance(value, Labelled):
        return Labelled(leave_out(value.inputs), value.labels)
    if isinstance(value, Mapping):
        return {name: array for name, array in value.items() if name != "rate"}
    return value


def under_our_names(handle: Any) -> Any:
    return renamed(handle, {ours: theirs for theirs, ours in OURS.items()})


def without_the_rate(handle: Any) -> Any:
    tensors = {
        "x": TensorFacts("x", (None, 2), "float64"),
        "word": TensorFacts("word", (None, 1), "int64"),
        "rate": TensorFacts("rate", (None, 1), "float64"),
    }
    return with_fixed(handle, tensors, {"rate": InputAdaptation(fixed=7.0)})


BETWEEN = {"renamed": (under_our_names, rename), "fixed": (without_the_rate, leave_out)}


def same(found: Any, expected: Any) -> None:
    if isinstance(expected, Mapping):
        assert list(found) == list(expected)
        for name in expected:
            same(found[name], expected[name])
    elif isinstance(expected, tuple):
        for one, other in zip(found, expected, strict=True):
            same(one, other)
    elif isinstance(expected, Told):
        masks = np.ones((3, 3), bool)
        same(found.takes(masks), expected.takes(masks))
        same(found.scores(masks), expected.scores(masks))
    elif isinstance(expected, Trained):
        assert (found.validation, found.parameters) == (expected.validation, expected.parameters)
    else:
        np.testing.assert_array_equal(found, expected)


def test_the_protocols_are_all_there_are() -> None:
    assert {*CAPABILITIES.values(), Composer} == set(PROTOCOLS)


@pytest.mark.parametrize("between", BETWEEN)
@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.__name__)
def test_a_capability_is_offered_through_a_handle_in_between(protocol: type, between: str) -> None:
    """Asked as the audit does, it says what the handle behind it says when it is asked under its own names."""
    make, translate = BETWEEN[between]
    direct, handle = only(protocol), make(only(protocol))
    assert isinstance(handle, protocol)
    methods = [name for name, one in inspect.getmembers(protocol, inspect.isfunction) if not name.startswith("_")]
    for name in methods:
        given = [ARGUMENTS[argument]() for argument in list(inspect.signature(getattr(protocol, name)).parameters)[1:]]
        found = getattr(handle, name)(*map(translate, given))
        whole = getattr(direct, name)(*given)
        by_input = name != "attention"  # said by layer
        same(found, translate(whole) if by_input and not isinstance(whole, Trained) else whole)
    for name in typing.get_type_hints(protocol):
        if name not in ("above", "spent", "input_name"):
            same(getattr(handle, name), getattr(direct, name))
    if methods != ["train"]:
        assert handle.spent == direct.spent


@pytest.mark.parametrize("between", BETWEEN)
def test_what_a_handle_offers_is_no_more_than_the_handle_behind_it(between: str) -> None:
    make, _ = BETWEEN[between]
    for protocol in PROTOCOLS:
        behind = only(protocol)
        offered = [one for one in PROTOCOLS if isinstance(make(behind), one)]
        assert offered == [one for one in PROTOCOLS if isinstance(behind, one)]


@pytest.mark.parametrize("between", BETWEEN)
def test_the_model_above_its_tables_reads_what_embedding_gives(between: str) -> None:
    """Floats of the word under the audit's name, its ids beside; a fixed input is given there as well."""
    make, translate = BETWEEN[between]
    direct, handle = only(capabilities.EmbeddingDifferentiable), make(only(capabilities.EmbeddingDifferentiable))
    looked_up = handle.embed(translate(ROWS))
    same(looked_up, translate(direct.embed(ROWS)))
    same(handle.above.predict(looked_up), direct.above.predict(direct.embed(ROWS)))
    same(handle.above.gradient(looked_up, TARGET), translate(direct.above.gradient(direct.embed(ROWS), TARGET)))


@pytest.mark.parametrize("between", BETWEEN)
def test_a_candidate_is_asked_as_the_audited_model_is(between: str) -> None:
    make, translate = BETWEEN[between]
    trained = make(only(capabilities.Trainable)).train(
        Recipe(), translate(Labelled(ROWS, TARGET)), translate(Labelled(MORE, TARGET)), 1
    )
    candidate = trained.open_view(View("logit"))
    same(candidate.predict(translate(ROWS)), only(Predictor).predict(ROWS))
    same(candidate.gradient(translate(ROWS), TARGET), translate(Everything().gradient(ROWS, TARGET)))


def test_the_name_of_the_only_input_is_the_audits() -> None:
    assert under_our_names(only(capabilities.LinearModel)).input_name == "table"
    assert without_the_rate(only(capabilities.TreeEnsemble)).input_name == "x"


def test_arguments_may_be_named_and_left_out() -> None:
    handle = under_our_names(only(capabilities.RulePropagating))
    rules = ARGUMENTS["rules"]()
    found = handle.relevance(rename(ROWS), TARGET, rules, high=rename(MORE))
    same(found, rename(Everything().relevance(ROWS, TARGET, rules, None, MORE)))


def test_one_handle_in_front_of_another() -> None:
    """As in an audit: the fixed input is the file's, and all others have the audit's names."""
    handle = under_our_names(without_the_rate(only(capabilities.EmbeddingDifferentiable)))
    given = rename(leave_out(ROWS))
    same(handle.predict(given), Everything().predict(ROWS))
    looked_up = handle.embed(given)
    assert set(looked_up) == {"table", "token", f"token{IDS}"}
    same(handle.above.predict(looked_up), only(Predictor).predict(Everything().embed(ROWS)))


def test_probabilities_of_logits_offer_scores_and_nothing_that_rests_on_the_score() -> None:
    """A sigmoid of the total; its gradient would be another one than that of the logits."""
    everything = in_front(Everything(), Linking(single=True))
    assert [one for one in PROTOCOLS if isinstance(everything, one)] == [Predictor, Composer]
    expected = 1 / (1 + np.exp(-Everything().predict(ROWS)))
    np.testing.assert_allclose(everything.predict(ROWS), expected)
    given = [ARGUMENTS[name]() for name in ("row", "references", "owners")]
    masks = np.ones((2, 3), bool)
    composed = everything.coalitions(*given).scores(masks)
    np.testing.assert_allclose(composed, 1 / (1 + np.exp(-Everything().coalitions(*given).scores(masks))))


def test_a_handle_that_composes_nothing_here_says_so() -> None:
    class Declines(Everything):
        def coalitions(self, row: Any, references: Any, owners: Any) -> None:
            return None

    assert in_front(Declines(), Linking(single=True)).coalitions({}, {}, {}) is None


def test_a_capability_of_tomorrow_is_forwarded_without_being_named(monkeypatch: pytest.MonkeyPatch) -> None:
    @runtime_checkable
    class Surprising(Predictor, Protocol):
        def surprise(self, inputs: capabilities.Inputs, by: float) -> capabilities.Inputs:
            """What nobody has thought of."""
            ...

    class Handle(Everything):
        def surprise(self, inputs: Any, by: float) -> Any:
            return by_name(inputs, by)

    monkeypatch.setattr("pgx_compiler.execute.forwarding.PROTOCOLS", (*PROTOCOLS, Surprising))
    handle = under_our_names(Handle())
    assert isinstance(handle, Surprising)
    same(handle.surprise(rename(ROWS), by=3.0), rename(by_name(ROWS, 3.0)))


def test_nothing_in_between_changes_nothing() -> None:
    handle = in_front(Everything(), Translation())
    assert [one for one in PROTOCOLS if isinstance(handle, one)] == list(PROTOCOLS)
    same(handle.gradient(ROWS, TARGET), Everything().gradient(ROWS, TARGET))
