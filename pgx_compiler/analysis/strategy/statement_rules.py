"""The rules for methods that state something of rows or of the whole model; see `rules`."""

from pgx_compiler.analysis.strategy.rule import Rule, When
from pgx_compiler.methods.declaration import PLACED
from pgx_compiler.spec.model import Question

_ACCOUNTABLE = ("regulator", "validator", "high risk")
_MATTERS: tuple[Question, ...] = ("which_inputs_matter",)
_CHANGES: tuple[Question, ...] = ("what_would_change_it",)
_TABLE = ("tabular",)
_PLACED = tuple(sorted(PLACED))

STATEMENT_RULES: tuple[Rule, ...] = (
    Rule(
        "counterfactuals",
        "perturbation",
        _CHANGES,
        "it names changes that would give another answer, several of them, and leaves alone what nobody can change",
        "Wachter, Mittelstadt & Russell 2018, https://arxiv.org/abs/1711.00399",
        When(modalities=_TABLE),
    ),
    Rule(
        "nearest_counterfactual",
        "perturbation",
        ("what_would_change_it", "is_it_robust"),
        "it says how near each row lies to another answer",
        "Laugel et al. 2018, https://arxiv.org/abs/1712.08443",
        When(stakes=(*_ACCOUNTABLE, "affected_person"), modalities=_TABLE),
        priority=2,
    ),
    Rule(
        "individual_conditional_expectation",
        "perturbation",
        _CHANGES,
        "it shows a developer how a row's score would move with each feature",
        "Goldstein et al. 2015, https://arxiv.org/abs/1309.6392",
        When(stakes=("developer", "domain_expert"), modalities=_TABLE),
        priority=3,
    ),
    Rule(
        "permutation_importance",
        "perturbation",
        _MATTERS,
        "it says what each feature is worth to the model's accuracy, over all rows and not only those explained",
        "Fisher, Rudin & Dominici 2019, https://arxiv.org/abs/1801.01489",
        When(stakes=(*_ACCOUNTABLE, "business"), modalities=_TABLE),
        priority=2,
    ),
    Rule(
        "accumulated_local_effects",
        "perturbation",
        ("which_inputs_matter", "what_would_change_it"),
        "it shows the direction and shape of each feature's effect, and does not leave the data where features are correlated",
        "Apley & Zhu 2020, https://arxiv.org/abs/1612.08468",
        When(stakes=(*_ACCOUNTABLE, "domain_expert", "developer"), modalities=_TABLE),
        priority=2,
    ),
    Rule(
        "partial_dependence",
        "perturbation",
        _MATTERS,
        "of correlated features it averages over rows that never occur; accumulated local effects do not",
        "Apley & Zhu 2020, https://arxiv.org/abs/1612.08468",
        When(modalities=_TABLE),
        refuses=True,
    ),
    Rule(
        "surrogate_tree",
        "perturbation",
        _MATTERS,
        "it puts into a few rules what the model does, with the share that they miss",
        "Craven & Shavlik 1996, https://papers.nips.cc/paper/1152",
        When(stakes=("business", "domain_expert", "regulator"), modalities=_TABLE),
        priority=2,
    ),
    Rule(
        "mmd_critic",
        "perturbation",
        _MATTERS,
        "people judge a class by examples of it, and by those that do not fit",
        "Kim, Khanna & Koyejo 2016, https://papers.nips.cc/paper/6300",
        When(stakes=("domain_expert",)),
        priority=3,
    ),
    Rule(
        "necessary_features",
        "perturbation",
        _CHANGES,
        "it names the fewest parts of a row without which the answer falls",
        "Dhurandhar et al. 2018, https://arxiv.org/abs/1802.07623",
        When(modalities=_PLACED),
        priority=2,
    ),
    Rule(
        "sufficient_features",
        "perturbation",
        _CHANGES,
        "it names the fewest parts of a row that are enough for the answer",
        "Dhurandhar et al. 2018, https://arxiv.org/abs/1802.07623",
        When(stakes=(*_ACCOUNTABLE, "affected_person"), modalities=_PLACED),
        priority=3,
    ),
    Rule(
        "friedman_h",
        "perturbation",
        _MATTERS,
        "a list of single features misleads where they act together, and this says how much they do",
        "Friedman & Popescu 2008, https://arxiv.org/abs/0811.1679",
        When(stakes=("validator",), modalities=_TABLE),
        priority=3,
    ),
    Rule(
        "lime",
        "perturbation",
        _MATTERS,
        "its values do not add up to the score; Shapley values for the same model rows do",
        "Lundberg & Lee 2017, https://arxiv.org/abs/1705.07874",
        refuses=True,
    ),
    Rule(
        "rise",
        "perturbation",
        _MATTERS,
        "its values do not add up to the score; Shapley values for the same model rows do",
        "Lundberg & Lee 2017, https://arxiv.org/abs/1705.07874",
        refuses=True,
    ),
)
