"""Order of the tests: those that take milliseconds before those that import a framework; and what holds for all of them."""

import gc
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# a submission must not fail by the luck of a draw; people's own runs go on looking for new examples
settings.register_profile("ci", derandomize=True, deadline=None)
if os.environ.get("CI"):
    settings.load_profile("ci")

# Whoever starts the tests in the background may have them ignore these signals, and children would inherit that: what they
# do on a signal is what some tests are about.
for _number, _usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _usual)

# what pgx keeps for a person is not that of whoever runs the tests
_OWN = tempfile.TemporaryDirectory(prefix="pgx-config-")
os.environ["XDG_CONFIG_HOME"] = _OWN.name


SLOW = [
    "methods/test_laws.py", "runtimes/test_onnx_tensorflow.py", "runtimes/test_graph_relevance_recurrent.py",
    "runtimes/test_graph_relevance.py", "runtimes/test_tensorflow_native.py",
    "runtimes/test_keras_relevance_recurrent.py", "runtimes/test_laws_of_frameworks.py",
    "specs/test_examples.py", "verifying/test_damaged_runs.py", "tuning/test_german_credit.py",
    "hostile/test_output_streams.py", "hostile/test_run_faults.py", "hostile/test_store_faults.py",
    "report/test_hostile_pdf.py", "runtimes/test_saved_model.py", "runtimes/test_keras_quantised.py",
    "runtimes/test_keras_layers.py", "runtimes/test_token_models.py", "runtimes/test_graph_relevance_review.py",
    "tuning/test_whole_search.py",
]  # fmt: skip
"""Files that take 15 seconds of a core or more, longest first. In several processes they begin first (`make test` tells xdist to
keep this order): a file goes to one process whole, and the last to begin is what all others wait for."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put tests that import a framework last, and in several processes slow files first; else the order stays."""
    here = Path(__file__).parent
    begins = {here / name: place for place, name in enumerate(SLOW)} if hasattr(config, "workerinput") else {}

    def place(item: pytest.Item) -> tuple[int, bool]:
        slow = begins.get(item.path)
        return (len(begins), item.get_closest_marker("frameworks") is not None) if slow is None else (slow, False)

    items.sort(key=place)


_seen = 0


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """After a file, and once packages were imported, let the collector leave alone what is still held.

    Keras collects garbage at every training and for every quantised layer: a second a time, once all the packages, models and
    graphs of the tests before are looked over.
    """
    global _seen
    found = yield
    if nextitem is None or nextitem.path != item.path or len(sys.modules) > _seen + 500:
        gc.collect()
        gc.freeze()
        _seen = len(sys.modules)
    return found
