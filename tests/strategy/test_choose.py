"""Which methods are chosen, by facts made by hand: no file is read."""

from dataclasses import replace

import pytest

from pgx_compiler.analysis.strategy import choose as chooser
from pgx_compiler.analysis.strategy.choose import choose
from pgx_compiler.analysis.strategy.price import Pricing
from pgx_compiler.analysis.strategy.rules import QUESTIONS, RULES
from pgx_compiler.analysis.strategy.situation import Auto, Named, Situation
from pgx_compiler.methods.catalogue import STAGES, catalogue
from pgx_compiler.methods.declaration import Shape

EVERYWHERE = {stage: Auto() for stage in STAGES}
TABLE = Situation(
    modality="tabular",
    risk=None,
    audience=(),
    questions=(),
    sensitive=False,
    expectations=False,
    rows=1000,
    gradients=True,
    impossible={},
    algorithms={"shapley_values": "kernel_shap"},
    auto=EVERYWHERE,
    named=(),
    pricing=Pricing(Shape(4, 10, 2, 2), Shape(100, 10, 2, 2, 300), 600),
    budget=None,
)
NO_GRADIENTS = {
    name: "it needs gradients"
    for name, declaration in catalogue().items()
    if declaration.capability == "Differentiable"
}


def taken(situation):
    return {choice.method for choice in choose(situation).methods if choice.taken}


def of(situation, method):
    (found,) = [choice for choice in choose(situation).methods if choice.method == method]
    return found


def test_every_method_of_the_catalogue_is_judged_once_and_with_a_reason():
    choices = choose(TABLE).methods
    assert [choice.method for choice in choices] == list(catalogue())
    assert all(choice.reason and not choice.reason.endswith(".") for choice in choices)


def test_each_question_brings_its_own_methods():
    assert taken(replace(TABLE, questions=("is_the_data_fit",))) == {
        "class_balance", "correlation", "drift", "duplicate_rows", "missing_values", "outliers",
    }  # fmt: skip
    assert taken(replace(TABLE, questions=("is_it_robust",))) == {"adversarial_robustness"}
    assert taken(replace(TABLE, questions=("which_inputs_matter",))) == {"shapley_values", "integrated_gradients"}
    assert taken(replace(TABLE, questions=("what_would_change_it",))) == {"occlusion", "counterfactuals"}
    assert taken(replace(TABLE, questions=("can_the_explanation_be_trusted",))) == {
        "correlation", "shapley_values", "integrated_gradients", "rank_correlation", "top_k_overlap", "deletion",
    }  # fmt: skip
    assert taken(replace(TABLE, questions=("is_it_fair",))) == set()
    assert taken(replace(TABLE, questions=("is_it_fair",), sensitive=True)) == {"sensitive_groups", "shapley_values"}


def test_with_no_question_everything_that_can_be_answered_is():
    answers = {answer.question: answer.methods for answer in choose(TABLE).answers}
    assert list(answers) == list(QUESTIONS)
    assert [question for question, methods in answers.items() if not methods] == ["is_it_fair"]


def test_saliency_is_for_developers_alone():
    asked = replace(TABLE, questions=("which_inputs_matter",))
    assert "saliency" in taken(replace(asked, audience=("regulator", "developer")))
    regulator = of(replace(asked, audience=("regulator",)), "saliency")
    assert not regulator.taken
    assert regulator.reason == "its rule is for developer, and the strategy says regulator"


@pytest.mark.parametrize("stakes", [{"audience": ("regulator",)}, {"audience": ("validator",)}, {"risk": "high"}])
def test_whoever_answers_for_the_model_gets_complete_values_and_more_checks(stakes):
    asked = replace(TABLE, questions=("can_the_explanation_be_trusted",), **stakes)
    assert {"completeness_gap", "insertion", "sign_agreement"} <= taken(asked)
    assert of(asked, "integrated_gradients").params == {"steps": 128}


def test_at_minimal_risk_fewer_samples_are_drawn():
    assert of(TABLE, "shapley_values").params == {}
    assert of(replace(TABLE, risk="minimal"), "shapley_values").params == {"samples": 512}


def test_a_black_box_alone_gets_a_second_opinion_of_its_own_kind():
    asked = replace(TABLE, questions=("can_the_explanation_be_trusted",))
    assert "occlusion" not in taken(asked)
    alone = replace(asked, gradients=False, impossible=NO_GRADIENTS)
    assert {"shapley_values", "occlusion", "rank_correlation"} <= taken(alone)
    assert "integrated_gradients" not in taken(alone)


def test_drift_is_measured_by_what_settles_something_on_so_many_rows():
    assert of(replace(TABLE, rows=500), "drift").params == {}
    assert of(replace(TABLE, rows=499), "drift").params == {"statistic": "ks"}
    assert of(replace(TABLE, rows=100), "drift").params == {"statistic": "ks"}
    assert "too few rows" in of(replace(TABLE, rows=99), "drift").reason


def test_expectations_ask_what_matters_wherever_explanations_are_chosen():
    asked = replace(TABLE, questions=("is_the_data_fit",), expectations=True)
    assert {"shapley_values", "integrated_gradients"} <= taken(asked)
    assert "shapley_values" not in taken(replace(asked, auto={"precaution": Auto()}))


def test_a_written_comparison_asks_for_something_to_compare():
    alone = replace(TABLE, questions=("which_inputs_matter",), gradients=False, impossible=NO_GRADIENTS)
    alone = replace(alone, auto={"perturbation": Auto(5)})
    assert taken(alone) == {"shapley_values"}
    compared = replace(alone, named=(Named("agreement", "rank_correlation", "rank_correlation", {}, 9),))
    assert taken(compared) == {"shapley_values", "occlusion", "rank_correlation"}


def test_what_the_author_wrote_is_kept_and_not_done_twice():
    named = (
        Named("perturbation", "mine", "kernel_shap", {"samples": 64}, 12),
        Named("gradient", "integrated_gradients", "integrated_gradients", {}, 14),
        Named("gradient", "finer", "integrated_gradients", {"steps": 256}, 15),
    )
    situation = replace(TABLE, named=named)
    assert of(situation, "kernel_shap").taken
    assert of(situation, "kernel_shap").reason == "the spec asks for it in line 12"
    assert of(situation, "integrated_gradients").reason == "the spec asks for it in lines 14 and 15"
    assert of(situation, "shapley_values").reason == "`kernel_shap` in line 12 computes it already"
    chosen = {choice.method for choice in choose(situation).chosen}
    assert not chosen & {"kernel_shap", "integrated_gradients", "shapley_values"}
    answers = {answer.question: answer.methods for answer in choose(situation).answers}
    assert set(answers["which_inputs_matter"]) == {"kernel_shap", "integrated_gradients"}


def test_a_step_whose_name_is_taken_gets_another():
    named = (Named("precaution", "outliers", "drift", {}, 9),)
    assert of(replace(TABLE, named=named), "outliers").step == "outliers_auto"


def test_the_author_may_exclude_restrict_and_set_parameters():
    perturbation = Auto(
        7, without=frozenset({"occlusion", "counterfactuals"}), params={"shapley_values": {"samples": 64}}
    )
    gradient = Auto(8, only=frozenset({"saliency"}))
    situation = replace(TABLE, auto={"perturbation": perturbation, "gradient": gradient})
    assert of(situation, "occlusion").reason == "`without` of line 7 excludes it"
    assert of(situation, "shapley_values").params == {"samples": 64}
    assert of(situation, "kernel_shap").reason.startswith("`shapley_values` stands for it")
    excluded = replace(situation, auto={"perturbation": Auto(7, without=frozenset({"shapley_values"}))})
    assert of(excluded, "kernel_shap").reason == "no rule asks for it"
    assert of(situation, "integrated_gradients").reason == "`only` of line 8 does not list it"
    assert taken(situation) == {"shapley_values"}  # `only` forces nothing: saliency has its rule, for developers


def test_parameters_that_the_author_sets_are_not_scaled_down():
    auto = {"gradient": Auto(8, params={"integrated_gradients": {"steps": 4096}})}
    situation = replace(TABLE, auto=auto, budget=10_000)
    # 4 rows x 2 references x 4096 steps; and 4 rows and 2 references for base values
    assert of(situation, "integrated_gradients").reason == (
        "it would take 32,774 model rows, and 9,400 of the budget are left"
    )


@pytest.mark.parametrize("budget", [600, 700, 1_000, 1_500, 3_000, 6_000, 12_000, 25_000, 100_000])
def test_the_budget_is_never_passed(budget):
    choices = choose(replace(TABLE, budget=budget, audience=("developer", "regulator")))
    assert 600 <= choices.estimate <= budget
    free = {"class_balance", "drift", "duplicate_rows", "missing_values", "outliers", "correlation"}
    assert free <= {choice.method for choice in choices.chosen}


def test_a_larger_budget_buys_more_samples():
    wide = replace(TABLE, pricing=Pricing(Shape(4, 40, 2, 2), TABLE.pricing.checked, 600))

    def samples(budget):
        choice = of(replace(wide, budget=budget, questions=("which_inputs_matter",)), "shapley_values")
        return choice.params.get("samples", "auto") if choice.taken else None

    asked = [samples(budget) for budget in (601, 3_000, 6_000, 12_000, 40_000)]
    assert asked[0] is None
    assert [one for one in asked if one is not None] == [128, 512, 1024, "auto"]


def test_where_not_all_fits_the_cheapest_of_a_priority_comes_first():
    asked = replace(TABLE, questions=("which_inputs_matter", "what_would_change_it"))
    # 600 predictions; integrated gradients 4 x 2 x 16 + 6 = 134; occlusion 4 x (10 x 2 + 1) + 6 = 90
    asked = replace(asked, modality="image")  # counterfactuals are of tables
    assert taken(replace(asked, budget=600 + 133)) == {"occlusion"}
    assert taken(replace(asked, budget=600 + 90 + 134)) == {"occlusion", "integrated_gradients"}
    assert taken(replace(asked, budget=600 + 89)) == set()


def test_agreement_waits_for_two_explanations_and_faithfulness_for_one():
    asked = replace(TABLE, questions=("can_the_explanation_be_trusted",))
    without = {"perturbation": Auto(3, without=frozenset({"shapley_values"}))}
    one = replace(asked, auto={**EVERYWHERE, **without})
    assert (
        of(one, "rank_correlation").reason
        == "it needs two explanations of the same rows and features, and the audit makes one"
    )
    assert of(one, "deletion").taken
    none = replace(asked, auto={"faithfulness": Auto(), "agreement": Auto()})
    assert of(none, "deletion").reason == "it needs an explanation, and the audit makes none"


def test_a_method_that_no_rule_names_is_taken_by_its_declaration_or_refused(monkeypatch):
    unnamed = {"outliers", "saliency"}
    monkeypatch.setattr(chooser, "RULES", tuple(rule for rule in RULES if rule.method not in unnamed))
    situation = replace(TABLE, audience=("developer",))
    assert of(situation, "outliers").taken
    assert "costs no model rows" in of(situation, "outliers").reason
    assert of(situation, "saliency").reason == "no rule asks for it"


def test_a_stage_without_auto_keeps_to_its_steps():
    situation = replace(TABLE, auto={"precaution": Auto(4)})
    assert of(situation, "occlusion").reason == (
        "no step asks for it, and there is no `use: auto` under `explain.perturbation`"
    )
    (answer,) = [a for a in choose(situation).answers if a.question == "which_inputs_matter"]
    assert answer.methods == ()
    assert answer.mend == "write `use: auto` under `explain.perturbation` or `explain.gradient`"
