"""Order of the tests: those that take milliseconds before those that import a framework."""

import os

import pytest
from hypothesis import settings

# a submission must not fail by the luck of a draw; people's own runs go on looking for new examples
settings.register_profile("ci", derandomize=True, deadline=None)
if os.environ.get("CI"):
    settings.load_profile("ci")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put tests that import a framework last; within each part the order stays."""
    items.sort(key=lambda item: item.get_closest_marker("frameworks") is not None)
