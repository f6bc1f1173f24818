"""Order of the tests: those that take milliseconds before those that import a framework."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put tests that import a framework last; within each part the order stays."""
    items.sort(key=lambda item: item.get_closest_marker("frameworks") is not None)
