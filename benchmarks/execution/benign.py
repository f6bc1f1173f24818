"""No honest model may be refused: the static inspection over every keras.applications network, and exports of other makers.

    python benchmarks/execution/benign.py [--only WORD] [--models FOLDER] [--largest MILLIONS]

Builds the networks of keras.applications with random weights (at their smallest input), and saves each as ``.keras``; some
as ``.h5`` (Keras 3 and the layout of Keras 2), SavedModel (`model.export`) and ONNX (tf2onnx); and exports scikit-learn's
estimators with skl2onnx. ``--models`` inspects every model file below a folder of one's own besides. Each file is inspected
as `pgx check` does it, without any framework. Prints a line for each: seconds, weights declared and held, and the refusal.

Ends with status 1 where a file was refused. Needs TensorFlow, tf2onnx and skl2onnx; a whole run takes about half an hour
and 4 GB of memory, most of it to build the networks.
"""

import argparse
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from runtimes.formats.keras_runtime import keras, tensorflow
from runtimes.formats.keras_sizes import weights_of
from runtimes.target import ModelFileError, framework_for

SIDES = {"InceptionV3": 75, "InceptionResNetV2": 75, "Xception": 71, "NASNetLarge": 331, "NASNetMobile": 224}
"""The smallest pictures of networks that do not take 32 by 32."""
EXPORTED = ("MobileNetV2", "EfficientNetB0", "ResNet50", "DenseNet121")
"""Networks that are also saved in the other formats."""


def inspected(path: Path) -> tuple[str, float, str]:
    """What is said of a file: the refusal (empty: none), seconds, its weights."""
    started = time.perf_counter()
    found = path / "saved_model.pb" if path.is_dir() else path
    try:
        facts = framework_for("onnx" if path.suffix == ".onnx" else "keras").inspect(found)
    except ModelFileError as error:
        return error.reason, time.perf_counter() - started, ""
    return "", time.perf_counter() - started, f"{facts.parameters:,}{_held(path)}"


def _held(path: Path) -> str:
    """Where a Keras file's layers say how many weights they have: whether its arrays hold as many."""
    if path.suffix not in (".keras", ".h5"):
        return ""
    from runtimes.formats.keras_facts import layers_of
    from runtimes.formats.keras_file import read_keras

    file = read_keras(path)
    counted = weights_of(layers_of(file.config))
    return "" if counted in (None, file.weights) else f" ({file.weights:,} held)"


def applications(folder: Path, only: str, largest: float) -> Iterator[Path]:
    """Every network of keras.applications, saved."""
    k = keras()
    for name, make in _constructors(k).items():
        if only.lower() not in name.lower():
            continue
        side = SIDES.get(name, 32)
        try:
            model = make(weights=None, input_shape=(side, side, 3), classes=10)
        except ValueError:  # some insist on larger pictures, or on a thousand classes
            model = make(weights=None, input_shape=(224, 224, 3))
        if model.count_params() > largest * 1e6:
            print(f"{name}: {model.count_params():,} weights, left out")
            continue
        yield from _saved(model, folder / name, name in EXPORTED)
        k.backend.clear_session()


def _constructors(k: Any) -> dict[str, Callable[..., Any]]:
    found = {name: getattr(k.applications, name) for name in dir(k.applications) if name[0].isupper()}
    return {name: make for name, make in sorted(found.items()) if callable(make)}


def _saved(model: Any, stem: Path, everywhere: bool) -> Iterator[Path]:
    formats: list[tuple[Path, Callable[[Path], Any]]] = [(stem.with_suffix(".keras"), model.save)]
    if everywhere:
        formats.append((stem.with_suffix(".h5"), model.save))
        formats.append((stem, lambda path: model.export(path, verbose=False)))
        formats.append((stem.with_suffix(".onnx"), lambda path: model.export(path, format="onnx", verbose=False)))
    for path, save in formats:
        save(path)
        yield path


def estimators(folder: Path, only: str) -> Iterator[Path]:
    """Estimators of scikit-learn, exported by skl2onnx."""
    import numpy as np
    from skl2onnx import to_onnx
    from sklearn import (
        ensemble,
        linear_model,
        naive_bayes,
        neighbors,
        neural_network,
        pipeline,
        preprocessing,
        svm,
        tree,
    )

    rows = np.random.default_rng(0).normal(size=(120, 6)).astype(np.float32)
    classes, values = (rows[:, 0] > 0).astype(int), rows[:, 0] * 2
    made = {
        "logistic": linear_model.LogisticRegression(),
        "scaled": pipeline.make_pipeline(preprocessing.StandardScaler(), linear_model.LogisticRegression()),
        "tree": tree.DecisionTreeClassifier(),
        "forest": ensemble.RandomForestClassifier(20),
        "boosting": ensemble.GradientBoostingClassifier(n_estimators=20),
        "extra": ensemble.ExtraTreesClassifier(20),
        "network": neural_network.MLPClassifier((8,), max_iter=50),
        "svc": svm.SVC(probability=True),
        "bayes": naive_bayes.GaussianNB(),
        "neighbours": neighbors.KNeighborsClassifier(),
        "bagging": ensemble.BaggingClassifier(n_estimators=5),
        "ridge": linear_model.Ridge(),
        "forest_values": ensemble.RandomForestRegressor(20),
        "svr": svm.SVR(),
    }
    for name, model in made.items():
        if only.lower() in f"sklearn-{name}":
            of_values = "Regressor" in type(model).__name__ or name in ("ridge", "svr")
            path = folder / f"sklearn-{name}.onnx"
            path.write_bytes(to_onnx(model.fit(rows, values if of_values else classes), rows[:1]).SerializeToString())
            yield path


def main() -> int:
    """Inspect everything; returns how many files were refused, 1 at most."""
    given = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    given.add_argument("--only", default="", help="models whose name holds this word")
    given.add_argument("--models", type=Path, help="a folder of model files of one's own")
    given.add_argument(
        "--largest", type=float, default=400, help="millions of weights above which a network is left out"
    )
    options = given.parse_args()
    warnings.simplefilter("ignore")
    tensorflow()
    refused = counted = 0
    print(f"{'model':34} {'MB':>7} {'seconds':>8}  weights")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        own = sorted(p for p in (options.models or folder).rglob("*") if p.suffix in (".keras", ".h5", ".onnx"))
        made = (
            p
            for maker in (estimators(folder, options.only), applications(folder, options.only, options.largest))
            for p in maker
        )
        made = chain(estimators(folder, options.only), applications(folder, options.only, options.largest))
        for path in chain(own, made):
            reason, seconds, weights = inspected(path)
            counted += 1
            refused += bool(reason)
            files = [p for p in (path.rglob("*") if path.is_dir() else [path]) if p.is_file()]
            size = sum(p.stat().st_size for p in files) / 2**20
            shown = f"{path.name}{'/' if path.is_dir() else ''}"
            print(f"{shown:34} {size:7.1f} {seconds:8.3f}  {'REFUSED: ' + reason if reason else weights}", flush=True)
            if folder in path.parents:
                for held in files:
                    held.unlink()
    print(f"{counted} files inspected, {refused} refused")
    return int(refused > 0)


if __name__ == "__main__":
    sys.exit(main())
