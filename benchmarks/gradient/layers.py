"""Class activation maps and rules for ReLUs beside those of xplique and tf-keras-vis: the same numbers, and how fast.

``python benchmarks/gradient/layers.py FOLDER`` with the folder of example models that `_cases` describes, in an environment
that also has xplique 2.0.2 (installed with ``--no-deps``) and tf-keras-vis 0.8.7. Every library explains the logit, at the
same layer; numbers are compared at the resolution of the layer where libraries interpolate differently.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pgx_compiler.methods.gradient._layers import over_input, pick_spatial, resize
from pgx_compiler.methods.gradient.grad_cam import grad_cam_map
from pgx_compiler.methods.gradient.grad_cam_plus_plus import plus_plus_map
from pgx_compiler.methods.gradient.hires_cam import hires_cam_map
from pgx_compiler.methods.gradient.layer_cam import layer_cam_map
from pgx_compiler.methods.gradient.score_cam import ScoreCamParams, score_cam
from pgx_compiler.modalities.features import FeatureMap, References, Rows
from runtimes.capabilities import View
from runtimes.frameworks.tensorflow_native import open_model

MAPS = {
    "Grad-CAM": grad_cam_map,
    "Grad-CAM++": plus_plus_map,
    "LayerCAM": layer_cam_map,
    "HiResCAM": hires_cam_map,
}


def timed(run: Callable[[], Any], repeats: int = 5) -> tuple[Any, float]:
    """What a call gives, and the best of its times, the first (which traces) left out."""
    answer, seconds = run(), []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return answer, min(seconds)


def apart(ours: Any, theirs: Any) -> float:
    """The largest difference, as a share of the largest value."""
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    return float(np.abs(ours - theirs).max() / max(np.abs(ours).max(), 1e-12))


def said(model: str, what: str, other: str, difference: Any, ours: float, theirs: float) -> None:
    shown = f"{difference:.1e}" if isinstance(difference, float) else difference
    print(
        f"{model:<18} {what:<26} {other:<14} {shown:>22} {ours * 1e3:>9.1f} {theirs * 1e3:>9.1f} {theirs / ours:>6.1f}"
    )


def cams(name: str, handle: Any, images: Any, target: Any) -> None:
    """Each map beside that of the libraries, one batch of images."""
    import tensorflow as tf
    from tf_keras_vis.gradcam import Gradcam
    from tf_keras_vis.layercam import Layercam
    from xplique.attributions import GradCAM, GradCAMPP

    given = handle.layers
    layer = pick_spatial((one.name, one.kind, one.shape) for one in given)
    input_name = handle._inputs[0].name
    model = handle._model  # below its softmax, as the view asks
    one_hot = np.eye(handle._width(), dtype=np.float32)[target]

    def ours(way: Callable[[Any, Any], Any]) -> Any:
        return np.maximum(way(*handle.layer_gradient({input_name: images}, target, layer)), 0.0)

    def whole(way: Callable[[Any, Any], Any]) -> Any:
        return resize(ours(way), images.shape[1:3])

    for way, kind in (("Grad-CAM", GradCAM), ("Grad-CAM++", GradCAMPP)):
        explainer = kind(model, conv_layer=layer, batch_size=len(images))
        theirs, slow = timed(lambda explainer=explainer: explainer(images, one_hot))
        maps, slopes = explainer._gradient(images, one_hot)
        low = explainer._apply_weights(explainer._compute_weights(slopes, maps), maps)
        found, fast = timed(lambda way=way: whole(MAPS[way]))
        mine = ours(MAPS[way])
        if way == "Grad-CAM":
            said(name, way, "xplique", apart(mine, low), fast, slow)
            same = tf.image.resize(np.asarray(low)[..., None], images.shape[1:3]).numpy()[..., 0]
            said(name, way + ", over the input", "xplique", apart(found, same), fast, slow)
            said(name, way + ", bicubic", "xplique", apart(found, np.asarray(theirs)[..., 0]), fast, slow)
        else:
            # they take the mean of the activations where the paper's equation 19 has their sum
            places = float(np.prod(mine.shape[1:]))
            scaled = np.maximum(_with_means(*handle.layer_gradient({input_name: images}, target, layer)), 0.0)
            said(name, way + ", their way", "xplique", apart(scaled, low), fast, slow)
            share = np.corrcoef(mine.reshape(-1), np.asarray(low).reshape(-1))[0, 1]
            said(name, way + f", paper ({places:.0f} places)", "xplique", f"correlation {share:.3f}", fast, slow)

    def score(output: Any) -> Any:
        return [output[row, column] for row, column in enumerate(target)]

    for way, kind in (("Grad-CAM", Gradcam), ("LayerCAM", Layercam)):
        visual = kind(_fresh(model))
        more = {
            "penultimate_layer": layer,
            "expand_cam": False,
            "normalize_cam": False,
            "seek_penultimate_conv_layer": False,
        }
        theirs, slow = timed(lambda visual=visual, more=more: visual(score, images, **more), 3)
        found, fast = timed(lambda way=way: ours(MAPS[way]))
        said(name, way, "tf-keras-vis", apart(found, theirs), fast, slow)


def _fresh(model: Any) -> Any:
    """A functional copy: tf-keras-vis finds no gradient in a Sequential model that comes from a file."""
    import tensorflow as tf

    copy = tf.keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    copy.get_layer(model.layers[-1].name).activation = model.layers[-1].activation
    return tf.keras.Model(copy.inputs, copy.outputs)


def _with_means(activations: Any, slopes: Any) -> Any:
    square, cube = slopes**2, slopes**3
    below = 2.0 * square + activations.mean(axis=(1, 2), keepdims=True) * cube
    share = np.divide(square, below, out=np.zeros_like(square), where=below != 0) * np.maximum(slopes, 0.0)
    return (share.mean(axis=(1, 2), keepdims=True) * activations).sum(axis=-1)


def rules(name: str, handle: Any, images: Any, target: Any) -> None:
    """Guided backpropagation and deconvolution beside xplique's, whose guided ReLU lets through what is cut off above."""
    from xplique.attributions import DeconvNet, GuidedBackprop

    input_name = handle._inputs[0].name
    one_hot = np.eye(handle._width(), dtype=np.float32)[target]
    for rule, kind in (("guided", GuidedBackprop), ("deconvolution", DeconvNet)):
        explainer = kind(handle._model, batch_size=len(images), reducer=None)
        theirs, slow = timed(lambda explainer=explainer: explainer(images, one_hot))
        run = {input_name: images}
        found, fast = timed(lambda run=run, rule=rule: handle.rectified_gradient(run, target, rule)[input_name])
        said(name, rule, "xplique", apart(found, theirs), fast, slow)
        cut = [layer for layer in explainer.model.layers if getattr(layer, "max_value", None)]
        if rule == "guided" and cut:
            explainer = kind(handle._model, batch_size=len(images), reducer=None)
            for layer in explainer.model.layers:
                if getattr(layer, "max_value", None):
                    layer.call = _off_above(layer.max_value)
            said(name, rule + ", off above as well", "xplique", apart(found, explainer(images, one_hot)), fast, slow)


def _off_above(limit: float) -> Any:
    import tensorflow as tf

    @tf.custom_gradient
    def guided(given: Any) -> Any:
        on = tf.cast((given > 0) & (given < limit), given.dtype)
        return tf.clip_by_value(given, 0.0, limit), lambda slope: tf.nn.relu(slope) * on

    return guided


def score_cams(name: str, handle: Any, images: Any, target: Any) -> None:
    """Score-CAM on one image: all channels, beside tf-keras-vis, whose weights are probabilities of the class."""
    import tensorflow as tf
    from tf_keras_vis.scorecam import Scorecam

    layer = pick_spatial((one.name, one.kind, one.shape) for one in handle.layers)
    channels = next(one.shape[-1] for one in handle.layers if one.name == layer)
    row, column, input_name = images[:1], int(target[0]), handle._inputs[0].name
    rows = Rows(
        {input_name: row}, target[:1], References({}), FeatureMap(("all",), {input_name: np.zeros(row.shape[1:], int)})
    )
    found, fast = timed(lambda: score_cam(handle, rows, ScoreCamParams(channels=channels, softmax=False)), 2)
    visual = Scorecam(_fresh(handle._model))

    def score(output: Any) -> Any:
        return tf.reshape(output, (-1,))[column : column + 1]

    more = {"penultimate_layer": layer, "normalize_cam": False, "seek_penultimate_conv_layer": False}
    theirs, slow = timed(lambda: visual(score, row, **more), 1)
    share = np.corrcoef(found[input_name].sum(axis=-1).reshape(-1), np.asarray(theirs).reshape(-1))[0, 1]
    said(name, f"Score-CAM, {channels} channels", "tf-keras-vis", f"correlation {share:.3f}", fast, slow)


def mass_in_boxes(handle: Any, folder: Path) -> None:
    """How much of each map lies in the box drawn around the object, beside the box's share of the picture."""
    from PIL import Image

    objects = json.loads((folder / "images" / "objects.json").read_text())
    print(
        f"\n{'picture':<16} {'box':<14} {'area':>6}",
        *(f"{way:>11}" for way in (*MAPS, "guided")),
        f"{'top place in':>13}",
    )
    input_name = handle._inputs[0].name
    for picture, about in objects.items():
        if not picture.endswith(".png"):
            continue
        image = cropped(Image.open(folder / "images" / picture).convert("RGB"))
        target = np.array([about["class"]])
        inputs = {input_name: image}
        features = FeatureMap(("all",), {input_name: np.zeros(image.shape[1:], int)})
        rows = Rows(inputs, target, References({}), features)
        given, slopes = handle.layer_gradient(inputs, target, "top_relu")
        maps = {w: over_input(np.maximum(m(given, slopes), 0.0), rows)[input_name][0].sum(-1) for w, m in MAPS.items()}
        maps["guided"] = np.abs(handle.rectified_gradient(inputs, target, "guided")[input_name])[0].sum(-1)
        boxes = {key: box for key, box in about.items() if key.startswith("box_")}
        for key, (x0, y0, x1, y1) in boxes.items():
            area = (x1 - x0) * (y1 - y0) / 224**2
            shares = [found[y0:y1, x0:x1].sum() / max(found.sum(), 1e-12) for found in maps.values()]
            y, x = np.unravel_index(maps["Grad-CAM"].argmax(), (224, 224))
            inside = "yes" if y0 <= y < y1 and x0 <= x < x1 else "no"
            print(
                f"{picture:<16} {key[4:]:<14} {area:>6.2f}", *(f"{share:>11.2f}" for share in shares), f"{inside:>13}"
            )


def cropped(picture: Any) -> Any:
    """The centre square of 0.875 of the shorter side in 224 pixels, as the network reads it."""
    side = round(0.875 * min(picture.size))
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    from PIL import Image

    small = picture.crop((left, top, left + side, top + side)).resize((224, 224), Image.Resampling.BICUBIC)
    return ((np.asarray(small, np.float32) - 127.0) / 128.0)[None]


def main() -> None:
    folder = Path(sys.argv[1])
    head = ("model", "what", "other", "largest difference", "ours ms", "theirs ms", "ratio")
    print("{:<18} {:<26} {:<14} {:>22} {:>9} {:>9} {:>6}".format(*head))
    digits = open_model(folder / "ci_image_mnist" / "mnist_cnn.keras", View("logit"))
    held = np.load(folder / "ci_image_mnist" / "data.npz")
    images = next(held[key] for key in held.files if held[key].ndim == 4)[:32].astype(np.float32)
    images = images / 255.0 if images.max() > 1.5 else images
    target = digits.predict({digits._inputs[0].name: images}).argmax(axis=1)
    for compare in (cams, rules, score_cams):
        compare("MNIST, 32 rows" if compare is not score_cams else "MNIST, 1 row", digits, images, target)
    from PIL import Image

    lite = open_model(folder / "image_efficientnet_lite0" / "efficientnet_lite0.keras", View("logit"))
    names = ("coffee.png", "camera.png", "chelsea.png", "astronaut.png")
    images = np.concatenate([cropped(Image.open(folder / "images" / name).convert("RGB")) for name in names])
    target = lite.predict({"image": images}).argmax(axis=1)
    for compare in (cams, rules):
        compare("Lite0, 4 rows", lite, images, target)
    if "--score-cam" in sys.argv:
        score_cams("Lite0, 1 row", lite, images, target)
    mass_in_boxes(lite, folder)


if __name__ == "__main__":
    main()
