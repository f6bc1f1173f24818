"""Order of the tests: those that take milliseconds before those that import a framework."""

import os
import signal
import tempfile

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put tests that import a framework last; within each part the order stays."""
    items.sort(key=lambda item: item.get_closest_marker("frameworks") is not None)
