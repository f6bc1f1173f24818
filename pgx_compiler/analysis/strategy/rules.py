"""The rules by which the strategy chooses: question × conditions → method, with priority, reason and source.

Data alone: `choose` reads them, `docs/strategy.md` is written from them. A method that no rule names is still found
by `BY_DECLARATION`, or refused.
"""

from collections.abc import Mapping

from pgx_compiler.analysis.strategy.rule import Asked, ByDeclaration, Rule, When
from pgx_compiler.analysis.strategy.statement_rules import STATEMENT_RULES
from pgx_compiler.methods.declaration import PICTURED
from pgx_compiler.methods.precaution._thresholds import threshold
from pgx_compiler.spec.model import Question

QUESTIONS: Mapping[Question, Asked] = {
    "which_inputs_matter": Asked(
        "What does the model rest on, row by row?",
        ("perturbation", "gradient"),
        mend="give `model.onnx` or `model.keras`, whose predictions or gradients can be asked for",
    ),
    "what_would_change_it": Asked(
        "What would have to be otherwise for another answer?",
        ("perturbation",),
        open="of tables: the smallest change to another answer; of pictures, volumes, texts and series what happens when a "
        "part of them is removed, since no other values of a part are known to make sense",
        mend="give a model whose predictions can be asked for",
    ),
    "is_the_data_fit": Asked(
        "Can the data carry what is concluded from it?",
        ("precaution",),
        mend="name the labels (`data.train.target`) and unseen rows (`data.test`)",
    ),
    "is_it_robust": Asked(
        "Do small changes of the input overturn the answer?",
        ("precaution",),
        open="against small changes chosen to harm; not against other data (that is `is_the_data_fit`: drift)",
        mend="give `model.keras`, since the attack follows gradients, and the labels (`data.train.target`)",
    ),
    "can_the_explanation_be_trusted": Asked(
        "Do the explanations agree, and are they true of the model?",
        ("agreement", "faithfulness"),
        mend="leave room for at least one explanation: `use: auto` under `explain`, or a step of your own",
    ),
    "is_it_fair": Asked(
        "Are groups of people treated alike?",
        ("precaution",),
        open="of the labels of the data and of proxies, and how far the explanations rest on what is declared sensitive; "
        "not of the model's errors group by group",
        mend="declare who is protected: `data.features: {NAME: {role: sensitive}}`",
    ),
}
"""Every question of the language, and what it takes to answer it."""

_DATA: tuple[Question, ...] = ("is_the_data_fit",)
_TRUST: tuple[Question, ...] = ("can_the_explanation_be_trusted",)
_MATTERS: tuple[Question, ...] = ("which_inputs_matter", "can_the_explanation_be_trusted")
_ACT_10 = "Regulation (EU) 2024/1689, Art. 10"
_ACCOUNTABLE = ("regulator", "validator", "high risk")

RULES: tuple[Rule, ...] = (
    # ------------------------------------------------------------------------------------------------ precaution
    Rule(
        "class_balance",
        "precaution",
        _DATA,
        "a model can be right on most rows and useless on the rare class",
        "He & Garcia 2009, https://doi.org/10.1109/TKDE.2008.239",
    ),
    Rule(
        "duplicate_rows",
        "precaution",
        _DATA,
        "test rows that also stand in the training data make the test score too good",
        "Kapoor & Narayanan 2023, https://doi.org/10.1016/j.patter.2023.100804",
    ),
    Rule(
        "missing_values",
        "precaution",
        _DATA,
        "gaps that carry information are distorted by filling them",
        "Rubin 1976, https://doi.org/10.1093/biomet/63.3.581",
    ),
    Rule(
        "drift",
        "precaution",
        _DATA,
        "too few rows settle nothing about drift, by any statistic",
        "own measurement, pgx_compiler/methods/precaution/_thresholds.py",
        When(rows_below=int(threshold("drift.ks.min_rows"))),
        refuses=True,
    ),
    Rule(
        "drift",
        "precaution",
        _DATA,
        "what is measured on the test rows holds only for data like them; of the statistics this one needs the fewest rows",
        f"{_ACT_10}(3): data must be representative",
        When(rows_below=int(threshold("drift.psi.min_rows"))),
        params=({"statistic": "ks"},),
    ),
    Rule(
        "drift",
        "precaution",
        _DATA,
        "what is measured on the test rows holds only for data like them",
        f"{_ACT_10}(3): data must be representative",
    ),
    Rule(
        "outliers",
        "precaution",
        _DATA,
        "a broken sensor or another unit is found before it is explained",
        f"{_ACT_10}(3): data must be free of errors as far as possible",
        priority=2,
    ),
    Rule(
        "correlation",
        "precaution",
        ("is_the_data_fit", "can_the_explanation_be_trusted"),
        "correlated features share their importance at will, and removing one alone makes rows that never occur",
        "Hooker, Mentch & Zhou 2021, https://doi.org/10.1007/s11222-021-10057-z",
        priority=2,
    ),
    Rule(
        "sensitive_groups",
        "precaution",
        ("is_it_fair",),
        "labels that differ between groups, and variables that give a group away, are what a model learns unfairness from",
        f"{_ACT_10}(2)(f); 29 CFR 1607.4(D), the four-fifths rule",
        When(sensitive=True),
    ),
    Rule(
        "adversarial_robustness",
        "precaution",
        ("is_it_robust",),
        "the loss of accuracy under the worst small change is the strictest answer that a gradient gives",
        "Goodfellow, Shlens & Szegedy 2014, https://arxiv.org/abs/1412.6572; Regulation (EU) 2024/1689, Art. 15(5)",
        params=(
            {"unit": "spread", "rows": 200},
            {"unit": "spread", "rows": 50},
            {"unit": "spread", "rows": 20, "steps": 5},
        ),
    ),
    # ---------------------------------------------------------------------------------------------- perturbation
    Rule(
        "shapley_values",
        "perturbation",
        _MATTERS,
        "it accounts for the whole score and is exact where the model admits it; at low stakes fewer samples will do",
        "Lundberg & Lee 2017, https://arxiv.org/abs/1705.07874",
        When(stakes=("minimal risk",)),
        params=({"samples": 512}, {"samples": 128}),
    ),
    Rule(
        "shapley_values",
        "perturbation",
        _MATTERS,
        "its values account for the whole score, and the compiler computes them exactly where the model admits it",
        "Lundberg & Lee 2017, https://arxiv.org/abs/1705.07874",
        params=({}, {"samples": 1024}, {"samples": 512}, {"samples": 128}),
    ),
    Rule(
        "shapley_values",
        "perturbation",
        ("is_it_fair",),
        "only an explanation that accounts for the whole score shows how much of it rests on a sensitive feature",
        "Lundberg & Lee 2017, https://arxiv.org/abs/1705.07874",
        When(sensitive=True),
        priority=2,
        params=({}, {"samples": 1024}, {"samples": 512}, {"samples": 128}),
    ),
    Rule(
        "occlusion",
        "perturbation",
        ("what_would_change_it",),
        "it says how far the score falls when one feature is gone, in the score's own unit",
        "Zeiler & Fergus 2013, https://arxiv.org/abs/1311.2901",
    ),
    Rule(
        "occlusion",
        "perturbation",
        _TRUST,
        "without gradients a second black-box method is the only other opinion to be had, and this is the cheapest",
        "Krishna et al. 2022, https://arxiv.org/abs/2202.01602",
        When(black_box_only=True),
    ),
    *STATEMENT_RULES,
    # -------------------------------------------------------------------------------------------------- gradient
    Rule(
        "integrated_gradients",
        "gradient",
        _MATTERS,
        "it is complete like Shapley values, from the other direction; fine steps keep the gap small that is answered for",
        "Sundararajan, Taly & Yan 2017, https://arxiv.org/abs/1703.01365",
        When(stakes=_ACCOUNTABLE),
        params=({"steps": 128}, {"steps": 64}, {"steps": 32}, {"steps": 16}),
    ),
    Rule(
        "integrated_gradients",
        "gradient",
        _MATTERS,
        "it is complete like Shapley values, from the other direction",
        "Sundararajan, Taly & Yan 2017, https://arxiv.org/abs/1703.01365",
        params=({"steps": 64}, {"steps": 32}, {"steps": 16}),
    ),
    Rule(
        "saliency",
        "gradient",
        ("which_inputs_matter",),
        "it shows a developer for one gradient a row where the score is sensitive",
        "Simonyan, Vedaldi & Zisserman 2013, https://arxiv.org/abs/1312.6034",
        When(stakes=("developer",)),
        priority=3,
    ),
    Rule(
        "smoothgrad",
        "gradient",
        ("which_inputs_matter",),
        "it shows a developer which of the speckles of a saliency map are noise",
        "Smilkov et al. 2017, https://arxiv.org/abs/1706.03825",
        When(stakes=("developer",), modalities=tuple(sorted(PICTURED))),
        priority=3,
        params=({}, {"samples": 20}),
    ),
    Rule(
        "gradient_x_input",
        "gradient",
        ("which_inputs_matter",),
        "it compares with zero and not with the references of the audit; integrated gradients do",
        "Sundararajan, Taly & Yan 2017, https://arxiv.org/abs/1703.01365",
        refuses=True,
    ),
    # ------------------------------------------------------------------------------------------------- agreement
    Rule(
        "rank_correlation",
        "agreement",
        _TRUST,
        "two directions that rank the features differently cannot both be read as reasons",
        "Krishna et al. 2022, https://arxiv.org/abs/2202.01602",
    ),
    Rule(
        "top_k_overlap",
        "agreement",
        _TRUST,
        "people read the top of a list, so the top must agree",
        "Krishna et al. 2022, https://arxiv.org/abs/2202.01602",
    ),
    Rule(
        "sign_agreement",
        "agreement",
        _TRUST,
        "a reason given to somebody has a direction, and it must not depend on the method",
        "Krishna et al. 2022, https://arxiv.org/abs/2202.01602",
        When(stakes=(*_ACCOUNTABLE, "affected_person")),
        priority=2,
    ),
    # ---------------------------------------------------------------------------------------------- faithfulness
    Rule(
        "deletion",
        "faithfulness",
        _TRUST,
        "methods can agree and be wrong together, so the model itself is asked, against random orders",
        "Petsiuk, Das & Saenko 2018, https://arxiv.org/abs/1806.07421",
        params=({}, {"steps": 16, "random_orders": 5}, {"steps": 8, "random_orders": 3}),
    ),
    Rule(
        "completeness_gap",
        "faithfulness",
        _TRUST,
        "values that are handed out as shares of a score must add up to it",
        "Sundararajan, Taly & Yan 2017, https://arxiv.org/abs/1703.01365",
        When(stakes=_ACCOUNTABLE),
        priority=2,
    ),
    Rule(
        "insertion",
        "faithfulness",
        _TRUST,
        "deletion alone rewards what is necessary; insertion asks whether what is named is also enough",
        "Petsiuk, Das & Saenko 2018, https://arxiv.org/abs/1806.07421",
        When(stakes=_ACCOUNTABLE),
        priority=3,
        params=({}, {"steps": 16, "random_orders": 5}, {"steps": 8, "random_orders": 3}),
    ),
)
"""In order: of two rules of one method the first that holds sets its parameters, and of two methods of one priority the
first gets its part of the budget first."""


BY_DECLARATION: tuple[ByDeclaration, ...] = (
    ByDeclaration(
        "precaution",
        _DATA,
        "a method of precaution that asks no model",
        "it looks at the data alone, and so costs no model rows",
        asks_model=False,
    ),
)
"""What is taken without a line of its own above."""
