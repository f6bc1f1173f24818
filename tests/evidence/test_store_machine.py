"""Some hundred steps of the store's machine; ten thousand are ``benchmarks/execution/stateful.py``."""

from hypothesis import HealthCheck, settings

from tests.evidence.store_machine import StoreMachine

TestStore = StoreMachine.TestCase
TestStore.settings = settings(
    max_examples=12, stateful_step_count=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
