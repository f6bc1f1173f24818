"""3D convolutions through the compiled Keras model: what TensorFlow fuses is what the layers say."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.frameworks

ROOT = Path(__file__).parents[2]

PADDED_TWICE = """
import sys
from pathlib import Path
import numpy as np
from runtimes.capabilities import View
from runtimes.formats.keras_runtime import keras
from runtimes.frameworks import tensorflow_native
k = keras()
k.utils.set_random_seed(1)
layers = [k.layers.ZeroPadding3D(1), k.layers.Conv3D(3, 3, padding="same"), k.layers.Flatten(), k.layers.Dense(2)]
model = k.Sequential([k.Input((4, 5, 6, 2), name="x"), *layers])
path = Path(sys.argv[1]) / "model.keras"
model.save(path)
tensorflow_native.inspect(path)
x = np.random.default_rng(0).normal(size=(3, 4, 5, 6, 2)).astype(np.float32)
handle = tensorflow_native.open_model(path, View("value", "regression"))
np.testing.assert_allclose(handle.predict({"x": x}), model(x).numpy(), atol=1e-4)
"""


def test_a_padding_before_a_convolution_that_pads_itself_is_kept(tmp_path: Path) -> None:
    # In a process of its own, since what is fused is settled for all graphs of a process.
    ran = subprocess.run(
        [sys.executable, "-c", PADDED_TWICE, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr[-800:]
