"""The facts that are promised at compile time are those that a run makes."""

import re
from pathlib import Path

import pytest
from tests_project import SMALL_TREES, make_project, write_spec

from pgx_compiler import driver
from pgx_compiler.analysis.checked import check
from pgx_compiler.analysis.checks import gates
from pgx_compiler.analysis.facts_made import FactName, facts_made

ROOT = Path(__file__).parents[2]


def promised(path: Path, monkeypatch: pytest.MonkeyPatch) -> list[FactName]:
    """What the check of a spec's gates goes by."""
    seen: list[list[FactName]] = []

    def noted(context):
        seen.append(facts_made(context))
        return seen[-1]

    with monkeypatch.context() as patch:
        patch.setattr(gates, "facts_made", noted)
        checked = check(path)
    assert checked.audit is not None, [item.message for item in checked.diagnostics]
    return seen[0]


def matching(fact: str, names: list[FactName]) -> list[str]:
    return [name.shown for name in names if name.covers(fact)]


def test_names_with_open_parts_match_what_only_the_data_can_say(monkeypatch: pytest.MonkeyPatch) -> None:
    names = promised(ROOT / "specs" / "digits.yaml", monkeypatch)
    assert matching("precaution.drift.psi_brightness", names) == ["precaution.drift.psi_VARIABLE"]
    assert matching("precaution.drift.ks_brightness", names) == []
    assert matching("precaution.drift.drift_max", names) == ["precaution.drift.drift_max"]
    assert matching("precaution.drift.drift_max.more", names) == []
    assert [name.shown for name in names if name.certain and re.search("[A-Z]", name.shown)] == []


def test_each_is_promised_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for spec in ("digits", "german-credit", "german-credit-trees"):
        shown = [name.shown for name in promised(ROOT / "specs" / f"{spec}.yaml", monkeypatch)]
        assert len(shown) == len(set(shown)) > 20


@pytest.mark.frameworks
def test_a_run_makes_every_fact_that_is_promised_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = make_project(tmp_path)
    methods = ["class_balance", "correlation", "duplicate_rows", "missing_values", "outliers", "sensitive_groups"]
    changes = {
        **SMALL_TREES,
        "precaution": [*({"use": name} for name in methods), {"use": "drift", "with": {"statistic": "ks"}}],
        "strategy.expectations": [{"feature": "age", "effect": "decreases"}, {"feature": "job", "effect": "matters"}],
    }
    spec = write_spec(project, "german-credit-trees", changes)
    names = promised(spec, monkeypatch)
    made = {fact.id for fact in driver.run(spec, tmp_path / "run", engine="inline").factsheet.facts}
    compared = re.compile(r"(agreement|faithfulness)\..*")  # whose gates name the steps apart from the fact
    unforeseen = {fact for fact in made if not compared.fullmatch(fact) and not matching(fact, names)}
    assert unforeseen - {fact for fact in made if ".drifted_share." in fact} == set()
    # a request is computed by one of several algorithms: what only the others measure is promised as well
    open_ = {"explain.shapley_values.standard_error"}
    assert {name.shown for name in names if name.certain and not compared.fullmatch(name.shown)} - made - open_ == set()


@pytest.mark.frameworks
def test_features_named_together_are_promised_in_the_order_in_which_a_run_names_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {"rows": 8, "pair_features": 3}
    changes = {
        **SMALL_TREES,
        "explain.perturbation": [
            {"use": "friedman_h", "with": small},
            {"use": "functional_decomposition", "with": {**small, "order": 3, "triple_features": 3, "drawn": 0}},
            {"use": "tree_shap_interactions", "with": {"pair_features": 3}},
        ],
        "agreement": [],
        "faithfulness": [],
        "strategy.expectations": [],
        "gates": [{"fact": "explain.friedman_h.interaction_strength", "max": 1}],
    }
    spec = write_spec(make_project(tmp_path), "german-credit-trees", changes)
    families = [name for name in promised(spec, monkeypatch) if name.members and "_and_" in name.members[0]]
    made = {fact.id for fact in driver.run(spec, tmp_path / "run", engine="inline").factsheet.facts}
    together = {fact for fact in made if "_and_" in fact}
    # three pairs by each of three methods, and the three of them together by one
    assert len(together) == 3 * 3 + 1
    assert together <= {member for family in families for member in family.members}
    # 20 features: 20 · 19 / 2 pairs, 20 · 19 · 18 / 6 triples
    assert {len(family.members) for family in families} == {190, 1140}
