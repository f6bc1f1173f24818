"""Our Grad-CAM beside tf-explain 0.3.1: what it computes, what it returns, and how fast.

``python benchmarks/gradient/beside_tf_explain.py FOLDER`` with the folder of example models that `_cases` describes, in an
environment that also has tf-explain and opencv-python-headless. tf-explain gives pictures in colours (``explain``) and takes
one class for all rows; its numbers are read from the steps inside, on a functional copy of the model, without which a
Sequential model that was never called fails.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pgx_compiler.methods.gradient._layers import pick_spatial
from pgx_compiler.methods.gradient.grad_cam import grad_cam_map
from runtimes.capabilities import View
from runtimes.frameworks.tensorflow_native import open_model


def seconds(run: Callable[[], Any], repeats: int = 3) -> float:
    """The best time of a call after a first one."""
    run()
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        found.append(time.perf_counter() - start)
    return min(found)


def compare(name: str, path: Path, images: Any) -> None:
    """One class for all images, the logit, at the layer that we take by ourselves."""
    import tensorflow as tf
    from tf_explain.core.grad_cam import GradCAM

    handle = open_model(path, View("logit"))
    tensor = handle._inputs[0].name
    layer = pick_spatial((one.name, one.kind, one.shape) for one in handle.layers)
    copy = tf.keras.models.clone_model(handle._model)
    copy.set_weights(handle._model.get_weights())
    copy.layers[-1].activation = tf.keras.activations.linear
    copy = tf.keras.Model(copy.inputs[0], copy.outputs[0])
    column = int(handle.predict({tensor: images})[0].argmax())
    target = np.full(len(images), column)
    signed = grad_cam_map(*handle.layer_gradient({tensor: images}, target, layer))

    def theirs(guided: bool) -> Any:
        maps, slopes = GradCAM.get_gradients_and_filters(copy, images, layer, column, guided)
        return np.stack([np.asarray(one) for one in GradCAM.generate_ponderated_output(maps, slopes)])

    plain, guided = theirs(False), theirs(True)
    size = np.abs(signed).max()
    print(f"\n{name}: {len(images)} rows, layer {layer}, class {column}")
    print(
        f"  without guided gradients: largest difference {np.abs(plain - signed).max() / size:.1e} of the largest value"
    )
    correlations = [np.corrcoef(a.reshape(-1), b.reshape(-1))[0, 1] for a, b in zip(guided, signed, strict=True)]
    print(f"  as it is (guided gradients): correlation with Grad-CAM {np.round(correlations, 3).tolist()}")
    picture = GradCAM().explain((images, None), copy, column, layer_name=layer)
    print(f"  explain() gives {picture.dtype} {picture.shape}: {len(images)} maps as one picture in colours")
    ours = seconds(lambda: grad_cam_map(*handle.layer_gradient({tensor: images}, target, layer)))
    slow = seconds(lambda: GradCAM().explain((images, None), copy, column, layer_name=layer))
    print(f"  ours {ours * 1e3:.1f} ms, theirs {slow * 1e3:.1f} ms: {slow / ours:.1f} times")
    try:
        GradCAM().explain((images, None), tf.keras.models.load_model(path, compile=False), column)
        print("  without a layer's name, on the model as loaded: works")
    except Exception as error:  # noqa: BLE001 - what it raises is what is measured
        print(f"  without a layer's name, on the model as loaded: {type(error).__name__}: {str(error)[:80]}")


def main() -> None:
    folder = Path(sys.argv[1])
    held = np.load(folder / "ci_image_mnist" / "data.npz")
    images = next(held[key] for key in held.files if held[key].ndim == 4)[:8].astype(np.float32)
    images = images / 255.0 if images.max() > 1.5 else images
    compare("MNIST", folder / "ci_image_mnist" / "mnist_cnn.keras", images)
    from layers import cropped
    from PIL import Image

    names = ("coffee.png", "camera.png", "chelsea.png", "astronaut.png")
    pictures = np.concatenate([cropped(Image.open(folder / "images" / name).convert("RGB")) for name in names])
    compare("EfficientNet-Lite0", folder / "image_efficientnet_lite0" / "efficientnet_lite0.keras", pictures)


if __name__ == "__main__":
    main()
