"""tf-explain beside our own methods: Keras files on TensorFlow, whose handles can also be asked what tf-explain computes.

A framework of its own, so that the versions of tf-explain and OpenCV are part of the keys of what they compute, and of
nothing else.
"""

from pathlib import Path

from runtimes.capabilities import View
from runtimes.formats.embedding_tables import LooksUp
from runtimes.formats.keras_facts import facts_of
from runtimes.formats.keras_file import read_keras
from runtimes.formats.keras_runtime import open_for_prediction
from runtimes.formats.keras_tf_explain import NEEDED, RunsTfExplain
from runtimes.frameworks import tensorflow_native
from runtimes.frameworks.tensorflow_native import SAVED_MODEL, KerasDifferentiable, KerasPredictor, handle_of
from runtimes.target import ModelFacts, Target

TARGET = Target(
    name="keras_tf_explain",
    formats=("keras",),
    suffixes=(".keras", ".h5"),
    capabilities=tensorflow_native.TARGET.capabilities - {"Trainable"} | {"TfExplained"},
    distributions=(*tensorflow_native.TARGET.distributions, *NEEDED.values()),
    price=2.5,
    rests_on=("tensorflow_native",),
)


def warm_up() -> None:
    """Import what every model needs, and open none: processes are forked from here."""
    tensorflow_native.warm_up()


def inspect(path: Path, view: View | None = None) -> ModelFacts:
    """Read static facts of a Keras file, as it will answer under a view. Raises `ModelFileError`."""
    return tensorflow_native.inspect(path, view)


def open_model(path: Path, view: View) -> KerasPredictor | LooksUp:
    """Open a Keras file for one view; tf-explain is imported when it is asked for something.

    Raises:
        ModelFileError: the file is refused, or cannot give this score.
    """
    if path.suffix.lower() == SAVED_MODEL:
        return tensorflow_native.open_model(path, view)
    facts_of(path, view)
    file = read_keras(path, view.powers)
    return handle_of(file, lambda: open_for_prediction(file), view, TfExplainedModel)


class TfExplainedModel(KerasDifferentiable, RunsTfExplain):
    """A Keras model in one view with gradients, that tf-explain can be run on."""
