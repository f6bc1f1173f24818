"""The store against a dictionary for ten thousand steps: sixteen writers at a time, damage, vanished files, deaths, sweeps.

python benchmarks/execution/stateful.py [--steps 10000] [--seed 20261123]
"""

import argparse
import sys
import time
import types
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT))
sys.modules["tests"] = types.ModuleType("tests")  # other distributions ship a package of this name
sys.modules["tests"].__path__ = [str(ROOT / "tests")]

from hypothesis import HealthCheck, Phase, seed, settings  # noqa: E402
from hypothesis.stateful import run_state_machine_as_test  # noqa: E402

from tests.evidence.store_machine import WRITERS, StoreMachine  # noqa: E402

STEPS_A_STORE = 50


class Counted(StoreMachine):
    steps = 0
    stores = 0

    def __init__(self):
        super().__init__()
        Counted.stores += 1

    def check_invariants(self, *arguments, **more):
        Counted.steps += 1
        return super().check_invariants(*arguments, **more)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=20261123)
    options = parser.parse_args()
    began = time.monotonic()
    number = 0
    while Counted.steps < options.steps:
        machine = seed(options.seed + number)(Counted)
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=20, stateful_step_count=STEPS_A_STORE, deadline=None, database=None,
                phases=[Phase.generate, Phase.shrink], suppress_health_check=list(HealthCheck),
            ),
        )  # fmt: skip
        number += 1
        print(f"{Counted.steps:,} steps on {Counted.stores} stores, {time.monotonic() - began:.0f} s", flush=True)
    print(
        f"{Counted.steps:,} steps with up to {WRITERS} writers at a time: the store was always as the dictionary said"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
