"""The search as operations: each trial by itself, and the conclusion drawn from all of them."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from pgx_compiler.evidence.canonical import plain
from pgx_compiler.evidence.results import Finding, Measure
from pgx_compiler.evidence.store import Artifact
from pgx_compiler.execute.bench import Bench, UnfitInput, explained_rows
from pgx_compiler.execute.renaming import renamed
from pgx_compiler.ir.trials import BASELINE, hands_on
from pgx_compiler.methods.apply import attribute
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.modalities.features import Rows
from pgx_compiler.tuning.conclusion import conclude
from pgx_compiler.tuning.findings import findings as search_findings
from pgx_compiler.tuning.narrowing import Narrowed, narrow
from pgx_compiler.tuning.question import LOSS, Bound, Cut, Objective, Question
from pgx_compiler.tuning.result import Trial, TrialResult, TuningResult
from pgx_compiler.tuning.space import Dimension
from pgx_compiler.tuning.split import equal_rows, hold_out, take
from pgx_compiler.tuning.suggestion import suggest
from pgx_compiler.tuning.trial import Examination, Method, recipe_of, run_trial, tried
from runtimes.capabilities import Differentiable, Floats, Labelled, Recipe, Spent, Trainable, Trained, View
from runtimes.target import framework_for

AGREEMENT_TOLERANCE = 0.02
"""Loss of a median agreement that is of no interest, however sure it is (own default)."""

REFERENCE = "reference"
"""Array of the first trial: what the audited model itself explains its rows by, ``(rows, features)``."""

Node = Mapping[str, Any]
Inputs = Mapping[str, Any]
Progress = Callable[[int, int], None]


def trial(bench: Bench, node: Node, inputs: Inputs, progress: Progress) -> Artifact:
    """Run one trial: suggest its settings, train and measure them. Raises `UnfitInput` and `BaselineError`."""
    params = node["params"]
    question, narrowed = _asked(bench, node, inputs)
    seen = _trials(bench, inputs)
    suggested = suggest(question, narrowed, params["number"], seen, params.get("parallel", 1))
    made = _Workshop(bench, node, inputs, narrowed) if _is_new(suggested) else None
    done = tried(suggested, lambda: made.run(question, suggested, progress)) if made else suggested
    document: dict[str, Any] = {"trial": _timeless(done).to_dict()}
    if hands_on(params["number"]):
        document["earlier"] = [seen[number].to_dict() for number in sorted(seen)]
    if made is None:
        return Artifact(document)
    document["rows"] = {"train": len(made.train.labels), "validation": len(made.validation.labels)}
    document["spent_inside"] = {"forward": made.trainable.forward, "backward": made.trainable.backward}
    return Artifact(document, made.kept)


def tune(bench: Bench, node: Node, inputs: Inputs, progress: Progress) -> Artifact:
    """Conclude a search: judge every trial, choose, and say what moved what."""
    question, narrowed = _asked(bench, node, inputs)
    found = _trials(bench, inputs)
    result = conclude(question, narrowed, [found[number] for number in sorted(found)])
    progress(len(found), len(found))
    document = {
        "measures": plain(_measures(result)),
        "findings": plain([*search_findings(question, result)]),
        "tables": [],
        "entry": result.entry(),
        "rows": bench.artifact(inputs[f"trial.{BASELINE}"]["record"]).document["rows"],
    }
    return Artifact(document)


def _asked(bench: Bench, node: Node, inputs: Inputs) -> tuple[Question, Narrowed]:
    question = _question(node["params"], node["seed"])
    return question, narrow(question, _precaution_findings(bench, inputs), node["params"]["task"])


def _is_new(suggested: Trial) -> bool:
    return not suggested.skipped and suggested.duplicate_of is None


def _timeless(done: Trial) -> Trial:
    """Without the seconds that it took: they stand in the record, and the evidence is the same wherever it was made."""
    return done if done.result is None else replace(done, result=replace(done.result, seconds=0.0))


def _trials(bench: Bench, inputs: Inputs) -> dict[int, Trial]:
    """Every trial that the inputs tell of, by number; one of them may hand on what it saw itself."""
    found: dict[int, Trial] = {}
    for port, given in inputs.items():
        if port.startswith("trial."):
            document = bench.artifact(given["record"]).document
            told = [Trial.from_dict(one) for one in (document["trial"], *document.get("earlier", ()))]
            found |= {one.number: one for one in told}
    return found


class _Workshop:
    """Everything that the candidates of a search have in common, and one of them trained there."""

    def __init__(self, bench: Bench, node: Node, inputs: Inputs, narrowed: Narrowed) -> None:
        params = node["params"]
        split = bench.split(inputs["train"]["params"])
        if split.labels is None:
            raise UnfitInput("tuning trains candidates, but the training data names no target")
        groups = equal_rows(split.inputs) if narrowed.group_duplicates else None
        rng = np.random.default_rng(node["seed"])
        learn, judge = hold_out(split.labels, params["fit"]["validation"], rng, narrowed.stratify, groups)
        labelled = Labelled(split.inputs, split.labels)
        self.train, self.validation = take(labelled, learn), take(labelled, judge)
        self.kept: dict[str, Floats] = {}
        """Arrays of the result: the audited model's own explanation, which all candidates are compared with."""
        self.examination = self._examination(bench, node, inputs)
        model = inputs["model"]["params"]
        path = bench.store.path(model["sha256"], model["suffix"])
        trainable = framework_for(model["format"]).open_trainable(path)
        names = {ours: theirs for ours, theirs in model["renamed"].items() if ours != theirs}
        self.trainable = _Counting(renamed(trainable, names) if names else trainable)

    def run(self, question: Question, suggested: Trial, progress: Progress) -> TrialResult:
        """Train and measure a candidate."""
        recipe = recipe_of(suggested.settings, question.epochs, question.batch_size)
        examination = self.examination
        return run_trial(self.trainable, recipe, self.train, self.validation, examination, question.seed, progress)

    def _examination(self, bench: Bench, node: Node, inputs: Inputs) -> Examination:
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
            if params["number"] == BASELINE:
                model = bench.model(inputs["model"]["params"], params["score"])
                self.kept[REFERENCE] = attribute(declaration, model, part, given, int(node["seed"]) % 2**31).values
                reference[declaration.name] = self.kept[REFERENCE]
            else:
                baseline = bench.artifact(inputs[f"trial.{BASELINE}"]["record"])
                reference[declaration.name] = baseline.arrays[REFERENCE]
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


def _question(params: Mapping[str, Any], seed: int) -> Question:
    """The search as it is asked; a trial that sees no results is not told what would be made of them."""
    objective = params.get("objective", {"minimize": LOSS, "maximize": None})
    metric = objective["minimize"] or objective["maximize"]
    agreement = [(f"agreement.{m['name']}", catalogue()[m["name"]].better) for m in params["agreement"]]
    return Question(
        space={address: Dimension.of(written) for address, written in params["space"].items()},
        baseline={address: value for address, value in params["declared"].items() if value is not None},
        seed=int(seed) % 2**31,
        algorithm=params["search"],
        epochs=params["fit"]["epochs"],
        batch_size=params["fit"]["batch_size"],
        objective=Objective(metric, "lower" if objective["minimize"] else "higher"),
        require={name: Bound(bound["min"], bound["max"]) for name, bound in params.get("require", {}).items()},
        tolerance={name: AGREEMENT_TOLERANCE for name, _ in agreement},
        better=dict(agreement),
        cuts=tuple(
            Cut(cut["finding"], {a: Dimension.of(w) for a, w in cut["space"].items()}, cut["reason"])
            for cut in params["narrow"]
        ),
    )


def _precaution_findings(bench: Bench, inputs: Mapping[str, Any]) -> list[Finding]:
    found = []
    for port in sorted(inputs):
        if port.startswith("check."):
            for item in bench.artifact(inputs[port]["record"]).document["findings"]:
                listed = {**item, "measures": tuple(item["measures"]), "advice": tuple(item["advice"])}
                found.append(Finding(**{**listed, "effects": tuple(item["effects"])}))
    return found


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
