"""What a run is given, on the command line: its limits, and how workers are locked up."""

import argparse
from typing import Any

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def add_means(parser: argparse.ArgumentParser) -> None:
    """Declare what bounds a run, and what protects this machine from what it runs."""
    parser.add_argument(
        "--sandbox",
        choices=("auto", "required", "none"),
        default="auto",
        help="how models are locked up: with every protection that this host gives (auto, the default; `pgx doctor` lists "
        "them), only if it gives all of them (required), or not at all (none)",
    )
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=_seconds,
        default=3600.0,
        help="time that one node may take before it is ended (default 3600; 0: no limit)",
    )
    parser.add_argument(
        "--memory",
        metavar="SIZE",
        type=_size,
        help="memory that one worker may hold, such as 4G or 800M (default: its share of the machine's): one found to hold more, "
        "at a look every 0.2 seconds, is ended; in a sandbox, no worker is given more than twice as much and 4 GiB, even for a moment",
    )
    failing = parser.add_mutually_exclusive_group()
    failing.add_argument(
        "--keep-going",
        dest="fail_fast",
        action="store_false",
        help="when a node fails, go on with all that does not rest on it (default)",
    )
    failing.add_argument("--fail-fast", action="store_true", help="stop at the first node that fails")
    parser.set_defaults(fail_fast=False)


def means_of(options: argparse.Namespace) -> Any:
    """What the command line gives the run."""
    from pgx_compiler.execute.means import Means

    return Means(
        options.engine, options.jobs, options.sandbox, options.timeout or None, options.memory, options.fail_fast,
        options.address,
    )  # fmt: skip


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"`{text}` is no number of seconds") from None
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError("must be 0 (no limit) or more")
    return number


def _size(text: str) -> int:
    word = text.strip().upper().removesuffix("B").removesuffix("I")
    number, unit = (word[:-1], word[-1]) if word and word[-1] in _UNITS else (word, "")
    try:
        size = int(float(number) * _UNITS[unit])
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"`{text}` is no size such as 4G, 800M or 2147483648") from None
    if size < 2**26:
        raise argparse.ArgumentTypeError("must be at least 64M: Python alone takes half of it")
    return size
