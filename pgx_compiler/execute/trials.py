"""The search as an operation: asks `pgx_compiler.tuning`, and keeps every trial in the store as soon as it is done."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from pgx_compiler.evidence.canonical import digest, plain
from pgx_compiler.evidence.results import Finding, Measure
from pgx_compiler.evidence.store import Artifact, Store
from pgx_compiler.execute.bench import Bench, UnfitInput, explained_rows
from pgx_compiler.methods.apply import attribute
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.modalities.features import Rows
from pgx_compiler.tuning.findings import findings as search_findings
from pgx_compiler.tuning.loop import Key
from pgx_compiler.tuning.loop import tune as search
from pgx_compiler.tuning.narrowing import narrow
from pgx_compiler.tuning.question import Bound, Cut, Objective, Question
from pgx_compiler.tuning.result import TrialResult, TuningResult
from pgx_compiler.tuning.space import Dimension
from pgx_compiler.tuning.split import equal_rows, hold_out, take
from pgx_compiler.tuning.trial import Examination, Method, run_trial
from runtimes.capabilities import Differentiable, Labelled, Recipe, Spent, Trainable, Trained, View
from runtimes.target import framework_for

AGREEMENT_TOLERANCE = 0.02
"""Loss of a median agreement that is of no interest, however sure it is (own default)."""


def tune(
    bench: Bench, node: Mapping[str, Any], inputs: Mapping[str, Any], progress: Callable[[int, int], None]
) -> Artifact:
    """Run the search of a ``tune`` node; killed and started again, it goes on after the last finished trial."""
    params = node["params"]
    split = bench.split(inputs["train"]["params"])
    if split.labels is None:
        raise UnfitInput("tuning trains candidates, but the training data names no target")
    question = _question(node, inputs)
    narrowed = narrow(question, _precaution_findings(bench, inputs), params["task"])
    labelled = Labelled(split.inputs, split.labels)
    groups = equal_rows(split.inputs) if narrowed.group_duplicates else None
    rng = np.random.default_rng(node["seed"])
    learn, judge = hold_out(split.labels, params["fit"]["validation"], rng, narrowed.stratify, groups)
    examination = _examination(bench, node, inputs)
    model = inputs["model"]["params"]
    path = bench.store.path(model["sha256"], model["suffix"])
    trainable = _Counting(framework_for(model["format"]).open_trainable(path))
    train, validation = take(labelled, learn), take(labelled, judge)

    def run(recipe: Recipe) -> TrialResult:
        return run_trial(trainable, recipe, train, validation, examination, question.seed)

    result = search(question, narrowed, run, _remember(bench.store), _keep(bench.store), progress)
    found = [*search_findings(question, result)]
    document = {
        "measures": plain(_measures(result)),
        "findings": plain(found),
        "tables": [],
        "entry": result.entry(),
        "rows": {"train": len(learn), "validation": len(judge)},
        "spent_inside": {"forward": trainable.forward, "backward": trainable.backward},
    }
    return Artifact(document)


class _Counting:
    """A trainable that remembers what its candidates cost: rows trained, validated and explained."""

    def __init__(self, trainable: Trainable) -> None:
        self._trainable = trainable
        self._learned = Spent()
        self._handles: list[Spent] = []

    def train(
        self,
        recipe: Recipe,
        train: Labelled,
        validation: Labelled,
        seed: int,
        progress: Callable[[int, int], None] | None = None,
    ) -> Trained:
        """Train as the model file's framework does."""
        trained = self._trainable.train(recipe, train, validation, seed, progress)
        self._learned.backward += len(train.labels) * recipe.epochs
        self._learned.forward += len(validation.labels) * recipe.epochs

        def open_view(view: View) -> Differentiable:
            handle = trained.open_view(view)
            self._handles.append(handle.spent)
            return handle

        return replace(trained, open_view=open_view)

    @property
    def forward(self) -> int:
        """Model rows forward."""
        return self._learned.forward + sum(spent.forward for spent in self._handles)

    @property
    def backward(self) -> int:
        """Model rows of gradients."""
        return self._learned.backward + sum(spent.backward for spent in self._handles)


def _question(node: Mapping[str, Any], inputs: Mapping[str, Any]) -> Question:
    params = node["params"]
    objective = params["objective"]
    metric = objective["minimize"] or objective["maximize"]
    identity = {port: given["params"] for port, given in inputs.items() if given["op"] in ("model", "data")}
    identity |= {port: given["record"]["content"] for port, given in inputs.items() if given["record"] is not None}
    identity |= {name: params[name] for name in ("explain", "agreement", "score", "fit", "task", "features")}
    used = [item["name"] for item in (*params["explain"]["methods"], *params["agreement"])]
    identity["methods"] = {name: catalogue()[name].version for name in used}
    identity["computed_by"] = node["ingredients"].get("computed_by", {})
    return Question(
        space={address: Dimension.of(written) for address, written in params["space"].items()},
        baseline={address: value for address, value in params["declared"].items() if value is not None},
        trials=params["trials"],
        seed=int(node["seed"]) % 2**31,
        algorithm=params["search"],
        epochs=params["fit"]["epochs"],
        batch_size=params["fit"]["batch_size"],
        objective=Objective(metric, "lower" if objective["minimize"] else "higher"),
        require={name: Bound(bound["min"], bound["max"]) for name, bound in params["explain"]["require"].items()},
        tolerance={f"agreement.{m['name']}": AGREEMENT_TOLERANCE for m in params["agreement"]},
        better={f"agreement.{m['name']}": catalogue()[m["name"]].better for m in params["agreement"]},
        cuts=tuple(
            Cut(cut["finding"], {a: Dimension.of(w) for a, w in cut["space"].items()}, cut["reason"])
            for cut in params["narrow"]
        ),
        identity=identity,
    )


def _precaution_findings(bench: Bench, inputs: Mapping[str, Any]) -> list[Finding]:
    found = []
    for port in sorted(inputs):
        if port.startswith("check."):
            for item in bench.artifact(inputs[port]["record"]).document["findings"]:
                listed = {**item, "measures": tuple(item["measures"]), "advice": tuple(item["advice"])}
                found.append(Finding(**{**listed, "effects": tuple(item["effects"])}))
    return found


def _examination(bench: Bench, node: Mapping[str, Any], inputs: Mapping[str, Any]) -> Examination:
    params = node["params"]
    rows, ids = explained_rows(bench, node, inputs)
    wanted = min(params["explain"]["rows"], len(rows))
    # spread over the explained rows: they stand in file order, and the first ones need not stand for the rest
    chosen = np.unique(np.linspace(0, len(rows) - 1, wanted).round().astype(int))
    part = _pick(rows, chosen)
    methods = [_declared(item) for item in params["explain"]["methods"]]
    agreement = [_declared(item) for item in params["agreement"]]
    reference = {}
    if len(methods) == 1 and agreement:
        declaration, given = methods[0]
        model = bench.model(inputs["model"]["params"], params["score"])
        reference[declaration.name] = attribute(declaration, model, part, given, int(node["seed"]) % 2**31).values
    task = inputs["model"]["params"]["task"]
    return Examination(
        rows=part,
        view=View(params["score"], task, inputs["model"]["params"]["output"]),
        methods=methods,
        agreement=agreement,
        reference=reference,
        seed=int(node["seed"]) % 2**31,
        row_ids=[ids[i] for i in chosen],
        gives_probabilities=params["gives_probabilities"],
    )


def _pick(rows: Rows, chosen: Any) -> Rows:
    parts = [rows.of_rows(slice(int(i), int(i) + 1)) for i in chosen]
    inputs = {name: np.concatenate([p.inputs[name] for p in parts]) for name in rows.inputs}
    shared = len(next(iter(rows.references.inputs.values()))) == 1
    held = (
        rows.references
        if shared
        else type(rows.references)(
            {n: np.concatenate([p.references.inputs[n] for p in parts]) for n in rows.references.inputs},
            rows.references.name,
            rows.references.packed,
        )
    )
    features = rows.features
    if features.varies:
        assert features.counts is not None
        owners = {name: owner[chosen] for name, owner in features.owners.items()}
        labels = None if features.labels is None else features.labels[chosen]
        features = type(features)(features.names, owners, features.layout, features.counts[chosen], labels)
    return Rows(inputs, rows.target[chosen], held, features)


def _declared(item: Mapping[str, Any]) -> Method:
    declaration = catalogue()[item["name"]]
    return declaration, declaration.params.model_validate(item["with"])


def _remember(store: Store) -> Callable[[Key], TrialResult | None]:
    def remember(key: Key) -> TrialResult | None:
        record = store.find(digest(key))
        if record is None or not store.whole(record):
            return None
        return TrialResult.from_dict(store.load(record).document["trial"])

    return remember


def _keep(store: Store) -> Callable[[Key, TrialResult], None]:
    def keep(key: Key, result: TrialResult) -> None:
        trial = result.to_dict()
        seconds = float(trial.pop("seconds"))
        artifact = Artifact({"trial": {**trial, "seconds": 0.0}})
        store.keep(digest(key), artifact, key, {}, seconds)

    return keep


def _measures(result: TuningResult) -> list[Measure]:
    best = next((t for t in result.trials if t.number == result.best), None)
    audited = next(t for t in result.trials if t.number == result.baseline)
    tried = len(result.trials)
    measures = [
        Measure("trials", float(tried), "Candidates tried, the audited settings included", tried, "trials"),
        Measure("feasible", float(sum(t.feasible for t in result.trials)), "Candidates that meet the constraints", tried, "trials"),
        Measure("accepted", float(sum(t.verdict == "accept" for t in result.trials)), "Candidates accepted", tried, "trials"),
    ]  # fmt: skip
    for name, value in audited.metrics.items():
        measures.append(
            _measure(f"audited.{name}", value, f"{name} of the audited settings, trained again", audited, name)
        )
        if best is not None:
            measures.append(
                _measure(f"best.{name}", best.metrics.get(name), f"{name} of the chosen candidate", best, name)
            )
    return measures


def _measure(name: str, value: float | None, title: str, trial: Any, metric: str) -> Measure:
    error = trial.standard_errors.get(metric)
    interval = None if error is None or value is None else (value - 1.96 * error, value + 1.96 * error)
    return Measure(name, value, title, None, "", interval, error, subject=f"trial {trial.number}",
                   reason=None if value is not None else "not a finite number")  # fmt: skip
