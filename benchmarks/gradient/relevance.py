"""What relevance propagation and DeepLIFT cost and find: time over a bare gradient, SHAP beside it, relevance within boxes.

    python benchmarks/gradient/relevance.py FOLDER [--runs N]

FOLDER holds the models (`_cases.py` says which). The first table has the time of each method over that of a bare compiled
gradient of as many rows, the median of ratios taken within a run; DeepLIFT does three passes for a pair where a gradient
does two. The second compares DeepLIFT with ``shap.DeepExplainer`` on the MNIST network: the largest difference, and times.
The third has the share of positive relevance that lies within the boxes drawn around the objects of `images/objects.json`,
for EfficientNet-Lite0; in brackets what an even map would have.
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from _cases import Case, cases
from overhead import seconds

from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.methods.gradient._relevance_rules import Composite, rules_of
from runtimes.capabilities import View
from runtimes.formats.keras_runtime import keras
from runtimes.frameworks import tensorflow_native

COMPOSITES: tuple[Composite, ...] = ("epsilon", "epsilon_gamma_box", "epsilon_plus", "epsilon_alpha_beta_flat")
STRENGTHS: dict[str, Any] = {"epsilon": 1e-6, "gamma": 0.25, "alpha": 2.0, "beta": 1.0}


def overhead(case: Case, runs: int) -> None:
    """Print each method's time over that of a bare gradient of as many rows."""
    handle = case.handle()
    rows = case.explained(handle)
    bare = case.bare(handle, rows)
    lrp, deep_lift = catalogue()["lrp"], catalogue()["deep_lift"]
    asked = [(f"lrp {name}", lrp, lrp.params(composite=name)) for name in COMPOSITES]
    for name, declaration, params in [*asked, ("deep_lift", deep_lift, deep_lift.params())]:
        ratios = []
        for run in range(runs + 1):
            before = handle.spent.backward
            took = seconds(lambda d=declaration, p=params: d.function(handle, rows, p))
            floor = seconds(lambda count=handle.spent.backward - before: bare(count))
            ratios += [took / floor] if run else []
        print(f"{case.name:12s} {name:28s} {statistics.median(ratios):6.2f}")


def beside_shap(folder: Path) -> None:
    """Print the largest difference of DeepLIFT to SHAP's, and both times for four rows and ten references."""
    import shap

    path = folder / "ci_image_mnist" / "mnist_cnn.keras"
    with np.load(folder / "ci_image_mnist" / "data.npz") as held:
        name = next(key for key in held.files if held[key].ndim > 2)
        pictures = np.asarray(held[name][:14], np.float32).reshape(-1, 28, 28, 1)
    pictures = pictures / max(1.0, float(pictures.max()))
    handle = tensorflow_native.open_model(path, View("logit"))
    x, others = pictures[:4], pictures[4:]
    logits = keras().Model(handle._model.inputs, handle._model.outputs)
    explainer = shap.DeepExplainer(logits, others)
    pairs = {"image": np.repeat(x, 10, axis=0)}, {"image": np.tile(others, (4, 1, 1, 1))}
    columns = handle.predict({"image": x}).argmax(axis=1)
    began = time.perf_counter()
    theirs = np.asarray(explainer.shap_values(x, check_additivity=False))
    between = time.perf_counter()
    ours = handle.rescaled_contributions(*pairs, np.repeat(columns, 10))["image"].reshape(4, 10, 28, 28, 1).mean(axis=1)
    ended = time.perf_counter()
    chosen = theirs[np.arange(4), ..., columns]
    print(f"DeepLIFT and SHAP differ by {np.abs(ours - chosen).max():.1e} of {np.abs(chosen).max():.2g}; first calls:")
    print(f"SHAP {between - began:.2f} s (all 10 classes), ours {ended - between:.2f} s (one class)")


def picture(path: Path) -> Any:
    """A picture as EfficientNet-Lite0 reads it."""
    from PIL import Image

    with Image.open(path) as image:
        size = int(0.875 * min(image.size))
        left, top = ((length - size) // 2 for length in image.size)
        cut = (
            image.convert("RGB").crop((left, top, left + size, top + size)).resize((224, 224), Image.Resampling.BICUBIC)
        )
    return (np.asarray(cut, np.float32) - 127.0) / 128.0


def within_boxes(folder: Path) -> None:
    """Print the share of positive relevance within the objects' boxes."""
    handle = tensorflow_native.open_model(
        folder / "image_efficientnet_lite0" / "efficientnet_lite0.keras", View("logit")
    )
    objects = json.loads((folder / "images" / "objects.json").read_text())
    names = [name for name in objects if name.endswith(".png")]
    x = {"image": np.stack([picture(folder / "images" / name) for name in names])}
    target = np.array([objects[name]["class"] for name in names])
    low, high = ({"image": np.full_like(x["image"], side)} for side in (-127 / 128, 1.0))
    maps = {"gradient x input": handle.gradient(x, target)["image"] * x["image"]}
    for composite in COMPOSITES:
        maps[f"lrp {composite}"] = handle.relevance(x, target, rules_of(composite, **STRENGTHS), low, high)["image"]
    grey = {"image": np.zeros_like(x["image"])}
    maps["deep_lift (grey)"] = handle.rescaled_contributions(x, grey, target)["image"]
    inside = np.zeros((len(names), 224, 224), bool)
    for place, name in enumerate(names):
        for key, corners in objects[name].items():
            if key.startswith("box"):
                left, top, right, bottom = corners
                inside[place, top:bottom, left:right] = True
    print(f"{'within boxes':30s}", *(f"{Path(name).stem:>14s}" for name in names))
    for method, values in maps.items():
        mass = np.maximum(values.sum(axis=-1), 0.0)
        shares = (mass * inside).sum(axis=(1, 2)) / mass.sum(axis=(1, 2))
        even = inside.mean(axis=(1, 2))
        print(f"{method:30s}", *(f"{share:7.2f} ({level:.2f})" for share, level in zip(shares, even, strict=True)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    for case in cases(given.folder):
        overhead(case, given.runs)
    beside_shap(given.folder)
    within_boxes(given.folder)


if __name__ == "__main__":
    main()
