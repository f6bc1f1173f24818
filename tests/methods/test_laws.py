"""Every method of the catalogue is held to what it declares; there is no list of methods here."""

import inspect
import typing
from dataclasses import fields, replace

import numpy as np
import pytest

from pgx_compiler.methods.apply import attribute, base_values, judge
from pgx_compiler.methods.catalogue import catalogue, computing
from pgx_compiler.methods.declaration import Cost, Declaration, Params, Shape
from pgx_compiler.methods.laws import LAWS, violations
from pgx_compiler.modalities.game import Game
from runtimes.capabilities import Spent
from tests.methods.models import benches

METHODS = list(catalogue().values())
ATTRIBUTIONS = [d for d in METHODS if d.direction and not d.is_request]
CHECKS = [d for d in METHODS if d.stage == "faithfulness"]
MODEL_WORK = ATTRIBUTIONS + CHECKS


def named(declaration: Declaration) -> str:
    return declaration.name


def suited(declaration: Declaration):
    found = [bench for bench in benches() if bench.suits(declaration)]
    assert found, f"no bench for {declaration.name}"
    return found


@pytest.mark.parametrize("declaration", METHODS, ids=named)
def test_a_method_keeps_the_laws_that_it_declares(declaration):
    assert violations(declaration, benches()) == []


@pytest.mark.parametrize("declaration", [d for d in METHODS if d.stage != "precaution" and not d.is_request], ids=named)
def test_a_method_declares_at_least_one_law(declaration):
    assert declaration.laws


def test_a_law_that_nobody_has_written_is_a_violation():
    invented = replace(ATTRIBUTIONS[0], laws=("conservation_of_energy",))
    assert "conservation_of_energy" in violations(invented, benches())[0]


@pytest.mark.parametrize("law", ["completeness", "null_feature", "symmetry", "linearity"])
def test_a_method_that_breaks_a_law_is_caught(law):
    occlusion = catalogue()["occlusion"]

    def broken(game, params):
        found = occlusion.function(game, params)
        # Neither zero where nothing is read, nor equal for equal features, nor linear, nor adding up.
        return replace(found, values=found.values**2 + np.arange(1.0, game.n_features + 1)[:, None])

    assert any(law in text for text in violations(replace(occlusion, function=broken, laws=(law,)), benches()))


@pytest.mark.parametrize(
    ("method", "law"),
    [("rank_correlation", "identity"), ("rank_correlation", "exchange"), ("rank_correlation", "scale"),
     ("rank_correlation", "chance"), ("deletion", "chance_level"), ("deletion", "oracle_order"),
     ("completeness_gap", "shapley_adds_up")],
)  # fmt: skip
def test_a_comparison_or_check_that_breaks_a_law_is_caught(method, law):
    kept = catalogue()[method]

    def broken(first, second, *rest):
        found = kept.function(first, second, *rest)
        if kept.stage == "agreement":
            return replace(found, values=0.5 + np.abs(first.values).sum(axis=1))
        return replace(found, score=-abs(found.score) - 1.0)

    assert any(law in text for text in violations(replace(kept, function=broken, laws=(law,)), benches()))


def test_every_written_law_is_declared_by_some_method():
    assert set(LAWS) == {law for declaration in METHODS for law in declaration.laws}


@pytest.mark.parametrize("declaration", METHODS, ids=named)
def test_a_method_says_what_it_does_how_to_read_it_and_what_not_to_conclude(declaration):
    assert declaration.summary.endswith(".")
    assert len(declaration.reading) > 40
    assert len(declaration.limits) > 40
    described = declaration.params.model_json_schema().get("properties", {})
    assert all(field.get("description") for field in described.values())


@pytest.mark.parametrize("declaration", [d for d in METHODS if d.stage != "precaution"], ids=named)
def test_a_method_names_its_paper(declaration):
    assert declaration.paper.startswith("https://")
    assert inspect.getmodule(declaration.function).__doc__


@pytest.mark.parametrize("declaration", MODEL_WORK, ids=named)
def test_the_cost_is_a_typed_function_of_a_module(declaration):
    hints = typing.get_type_hints(declaration.cost)
    assert issubclass(declaration.params, hints["params"])
    assert hints["shape"] is Shape
    assert hints["return"] is Cost
    module = inspect.getmodule(declaration.cost)
    assert getattr(module, declaration.cost.__name__) is declaration.cost


def spend(declaration: Declaration, bench, params: Params) -> tuple[int, int]:
    """Model rows that a step itself asks for; what the runner asks for scores and base values is taken off."""
    spent = bench.model.spent = Spent()
    if not declaration.direction:
        judge(declaration, bench.model, bench.rows, np.ones((len(bench.rows), len(bench.rows.features))), params)
        return spent.forward, spent.backward
    attribute(declaration, bench.model, bench.rows, params)
    runner = bench.model.spent = Spent()
    base_values(bench.model, bench.rows)
    return spent.forward - runner.forward - len(bench.rows), spent.backward


@pytest.mark.parametrize("declaration", MODEL_WORK, ids=named)
def test_the_declared_cost_is_what_a_step_spends(declaration):
    for bench in suited(declaration):
        params = declaration.params()
        declared = declaration.cost(params, bench.shape)
        assert spend(declaration, bench, params) == (declared.forward, declared.backward), bench.name


@pytest.mark.parametrize("samples", [2, 33, 150, 5000])
@pytest.mark.parametrize("declaration", [d for d in METHODS if d.estimates and not d.exact], ids=named)
def test_the_declared_cost_holds_for_any_number_of_samples(declaration, samples):
    for bench in suited(declaration):
        params = declaration.params(samples=samples)
        assert spend(declaration, bench, params)[0] == declaration.cost(params, bench.shape).forward, bench.name


@pytest.mark.parametrize("declaration", ATTRIBUTIONS, ids=named)
def test_attributions_are_finite_float64_for_every_feature(declaration):
    for bench in suited(declaration):
        found = attribute(declaration, bench.model, bench.rows, declaration.params())
        assert found.values.dtype == np.float64
        assert found.values.shape == (len(bench.rows), len(bench.rows.features))
        assert np.isfinite(found.values).all()
        assert declaration.signed or (found.values >= 0).all()
        for name, array in found.maps.items():
            assert array.shape == bench.rows.inputs[name].shape
            assert array.dtype == np.float64


@pytest.mark.parametrize("declaration", ATTRIBUTIONS, ids=named)
def test_a_stochastic_attribution_has_a_standard_error_and_another_has_none(declaration):
    for bench in suited(declaration):
        error = attribute(declaration, bench.model, bench.rows, declaration.params()).standard_error
        assert (error is not None) == declaration.stochastic
        if error is not None:
            assert error.shape == (len(bench.rows), len(bench.rows.features))
            assert (error >= 0).all()


@pytest.mark.parametrize("declaration", [d for d in MODEL_WORK if d.stochastic], ids=named)
def test_the_generator_alone_decides_what_is_drawn(declaration):
    # A descent may come to the same end whatever it draws, and an estimate may be exact: of several models one has to tell.
    telling = [b for b in benches() if b.name in ("image sum", "image linear", "image reference network")]

    def run(bench, seed):
        rows, params = bench.rows, declaration.params()
        if declaration.direction:
            return attribute(declaration, bench.model, rows, params, seed).values.tobytes()
        values = np.zeros((len(rows), len(rows.features)))
        return judge(declaration, bench.model, rows, values, params, seed).values.tobytes()

    assert run(telling[0], 1) == run(telling[0], 1)
    assert any(run(bench, 1) != run(bench, 2) for bench in telling)


@pytest.mark.parametrize("declaration", [d for d in ATTRIBUTIONS if d.per_row], ids=named)
def test_several_outputs_at_once_give_what_each_gives_alone(declaration):
    for bench in suited(declaration):
        outputs = np.arange(bench.facts.n_outputs)
        row = {name: array[:1] for name, array in bench.rows.inputs.items()}

        def run(targets, bench=bench, row=row):
            game = Game(bench.model, row, bench.rows.references.of_row(0), bench.rows.features, targets)
            rng = [np.random.default_rng(3)] if declaration.stochastic else []
            found = declaration.function(game, declaration.params(), *rng)
            error = np.zeros_like(found.values) if found.standard_error is None else found.standard_error
            return np.stack([found.values, error])

        together = run(outputs)
        assert together.shape[1:] == (len(bench.rows.features), len(outputs))
        for output in outputs:
            np.testing.assert_allclose(together[..., output], run(np.array([output]))[..., 0], atol=1e-9)


@pytest.mark.parametrize("quantity", [d for d in METHODS if d.is_request], ids=named)
def test_a_request_can_be_computed_and_its_parameters_reach_whoever_samples(quantity):
    able = computing(quantity.name)
    assert any(d.exact for d in able)
    sampling = [d for d in able if not d.exact]
    assert sampling
    for declaration in sampling:
        common = set(quantity.params.model_fields) & set(declaration.params.model_fields)
        assert "samples" in common
        assert declaration.params(samples=10).samples == quantity.params(samples=10).samples


def test_a_bench_is_described_in_full():
    # A field that no bench sets would make the laws that need it pass unseen.
    for field in fields(benches()[0]):
        assert any(getattr(bench, field.name) for bench in benches()), field.name
