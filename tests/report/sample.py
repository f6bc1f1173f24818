"""A whole factsheet of synthetic numbers, the same every time: what the pages are tested on."""

from typing import Any

import numpy as np

from pgx_compiler.report.factsheet import (
    AgreementEntry,
    AuditEntry,
    CheckEntry,
    Example,
    ExampleValues,
    ExpectationEntry,
    Explanation,
    Fact,
    Factsheet,
    FaithfulnessEntry,
    FindingEntry,
    GateEntry,
    NodeEntry,
    Provenance,
    Source,
    Trial,
    TuningEntry,
    Verdict,
)
from pgx_compiler.report.statement_entries import ChartEntry, CurveEntry, StatedRow, StatementEntry
from pgx_compiler.report.table_entry import TableEntry

FORM = ("checking_status", "duration_months", "credit_amount", "purpose", "savings_status", "age", "housing", "job",
        "telephone", "foreign_worker", "credit_history", "employment_since", "installment_rate", "property_magnitude",
        "other_parties", "existing_credits", "residence_since", "num_dependents")  # fmt: skip
METHODS = (
    ("kernel_shap", "Kernel SHAP", "perturbation", "logit", 0.012),
    ("occlusion", "Occlusion", "perturbation", "logit", None),
    ("saliency", "Saliency", "gradient", "logit per unit of input", None),
    ("integrated_gradients", "Integrated gradients", "gradient", "logit", None),
)
DIGEST = "9f2c" * 16


def fact(id: str, title: str, value: Any, **more: Any) -> Fact:
    """A measured fact unless told otherwise."""
    step = id.split(".")[1]
    source = Source(step=step, spec_path=f"{id.split('.')[0]}[0]", line=40)
    return Fact(
        id=id, title=title, value=value, **{"status": "measured", "source": source, "evidence": [DIGEST]} | more
    )


def explanation(
    rng: np.random.Generator, step: str, title: str, direction: str, unit: str, error: float | None, names: list[str]
) -> Explanation:
    """One method's card with an importance that falls from the first feature to the last."""
    mean = np.sort(rng.gamma(1.2, 0.4, len(names)))[::-1] * rng.uniform(0.8, 1.2, len(names))
    return Explanation(
        step=step, method=step, title=title, computed_by=step, direction=direction, runtime="onnxruntime 1.32.0",
        target="the predicted class", unit=unit, signed=step != "saliency", parameters={"samples": 2048},
        feature_names=names, mean_absolute=mean.tolist(),
        mean_absolute_interval=[(0.85 * m, 1.2 * m) for m in mean.tolist()],
        mean_signed=(mean * rng.choice([-0.6, 0.5], len(names))).tolist(), mean_standard_error=error, rows=32,
        cost_planned={"forward": 65536}, cost_spent={"forward": 65120}, seconds=12.4,
        arrays=f"evidence/{step}/attributions.npz", digest=DIGEST, paper="https://arxiv.org/abs/1705.07874",
        summary="Values add up to the difference between the score and the reference.",
        reading="A positive value raised the score.", limits="Not a statement about causes in the world.",
    )  # fmt: skip


def example(rng: np.random.Generator, number: int, names: list[str], image: bool) -> Example:
    """One explained row; an image is a disc of ink."""
    values = rng.normal(0, 1, (len(METHODS), len(names)))
    side = 28
    down, across = np.mgrid[:side, :side] - side / 2
    disc = np.exp(-((np.hypot(down, across) - 6 - number % 3) ** 2) / 6)
    return Example(
        row_id=str(100 + number), target="7", predicted="7", label=["7", "1"][number % 4 == 3], score=8.3 - number / 3,
        base_value=-0.42, inputs=None if image else dict.fromkeys(names, "yes"),
        image=disc.round(3).tolist() if image else None,
        explanations=[
            ExampleValues(step=method[0], values=v.tolist()) for method, v in zip(METHODS, values, strict=True)
        ],
    )  # fmt: skip


def agreement(rng: np.random.Generator) -> list[AgreementEntry]:
    """Rank correlation of every pair, and Kernel SHAP with itself."""
    made = []
    steps = [(method[0], method[2]) for method in METHODS]
    pairs = [(a, b) for i, a in enumerate(steps) for b in steps[i + 1 :]] + [(steps[0], steps[0])]
    for (first, one), (second, other) in pairs:
        kind = "self" if first == second else "pair"
        values = np.clip(rng.normal(0.93 if kind == "self" else 0.6, 0.12, 32), -1, 1)
        median = float(np.median(values))
        made.append(AgreementEntry(
            step="rank_correlation", method="rank_correlation", title="Rank correlation", first=first, second=second,
            across=one != other, kind=kind, median=median, mean=float(values.mean()),
            interval=(median - 0.05, median + 0.04), minimum=float(values.min()), maximum=float(values.max()), n=32,
            chance=0.0, range=(-1.0, 1.0), better="higher", values=values.tolist(),
            reading="1 is the same order of features, 0 is what chance gives.", limits="Two methods may agree and err.",
        ))  # fmt: skip
    return made


def faithfulness() -> list[FaithfulnessEntry]:
    """A deletion curve for each method that ran, and one check that could not be made."""
    grid = [round(0.1 * i, 1) for i in range(11)]
    made = []
    for place, method in enumerate(METHODS[:3]):
        curve = [8.0 * float(np.exp(-(3 + place) * x)) - 1 for x in grid]
        made.append(FaithfulnessEntry(
            step="deletion", method="deletion", title="Deletion", of=method[0], median=1.9 - 0.3 * place,
            mean=1.8, interval=(1.5, 2.2), n=32, unit="logit", better="higher", share_better_than_chance=0.94,
            curve=curve, random_curve=[8.0 * (1 - x) - 1 for x in grid], grid=grid, values=[1.8] * 32,
            reading="The area between the curves; above zero is better than a random order.",
            limits="Removed features leave the data the model knows.",
        ))  # fmt: skip
    unknown = ("median", "mean", "interval", "curve", "random_curve", "grid", "share_better_than_chance")
    absent = {"of": "integrated_gradients", "values": [], "reason": "the budget was spent"}
    return [*made, made[0].model_copy(update=dict.fromkeys(unknown) | absent)]


def tuning(rng: np.random.Generator) -> TuningEntry:
    """Twelve trials, two of them without explanations."""
    trials = []
    for number in range(12):
        loss = 0.62 - 0.03 * number + float(rng.normal(0, 0.06))
        agrees = None if number in (4, 9) else float(np.clip(rng.normal(0.5, 0.12), 0, 1))
        feasible = agrees is not None and agrees >= 0.4
        trials.append(Trial(
            number=number,
            settings={"layers.conv1.filters": 8 * (1 + number % 4), "layers.dropout.rate": 0.05 * number,
                      "optimizer.learning_rate": 0.0003 * (number + 1), "fit.batch_size": 64},
            metrics={"validation.loss": loss, "agreement.rank_correlation": agrees},
            feasible=feasible, verdict="accept" if feasible else ("reject" if agrees is None else "re-think"),
            reasons=[] if feasible else ["agreement.rank_correlation below 0.4" if agrees else "training diverged"],
        ))  # fmt: skip
    return TuningEntry(
        search="hyperopt.tpe", objective="minimize validation.loss",
        space_declared={"layers.dropout.rate": {"uniform": [0.0, 0.6]}, "fit.batch_size": {"choice": [32, 64, 128]}},
        space_used={"layers.dropout.rate": {"uniform": [0.1, 0.6]}, "fit.batch_size": {"choice": [32, 64, 128]}},
        narrowing=[{"finding": "overfitting", "dimension": "layers.dropout.rate", "before": "0 to 0.6",
                    "after": "0.1 to 0.6", "reason": "the train loss is far below the validation loss"}],
        require={"agreement.rank_correlation": {"min": 0.4}}, trials=trials, baseline=0, best=11, pareto=[8, 10, 11],
        importance={"validation.loss": {"optimizer.learning_rate": 0.61, "layers.dropout.rate": 0.18,
                                        "fit.batch_size": None}},
        decision="Change the settings to those of trial 11: less loss, and the explanations agree as well as before.",
        limits="Twelve trials are few.",
    )  # fmt: skip


def facts() -> list[Fact]:
    """Facts of every status."""
    return [
        fact("model.parity.max_difference", "Largest difference between the Keras and the ONNX model", 3.8e-7,
             unit="logit", n=1000, better="lower"),
        fact("agreement.rank_correlation.kernel_shap~integrated_gradients.median",
             "Rank correlation, Kernel SHAP ~ Integrated gradients", 0.6124, n=32, interval=(0.551, 0.668),
             better="higher"),
        fact("faithfulness.deletion.integrated_gradients.median", "Deletion of Integrated gradients", 1.8421,
             unit="logit", n=32, interval=(1.402, 2.204)),
        fact("precaution.adversarial_robustness.accuracy_attacked", "Accuracy under attack (eps 0.1)", 0.318, n=500,
             interval=(0.279, 0.36)),
        fact("precaution.drift.psi_max", "Largest PSI between train and test", 0.0431, n=1000, subject="brightness"),
        fact("precaution.class_balance.smallest_share", "Share of the smallest class", 0.0887, n=4000, subject="5"),
        fact("precaution.outliers.share", "Share of outliers", None, status="not_measured", reason="too few rows"),
        fact("model.declared.intended_use", "Intended use", "Read postal codes", status="declared"),
    ]  # fmt: skip


def gates() -> list[GateEntry]:
    """One passed, one failed, one undecided."""
    return [
        GateEntry(gate="gates[0]", fact="model.parity.max_difference", title="Keras and ONNX are the same model",
                  value=3.8e-7, threshold="<= 1.0e-4", max=1e-4, status="passed"),
        GateEntry(gate="gates[1]", fact="agreement.rank_correlation.kernel_shap~integrated_gradients.median",
                  title="Rank correlation, Kernel SHAP ~ Integrated gradients", aggregate="median", value=0.6124,
                  interval=(0.551, 0.668), threshold=">= 0.5", min=0.5, status="passed"),
        GateEntry(gate="gates[2]", fact="precaution.adversarial_robustness.accuracy_attacked",
                  title="Accuracy under attack (eps 0.1)", value=0.318, interval=(0.279, 0.36), threshold=">= 0.5",
                  min=0.5, status="failed"),
        GateEntry(gate="gates[3]", fact="faithfulness.deletion.integrated_gradients.median", aggregate="median",
                  title="Deletion of Integrated gradients", value=None, threshold="> 0", min=0, bound="lower",
                  status="unknown", reason="the budget was spent"),
    ]  # fmt: skip


def precaution() -> list[CheckEntry]:
    """A check with findings and a table, one that found nothing, and one that failed."""
    words = {"summary": "Looks for changes between train and test.", "reading": "Above 0.25 is a large change.",
             "limits": "One variable at a time.", "paper": "Siddiqi 2006"}  # fmt: skip
    table = TableEntry(step="drift", title="PSI by variable", columns=["variable", "PSI", "p", "rows"], rows=[
        ["brightness", 0.0431, 0.21, 1000], ["contrast", 0.0102, 0.74, 1000], ["ink", 0.0077, None, 1000]])  # fmt: skip
    return [
        CheckEntry(step="class_balance", method="class_balance", title="Class balance", status="done",
                   facts=["precaution.class_balance.smallest_share"], findings=["f1"], **words),
        CheckEntry(step="drift", method="drift", title="Drift", status="done", facts=["precaution.drift.psi_max"],
                   findings=[], tables=[table], **words),
        CheckEntry(step="adversarial_robustness", method="adversarial_robustness", title="Adversarial robustness",
                   facts=["precaution.adversarial_robustness.accuracy_attacked"], findings=["f2"], status="done",
                   **words),
        CheckEntry(step="outliers", method="outliers", title="Outliers", status="failed",
                   reason="too few rows for a covariance", facts=["precaution.outliers.share"], findings=[], **words),
    ]  # fmt: skip


def findings() -> list[FindingEntry]:
    """Two of the data, one of the explanations, one accepted by the spec."""
    return [
        FindingEntry(id="f1", code="class_imbalance", stage="precaution", step="class_balance", severity="info",
                     verdict="unknown", title="Class 5 is rare", summary="8.9 % of the rows.", subject="5",
                     facts=["precaution.class_balance.smallest_share"], advice=["Weight the classes."]),
        FindingEntry(id="f2", code="adversarial_weakness", stage="precaution", step="adversarial_robustness",
                     severity="error", verdict="holds", title="Small changes turn most predictions",
                     summary="Accuracy falls from 0.96 to 0.318 under changes of at most 0.1.",
                     facts=["precaution.adversarial_robustness.accuracy_attacked"],
                     advice=["Train with attacked rows.", "Do not use where inputs can be tampered with."]),
        FindingEntry(id="f3", code="directions_disagree", stage="agreement", step="rank_correlation",
                     severity="warning", verdict="accepted", title="Saliency disagrees with Occlusion",
                     summary="The median is near chance.", reason="saliency is not signed", until="2026-12-31"),
    ]  # fmt: skip


def provenance() -> Provenance:
    """Nodes of every status."""
    statuses = ("done", "done", "failed", "blocked")
    nodes = [NodeEntry(id=f"explain/{m[0]}", op="attribution", runtime="onnxruntime", key=DIGEST, content=DIGEST,
                       status=status, cost_spent={"forward": 65120}, seconds=12.4,
                       reason="the worker ran out of memory" if status == "failed" else None)
             for m, status in zip(METHODS, statuses, strict=True)]  # fmt: skip
    return Provenance(models=[{"name": "keras", "path": "models/digits.keras", "bytes": 181_230, "sha256": DIGEST}],
                      data=[{"name": "train", "path": "data/train.npz", "rows": 4000, "sha256": DIGEST}],
                      versions={"python": "3.11.2", "onnxruntime": "1.32.0", "tensorflow": "2.21.0"}, seed=7,
                      host={"system": "Linux", "cores": 2}, nodes=nodes,
                      overrides=["explain.rows.sample=32"])  # fmt: skip


def statements(rng: np.random.Generator) -> list[StatementEntry]:
    """One step about the model with every kind of chart, and one about rows, of which one has nothing said."""
    x = np.linspace(4, 72, 20)
    classes = [CurveEntry(name=name, x=x.tolist(), y=(s * np.sin(x / 20)).tolist(), low=(s * np.sin(x / 20) - 0.1).tolist(),
                          high=(s * np.sin(x / 20) + 0.1).tolist()) for name, s in (("good", -0.4), ("bad", 0.4))]  # fmt: skip
    charts = [
        ChartEntry(kind="lines", title="Partial dependence on duration_months", x_title="duration_months (months)",
                   y_title="log_odds", subject="duration_months", curves=classes, marks=[6, 12, 15, 18, 24, 36, 48]),
        ChartEntry(kind="steps", title="Coverage", x_title="features kept", y_title="share", curves=[classes[0]]),
        ChartEntry(kind="bars", title="Importance", x_title="feature", y_title="loss", curves=[
            CurveEntry(name="", x=list(FORM[:8]), y=[0.3 - 0.03 * i for i in range(8)], low=[0.25 - 0.03 * i for i in range(8)],
                       high=[0.35 - 0.03 * i for i in range(8)])]),
        ChartEntry(kind="bars", title="Effect of purpose", x_title="purpose", y_title="log_odds", curves=[
            CurveEntry(name="good", x=["car", "radio", "repairs"], y=[0.2, -0.1, None]),
            CurveEntry(name="bad", x=["car", "radio", "repairs"], y=[-0.2, 0.1, 0.3])]),
        ChartEntry(kind="points", title="mu* and sigma", x_title="mu*", y_title="sigma",
                   curves=[CurveEntry(name="", x=[0.1, 0.5, 0.9], y=[0.3, 0.2, 0.4])]),
        ChartEntry(kind="matrix", title="Interactions", rows=list(FORM[:6]), columns=list(FORM[:6]),
                   values=[[None if i == j else float(rng.normal()) for j in range(6)] for i in range(6)], unit="log_odds"),
    ]  # fmt: skip
    shared = {"direction": "perturbation", "runtime": "onnxruntime 1.32.0", "unit": "log_odds", "digest": DIGEST,
              "cost_planned": {"forward": 6000}, "cost_spent": {"forward": 6000}, "paper": "Friedman 2001",
              "summary": "Moves one feature and averages.", "reading": "Up is more.", "limits": "No cause."}  # fmt: skip
    rows = [StatedRow(row_id="17", said=["duration_months 48 → 24: bad 0.71 → 0.38", "another purpose"],
                      numbers=[{"distance": 0.31}, {}]), StatedRow(row_id="23", said=[])]  # fmt: skip
    return [
        StatementEntry(step="partial_dependence", method="partial_dependence", title="Partial dependence", about="model",
                       facts=["precaution.drift.psi_max"], findings=[], parameters={"points": 20}, charts=charts, **shared),
        StatementEntry(step="counterfactuals", method="counterfactuals", title="Counterfactuals", about="rows",
                       facts=[], findings=[], parameters={}, rows=rows, hidden=2, **shared),
    ]  # fmt: skip


def factsheet(image: bool = True, rows: int = 6, **audit: Any) -> Factsheet:
    """A factsheet with something in every part: of an image model, or of a table."""
    rng = np.random.default_rng(7)
    names = [f"r{r}c{c}" for r in range(14) for c in range(14)] if image else list(FORM)
    layout = (
        {"kind": "grid", "rows": 14, "columns": 14, "size": 2, "height": 28, "width": 28} if image else {"kind": "list"}
    )
    explanations = [explanation(rng, *method, names) for method in METHODS]
    entry = AuditEntry(**{
        "name": "digits", "version": "1.0.0", "owner": "vision-team", "description": "Does it look at the ink?",
        "labels": {"product": "post-sorting"},
        "strategy": {"intended_use": "Read postal codes.", "risk": "limited", "audience": ["developer", "regulator"]},
        "modality": "image" if image else "tabular", "task": "classification", "score": "logit",
        "classes": [str(i) for i in range(10)], "started": "2026-03-01T12:00:00Z", "ended": "2026-03-01T12:04:31Z",
        "spec_digest": DIGEST, "plan_digest": DIGEST, "lock_digest": DIGEST,
        "model_digests": {"keras": DIGEST, "onnx": DIGEST}, "data_digests": {"train": DIGEST}, "rows_explained": 32,
        "features": len(names), "layout": layout, "references": "mean image of 4000 training rows", "language": "en",
    } | audit)  # fmt: skip
    return Factsheet(
        pgx="0.1.0", audit=entry,
        verdict=Verdict(
            status="failed", sentence="One of four gates failed: the model does not withstand small attacks.",
            counts={"gates_passed": 2, "gates_failed": 1, "gates_unknown": 1, "errors": 1, "warnings": 1},
            headline=[f.id for f in facts()[:5]],
            may_conclude=["Both directions rank the features alike for the explained rows."],
            may_not_conclude=["That the model is safe where inputs can be tampered with.", "Anything about causes."],
        ),
        findings=findings(), facts=facts(), gates=gates(), precaution=precaution(), explanations=explanations,
        examples=[example(rng, number, names, image) for number in range(rows)], agreement=agreement(rng),
        faithfulness=faithfulness(), statements=statements(rng),
        expectations=[ExpectationEntry(feature="border", effect="irrelevant", on=None, source="interview, 2026-03",
                                       status="confirmed", summary="0.4 % of the magnitude lies on it.",
                                       facts=["precaution.drift.psi_max"]),
                      ExpectationEntry(feature="stroke", effect="increases", on="7", source=None, status="unknown",
                                       summary="The interval crosses zero.")],
        tuning=tuning(rng), provenance=provenance(),
    )  # fmt: skip
