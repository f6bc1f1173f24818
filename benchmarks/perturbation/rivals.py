"""Perturbation methods against other libraries at equal evaluations: error against the truth, and time.

    python benchmarks/perturbation/rivals.py shapley [--rows N] [--seeds N] [--problems NAME,...] [--samples N,...]
    python benchmarks/perturbation/rivals.py lowering [--rows N]
    python benchmarks/perturbation/rivals.py maps [--rows N] [--seeds N] [--samples N]

`shapley`: shap's Kernel explainer (``l1_reg=0``, the same 50 background rows) and Permutation explainer (``max_evals`` as many),
shapiq's Kernel SHAP (with its pairing trick), permutation sampling and SVARM, and ours, on one ONNX Runtime session. Truth: interventional TreeSHAP
(held against shap to 1e-5 by the tests) where the model is trees, else Kernel SHAP with 100,000 coalitions, whose error
is 8 to 13 times smaller than what is measured. Evaluations are coalitions over each reference: kernel_shap and regression_adjusted_shap ask as
many model rows, but ask parts of the references different coalitions. Errors are root mean squares over features, rows and seeds, over that of
shap's Kernel explainer.

`lowering`: TreeSHAP on the ONNX file against sampling. Sampling errors fall with the root of the samples, which gives the time
that it would take to come as near to the exact values as two exact computations come to each other (1e-5 of the values).

`maps`: RISE, Sobol indices, occlusion and LIME on the digits network in 49 patches, and xplique's RISE, Sobol and occlusion
and lime's image explainer. Each library means something slightly different by a method, so that each is held to itself:
distance (1 - correlation) from what it says itself with 16 times the evaluations. xplique's draws take no seed: its two
results may share draws, which is in its favour.

shap comes with the project; what else is not installed is left out, and said. Everything is computed with one BLAS thread, as in
a run's workers: matrices this small are slower on several.
"""

import argparse
import importlib
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.modalities import modalities
from pgx_compiler.modalities.features import FeatureMap, References, Rows
from pgx_compiler.modalities.game import Game, game_of_row
from pgx_compiler.modalities.tabular import feature_map
from runtimes.capabilities import View
from runtimes.frameworks import onnx_runtime

SPECS = Path(__file__).parents[2] / "specs"
REFERENCES = 50
LARGE = 100_000
EXACT_TO = 1e-5


@dataclass(frozen=True)
class Problem:
    """A model with rows to explain, and the truth."""

    handle: Any
    rows: Rows
    truth: Any

    def game(self, row: int) -> Game:
        """The game of one row."""
        held = self.rows
        return game_of_row(self.handle, held.inputs, row, held.references, held.features, int(held.target[row]))


def read_csv(name: str, target: str) -> tuple[Any, list[str]]:
    """A table of the specs without its labels, and its columns."""
    table = np.genfromtxt(SPECS / "data" / name, delimiter=",", names=True, deletechars="", dtype=np.float64)
    columns = [column for column in (table.dtype.names or ()) if column != target]
    return np.stack([table[column] for column in columns], axis=1).astype(np.float32), columns


def german_trees(rows: int) -> Problem:
    """Boosted trees on 20 features."""
    x, columns = read_csv("german-credit-test.csv", "bad_risk")
    return with_trees(SPECS / "models/german-credit-trees.onnx", x, rows, View("log_odds"), columns)


def german_network(rows: int, grouped: bool) -> Problem:
    """A network on 61 columns: one feature each, or in 20 groups."""
    x, columns = read_csv("german-credit-onehot-test.csv", "bad_risk")
    groups = {name.split("=")[0]: [name.split("=")[0] + "=*"] for name in columns if "=" in name} if grouped else {}
    path = SPECS / "models/german-credit.onnx"
    handle = onnx_runtime.open_model(path, View("logit"))
    name = onnx_runtime.inspect(path).inputs[0].name
    features = feature_map({name: (x.shape[1],)}, {"columns": columns, "groups": groups})
    held = drawn(x, rows, name, features, target=1)
    return Problem(handle, held, approached(handle, held))


def boosted(rows: int, features: int, depth: int = 3) -> Problem:
    """scikit-learn's gradient boosting with its defaults on Friedman's first function and noise columns."""
    from sklearn.datasets import make_friedman1
    from sklearn.ensemble import GradientBoostingRegressor

    x, y = make_friedman1(2000, features, noise=1.0, random_state=0)
    return converted(GradientBoostingRegressor(max_depth=depth, random_state=0), x, y, rows)


def crowded(rows: int, features: int) -> Problem:
    """The hard case: trees of depth 5 on random columns each, so that many features interact a little with many."""
    from sklearn.ensemble import GradientBoostingRegressor

    rng = np.random.default_rng(features)
    x = rng.normal(size=(2000, features))
    y = 3 * np.sin(x[:, 0] * x[:, 1]) + 2 * (x[:, 2] > 0) * x[:, 3] + x[:, 4:14] @ rng.normal(size=10)
    y = y + x[:, 14] * x[:, 15] * x[:, 16] + 0.5 * x[:, 17 : 17 + features // 4].sum(axis=1) + rng.normal(size=2000)
    model = GradientBoostingRegressor(n_estimators=300, max_depth=5, subsample=0.5, max_features=0.3, random_state=0)
    return converted(model, x, y, rows)


def of_scikit(rows: int, name: str) -> Problem:
    """scikit-learn's gradient boosting with its defaults on one of its own tables."""
    from sklearn import datasets
    from sklearn.ensemble import GradientBoostingClassifier

    held = getattr(datasets, f"load_{name}")()
    y = held.target if name == "breast_cancer" else held.target % 2
    return converted(GradientBoostingClassifier(random_state=0), held.data, y, rows)


def converted(model: Any, x: Any, y: Any, rows: int) -> Problem:
    """Fit a model, convert it, and open the file."""
    import skl2onnx

    x = x.astype(np.float32)
    model.fit(x, y)
    classifies = hasattr(model, "classes_")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        options = {"zipmap": False} if classifies else None
        path.write_bytes(skl2onnx.to_onnx(model, x[:1], options=options).SerializeToString())
        view = View("log_odds") if classifies else View("value", "regression")
        return with_trees(path, x, rows, view, [str(column) for column in range(x.shape[1])])


def with_trees(path: Path, x: Any, rows: int, view: View, columns: list[str]) -> Problem:
    """Trees with TreeSHAP as the truth."""
    handle = onnx_runtime.open_model(path, view)
    features = feature_map({handle.input_name: (x.shape[1],)}, {"columns": columns})
    held = drawn(x, rows, handle.input_name, features, target=int(handle.base.shape[0] > 1))
    method = catalogue()["tree_shap"]
    return Problem(handle, held, method.function(handle, held, method.params()).values)


def drawn(x: Any, rows: int, name: str, features: FeatureMap, target: int) -> Rows:
    """Rows to explain and background rows."""
    order = np.random.default_rng(1).permutation(len(x))
    background = x[order[rows : rows + REFERENCES]]
    return Rows({name: x[order[:rows]]}, np.full(rows, target), References({name: background[None]}), features)


def approached(handle: Any, rows: Rows) -> Any:
    """Shapley values of a model that admits no exact method, from many coalitions."""
    method = catalogue()["kernel_shap"]
    games = [
        game_of_row(handle, rows.inputs, row, rows.references, rows.features, int(rows.target[row]))
        for row in range(len(rows))
    ]
    params = method.params(samples=LARGE)
    return np.stack([method.function(game, params, np.random.default_rng(99)).values[:, 0] for game in games])


PROBLEMS: dict[str, Callable[[int], Problem]] = {
    "german trees, 20": german_trees,
    "german network, 20 groups": lambda rows: german_network(rows, grouped=True),
    "german network, 61": lambda rows: german_network(rows, grouped=False),
    "breast cancer trees, 30": lambda rows: of_scikit(rows, "breast_cancer"),
    "digits trees, 64": lambda rows: of_scikit(rows, "digits"),
    "friedman trees, 50": lambda rows: boosted(rows, 50),
    "friedman trees, 100": lambda rows: boosted(rows, 100),
    "crowded trees, 50": lambda rows: crowded(rows, 50),
    "crowded trees, 100": lambda rows: crowded(rows, 100),
}

Explain = Callable[[Problem, int, int, int], Any]
"""Problem, row, samples, seed: values ``(features,)``."""


def ours(name: str, **settings: int) -> Explain:
    """One of our methods."""
    method = catalogue()[name]

    def explain(problem: Problem, row: int, samples: int, seed: int) -> Any:
        params = method.params(samples=samples, **settings)
        return method.function(problem.game(row), params, np.random.default_rng(seed)).values[:, 0]

    return explain


def score_of(problem: Problem, row: int) -> tuple[Any, Any, Callable[[Any], Any]]:
    """The row, the background, and the session as a function of an array, for libraries that fill features themselves."""
    name = next(iter(problem.rows.inputs))
    target = int(problem.rows.target[row])
    background = problem.rows.references.inputs[name][0]
    return problem.rows.inputs[name][row], background, lambda x: problem.handle.predict({name: x})[:, target]


def is_grouped(problem: Problem) -> bool:
    """Whether a feature is more than a column, which other libraries' maskers do not know."""
    return int(problem.rows.features.sizes().max()) > 1


def shap_kernel(problem: Problem, row: int, samples: int, seed: int) -> Any:
    """The Kernel explainer of shap; where features are groups, on the game."""
    import shap

    np.random.seed(seed)  # noqa: NPY002 - shap draws from NumPy's global state
    x, background, score = score_of(problem, row)
    if is_grouped(problem):
        game = problem.game(row)
        score = lambda z: game.value(np.asarray(z) > 0.5)[:, 0]  # noqa: E731
        x, background = np.ones(game.n_features), np.zeros((1, game.n_features))
    explainer = shap.KernelExplainer(score, background, silent=True)
    return explainer.shap_values(x[None], nsamples=samples, l1_reg=0, silent=True)[0]


def shap_permutation(problem: Problem, row: int, samples: int, seed: int) -> Any:
    """The Permutation explainer of shap; where features are groups, on the game."""
    import shap

    x, background, score = score_of(problem, row)
    if is_grouped(problem):
        game = problem.game(row)
        score = lambda z: game.value(np.asarray(z) > 0.5)[:, 0]  # noqa: E731
        x, background = np.ones(game.n_features), np.zeros((1, game.n_features))
    masker = shap.maskers.Independent(background, max_samples=len(background))
    explainer = shap.PermutationExplainer(score, masker, seed=seed)
    most = max(samples, 2 * len(x) + 1)
    return explainer(x[None], max_evals=most, silent=True).values[0]


def shapiq_approximator(kind: str) -> Explain:
    """One of shapiq's estimators of order 1, on the game."""

    def explain(problem: Problem, row: int, samples: int, seed: int) -> Any:
        approximator = importlib.import_module("shapiq.approximator")
        game = problem.game(row)
        empty = game.empty()[0]
        more = {"pairing_trick": True} if kind == "KernelSHAP" else {}
        estimator = getattr(approximator, kind)(n=game.n_features, random_state=seed, **more)
        found = estimator.approximate(samples, lambda masks: game.value(np.atleast_2d(masks))[:, 0] - empty)
        return np.array([found[(feature,)] for feature in range(game.n_features)])

    return explain


def rivals() -> dict[str, Explain]:
    """All that can be run here."""
    found: dict[str, Explain] = {"shap Kernel": shap_kernel, "shap Permutation": shap_permutation}
    try:
        importlib.import_module("shapiq")
        found |= {
            f"shapiq {kind}": shapiq_approximator(kind) for kind in ("KernelSHAP", "PermutationSamplingSV", "SVARM")
        }
    except ImportError:
        print("shapiq is not installed: left out")
    for name in ("kernel_shap", "permutation_shap", "regression_adjusted_shap"):
        found[name] = ours(name)
    for parts in (1, 50):  # beside its own 10
        found[f"kernel_shap, parts: {parts}"] = ours("kernel_shap", parts=parts)
    return found


def compare_shapley(rows: int, seeds: int, problems: list[str], sizes: list[int]) -> None:
    """Print errors over that of shap's Kernel explainer, and milliseconds a row."""
    libraries = rivals()
    for name in problems:
        problem = PROBLEMS[name](rows)
        for samples in sizes:
            print(f"\n{name} features, {samples} evaluations")
            first = 0.0
            for label, explain in libraries.items():
                off, started = [], time.perf_counter()
                for row in range(rows):
                    off += [explain(problem, row, samples, seed) - problem.truth[row] for seed in range(seeds)]
                seconds = (time.perf_counter() - started) / (rows * seeds)
                error = float(np.sqrt(np.mean(np.square(off))))
                first = first or error
                print(f"  {label:32}{error / first:8.3f}{1000 * seconds:10.0f} ms   error {error:.3g}", flush=True)


def compare_lowering(rows: int) -> None:
    """Print how much faster the lowering is than sampling to the same error."""
    method = catalogue()["tree_shap"]
    for name in ("german trees, 20", "friedman trees, 50", "friedman trees, 100"):
        problem = PROBLEMS[name](rows)
        started = time.perf_counter()
        method.function(problem.handle, problem.rows, method.params())
        exact = (time.perf_counter() - started) / rows
        print(f"\n{name} features: TreeSHAP on the file {1000 * exact:.1f} ms a row")
        size = float(np.sqrt(np.mean(problem.truth**2)))
        for label, explain in (("kernel_shap", ours("kernel_shap")), ("shap Kernel", shap_kernel)):
            started = time.perf_counter()
            off = [explain(problem, row, 2048, 0) - problem.truth[row] for row in range(rows)]
            seconds = (time.perf_counter() - started) / rows
            error = float(np.sqrt(np.mean(np.square(off)))) / size
            for wanted in (1e-2, 1e-3, EXACT_TO):
                needed = seconds * (error / wanted) ** 2
                print(f"  {label:14} to {wanted:g} of the values: {needed:10.2f} s a row, {needed / exact:10.0f} times")


def compare_maps(rows: int, seeds: int, samples: int) -> None:
    """Print how far each library's maps are from its own settled ones, and milliseconds a row."""
    images = np.load(SPECS / "data/digits-test.npz")["x"][: rows * 3 : 3].astype(np.float32) / 255
    path = SPECS / "models/digits.onnx"
    handle = onnx_runtime.open_model(path, View("logit"))
    name = onnx_runtime.inspect(path).inputs[0].name
    shape = images.shape[1:]
    image = modalities()["image"]
    told = image.settle({"superpixels": "patches", "size": 4}, {name: shape})
    features = image.feature_map({name: shape}, {"modality": "image", "columns": [], "groups": {}, **told})
    target = handle.predict({name: images}).argmax(axis=1)
    held = Rows({name: images}, target, References({name: np.zeros((1, 1, *shape), images.dtype)}), features)
    problem = Problem(handle, held, None)
    print(
        f"{rows} digits, {len(features)} patches, {samples} evaluations: distance from 16 times as many, milliseconds a row"
    )
    for label, explain in {**our_maps(), **their_maps(images, target)}.items():
        started = time.perf_counter()
        maps = [[np.ravel(explain(problem, row, samples, seed)) for seed in range(seeds)] for row in range(rows)]
        seconds = (time.perf_counter() - started) / (rows * seeds)
        settled = [np.ravel(explain(problem, row, 16 * samples, 1000)) for row in range(rows)]
        apart = [1 - np.corrcoef(of_row, end)[-1, :-1] for of_row, end in zip(maps, settled, strict=True)]
        print(f"  {label:24}{float(np.mean(apart)):10.4f}{1000 * seconds:10.1f} ms", flush=True)


def designs(samples: int) -> int:
    """Designs of Sobol indices on 49 patches, two rows and one for each patch: xplique takes powers of two only."""
    return max(4, int(2 ** np.floor(np.log2(samples / 51))))


def our_maps() -> dict[str, Explain]:
    """Our methods on patches."""

    def sobol(problem: Problem, row: int, samples: int, seed: int) -> Any:
        method, game = catalogue()["sobol_indices"], problem.game(row)
        params = method.params(designs=designs(samples))
        return method.function(game, params, np.random.default_rng(seed)).values[:, 0]

    def occlusion(problem: Problem, row: int, samples: int, seed: int) -> Any:  # noqa: ARG001
        method = catalogue()["occlusion"]
        return method.function(problem.game(row), method.params()).values[:, 0]

    return {"rise": ours("rise"), "lime": ours("lime"), "sobol_indices": sobol, "occlusion": occlusion}


def their_maps(images: Any, target: Any) -> dict[str, Explain]:
    """xplique's methods on the Keras twin, and lime's on the session."""
    found: dict[str, Explain] = {}
    try:
        attributions = importlib.import_module("xplique.attributions")
        found |= of_xplique(attributions, images, target)
    except ImportError as error:
        print(f"xplique is not installed ({error}): left out")
    try:
        lime_image = importlib.import_module("lime.lime_image")
    except ImportError as error:
        print(f"lime is not installed ({error}): left out")
        return found
    patches = np.arange(49).reshape(7, 7).repeat(4, 0).repeat(4, 1)

    def lime(problem: Problem, row: int, samples: int, seed: int) -> Any:
        name = next(iter(problem.rows.inputs))
        explainer = lime_image.LimeImageExplainer(random_state=seed)

        def score(batch: Any) -> Any:
            return problem.handle.predict({name: batch[..., :1].astype(np.float32)})

        told = explainer.explain_instance(
            images[row, ..., 0].astype(np.float64),
            score,
            labels=(int(target[row]),),
            top_labels=None,
            hide_color=0,
            num_samples=samples,
            segmentation_fn=lambda _: patches,
            num_features=49,
            batch_size=512,
        )
        weights = dict(told.local_exp[int(target[row])])
        return np.array([weights[patch] for patch in range(49)])

    found["lime (lime)"] = lime
    return found


def of_xplique(attributions: Any, images: Any, target: Any) -> dict[str, Explain]:
    """xplique's own defaults but for the grid of 7 and the evaluations."""
    import keras
    import tensorflow as tf

    loaded = keras.models.load_model(SPECS / "models/digits.keras")
    loaded(images[:1])
    below = keras.Model(loaded.inputs, loaded.outputs)
    wanted = np.eye(10, dtype=np.float32)[target]

    def run(make: Callable[[int], Any]) -> Explain:
        def explain(problem: Problem, row: int, samples: int, seed: int) -> Any:  # noqa: ARG001
            np.random.seed(seed)  # noqa: NPY002 - xplique draws from the global states
            tf.random.set_seed(seed)
            return np.asarray(make(samples)(images[row : row + 1].astype(np.float32), wanted[row : row + 1]))

        return explain

    return {
        "rise (xplique)": run(lambda n: attributions.Rise(below, nb_samples=n, grid_size=7, batch_size=512)),
        "sobol (xplique)": run(
            lambda n: attributions.SobolAttributionMethod(below, grid_size=7, nb_design=designs(n), batch_size=512)
        ),
        "occlusion (xplique)": run(
            lambda _: attributions.Occlusion(below, patch_size=4, patch_stride=4, batch_size=512)
        ),
    }


def main() -> None:
    """Read the words of the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("shapley", "lowering", "maps"))
    parser.add_argument("--rows", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--samples", default="600,1200")
    parser.add_argument("--problems", default=";".join(PROBLEMS), help="names, separated by semicolons")
    told = parser.parse_args()
    warnings.simplefilter("ignore")
    sizes = [int(size) for size in told.samples.split(",")]
    import scipy.linalg  # brings a BLAS of its own, which a limit set before would not reach
    from threadpoolctl import threadpool_limits

    assert scipy.linalg
    with threadpool_limits(1):
        if told.what == "shapley":
            compare_shapley(told.rows, told.seeds, told.problems.split(";"), sizes)
        elif told.what == "lowering":
            compare_lowering(told.rows)
        else:
            compare_maps(told.rows, told.seeds, sizes[0])


if __name__ == "__main__":
    main()
