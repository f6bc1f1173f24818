"""The means of a run: where its nodes are computed, how many at a time, locked up how, and what each may take."""

import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pgx_compiler.diagnostics.diagnostic import AuthorError, Code, Diagnostic, Diagnostics
from pgx_compiler.execute.run import PERFORM, Policy
from runtimes.engines import machine, sandbox
from runtimes.engines.contract import Engine, Limits, Sandbox, Setting

SECONDS = 3600.0
"""Wall clock that one node may take: long nodes are cut into shards, so that an hour means that something hangs."""

NO_SANDBOX = Code(
    5013,
    "sandbox-not-there",
    "`--sandbox required` was asked for, but this host lacks a protection that workers are locked up with: a kernel without "
    "Landlock (Linux before 5.13, or switched off), or a container that forbids user namespaces and seccomp filters. "
    "`pgx doctor` lists each. `--sandbox auto` runs with those that there are, and the factsheet says which.",
)


@dataclass(frozen=True)
class Means:
    """What a run is given; None: as this machine has it."""

    engine: str = "processes"
    """File name under ``runtimes/engines``."""
    jobs: int | None = None
    """Nodes computed at a time; by default one for each usable core."""
    sandbox: Sandbox = "auto"
    seconds: float | None = SECONDS
    """Wall clock of one node; None: no limit."""
    memory: int | None = None
    """Bytes that a worker may hold; by default its share of the machine's memory."""
    fail_fast: bool = False

    @cached_property
    def at_a_time(self) -> int:
        """Nodes computed at a time."""
        return 1 if self.engine == "inline" else self.jobs or machine.cores()

    @property
    def policy(self) -> Policy:
        """What the run allows its nodes."""
        memory = self.memory or machine.memory_of_worker(self.at_a_time)
        ahead = 1 if self.engine == "inline" else 64 + 4 * self.at_a_time
        return Policy(Limits(self.seconds, memory), self.fail_fast, machine.room(), ahead)

    def open_engine(self, store: Path, logs: Path, lanes: Iterable[str] = ()) -> Engine:
        """An engine of these means.

        Args:
            store: folder of the store.
            logs: folder for what workers print.
            lanes: what nodes are going to need.
        """
        setting = Setting(
            self.at_a_time, store, store / "boxes", logs, self.sandbox, machine.room(), tuple(lanes),
            (PERFORM.partition(":")[0],),
        )  # fmt: skip
        opened: Engine = importlib.import_module(f"runtimes.engines.{self.engine}").open_engine(setting)
        return opened

    def require_sandbox(self) -> None:
        """Raises `AuthorError` where a sandbox is required that this host does not give."""
        if self.sandbox != "required":
            return
        lacks = {"files": "the engine `inline` has none"} if self.engine == "inline" else sandbox.tried_here().lacks
        if lacks:
            found = Diagnostics()
            told = "; ".join(f"{name}: {why}" for name, why in sorted(lacks.items()))
            help_ = "run on a host that has it (`pgx doctor` lists each protection), or say `--sandbox auto`"
            found.add(Diagnostic(NO_SANDBOX, f"the sandbox is required, but not whole here ({told})", None, help_))
            raise AuthorError(found)
