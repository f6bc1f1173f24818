"""The published list of finding codes: stable words that specs accept and programs read. Its only place.

Methods, the tuning and the report raise these and no others; `accept[].code` is held against them.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class FindingCode:
    """One word of the list."""

    stage: str
    """``data``, ``model``, ``explanation``, ``reliance`` or ``tuning``."""
    meaning: str
    """What it says when it holds, in a sentence."""
    reserved: bool = False
    """Nothing raises it yet: the word is kept for one meaning."""


_RESERVED = frozenset(
    {
        "concept_drift",
        "domain_drift",
        "explanation_unstable",
        "feature_leakage",
        "label_noise",
        "miscalibrated",
        "off_manifold_behaviour",
        "reliance_on_leak",
        "reliance_on_noise",
        "unforecastable",
    }
)


def _of(stage: str, **meanings: str) -> dict[str, FindingCode]:
    return {code: FindingCode(stage, meaning, code in _RESERVED) for code, meaning in meanings.items()}


FINDING_CODES: Mapping[str, FindingCode] = {
    **_of(
        "data",
        small_sample="There are too few rows, of a class or at all, for what is learned or judged from them.",
        class_imbalance="One class has many times the rows of another.",
        missing_values="Values or labels are missing, more than a little or more in one split than in the other.",
        missing_not_at_random="Whether a value is missing hangs together with the label.",
        duplicate_rows="Training rows repeat one another.",
        conflicting_labels="Equal rows have different labels, so that no model can be right on all of them.",
        split_leakage="Test rows are among the training rows.",
        feature_leakage="A feature gives the label away.",
        outliers="Values lie far from all others of their variable.",
        label_noise="Labels contradict what rows like theirs say.",
        correlated_features="Features say the same, so that attribution is shared out between them arbitrarily.",
        sensitive_proxy="A sensitive attribute can be told from other features.",
        group_disparity="Groups of a sensitive attribute have the label at clearly different rates.",
        feature_drift="A variable is distributed otherwise in the test data than in the training data.",
        label_drift="The label is distributed otherwise in the test data than in the training data.",
        concept_drift="The same features mean another label in the test data than in the training data.",
        domain_drift="The test rows come from another domain than the training rows.",
        unforecastable="The series cannot be told from noise.",
    ),
    **_of(
        "model",
        model_parity_broken="The white box and the black box are not the same model.",
        nondeterministic_model="The model answers the same row differently from one time to the next.",
        underfitting="The model is not clearly better than always saying the commonest class.",
        overfitting="The model does worse on unseen rows than on those it learned from.",
        miscalibrated="The model's probabilities are not how often it is right.",
        adversarial_weakness="Small changes of the input, made on purpose, change the answer.",
    ),
    **_of(
        "explanation",
        directions_disagree="Perturbation and gradient say different things of the same rows.",
        explanation_unstable="The explanation changes with the seed, or with changes of the row that change nothing.",
        explanation_unfaithful="Removing what the explanation calls important changes little.",
        explanation_ignores_model="The explanation does not react to the model.",
        gradient_dead="The gradient is zero, so that the method says nothing about some rows.",
        surrogate_unfaithful="The surrogate does not follow the model where it stands in for it.",
        off_manifold_behaviour="The explanation rests on rows that cannot occur.",
        not_converged="The explanation needs more steps or samples.",
    ),
    **_of(
        "reliance",
        reliance_on_sensitive="The model leans on a sensitive feature.",
        reliance_on_leak="The model leans on a feature that gives the label away.",
        reliance_on_noise="The model leans on a feature that carries nothing.",
        reliance_on_drifted="The model leans on features whose distribution has changed.",
        expectation_violated="The model contradicts what people who know the domain expect.",
    ),
    **_of(
        "tuning",
        search_not_converged="The search still found better settings in its last trials.",
        constraint_unmet="No candidate meets the constraints on its explanation.",
        explanation_degraded="The best candidate explains itself worse than the audited model.",
    ),
}
"""Code to its stage and meaning."""
