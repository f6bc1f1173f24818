"""The means of a run: where its nodes are computed, how many at a time, locked up how, and what each may take."""

import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pgx_compiler.diagnostics.diagnostic import AuthorError, Code, Diagnostic, Diagnostics
from pgx_compiler.execute.run import PERFORM, Policy
from runtimes.engines import machine, sandbox
from runtimes.engines.contract import CannotOpen, Engine, Limits, Sandbox, Setting

SECONDS = 3600.0
"""Wall clock that one node may take: long nodes are cut into shards, so that an hour means that something hangs."""

NO_SANDBOX = Code(
    5013,
    "sandbox-not-there",
    "`--sandbox required` was asked for, but this host lacks a protection that workers are locked up with: a kernel without "
    "Landlock (Linux before 5.13, or switched off), or a container that forbids user namespaces and seccomp filters. "
    "`pgx doctor` lists each. `--sandbox auto` runs with those that there are, and the factsheet says which.",
)


NO_ENGINE = Code(
    5017,
    "engine-not-there",
    "The engine that `--engine` names cannot be used: for `ray` its package is not installed, no cluster is named or none answers at the "
    "address, or a machine of the cluster has other software than this one, and results would not be the same everywhere. "
    "docs/cluster.md tells what a cluster needs.",
)

_FILES = {"ray": "ray_cluster"}
"""Engines whose file has another name than they have on the command line."""
_ON_A_CLUSTER = 64
"""Nodes that a cluster is given at a time where nobody says how many; it queues what it has no room for."""


@dataclass(frozen=True)
class Means:
    """What a run is given; None: as this machine has it."""

    engine: str = "processes"
    """``processes``, ``inline`` or ``ray``."""
    jobs: int | None = None
    """Nodes computed at a time; by default one for each usable core, and what a cluster has room for."""
    sandbox: Sandbox = "auto"
    seconds: float | None = SECONDS
    """Wall clock of one node; None: no limit."""
    memory: int | None = None
    """Bytes that a worker may hold; by default its share of its machine's memory."""
    fail_fast: bool = False
    address: str | None = None
    """Where the cluster is, for an engine that uses one."""

    @cached_property
    def at_a_time(self) -> int:
        """Nodes computed at a time."""
        if self.engine == "inline":
            return 1
        return self.jobs or (_ON_A_CLUSTER if self._elsewhere else machine.cores())

    @property
    def _elsewhere(self) -> bool:
        """Whether nodes are computed on other machines: what this one has does not bound them."""
        return self.engine == "ray"

    @property
    def policy(self) -> Policy:
        """What the run allows its nodes."""
        memory = self.memory or (None if self._elsewhere else machine.memory_of_worker(self.at_a_time))
        ahead = 1 if self.engine == "inline" else 64 + 4 * self.at_a_time
        room = None if self._elsewhere else machine.room()
        return Policy(Limits(self.seconds, memory), self.fail_fast, room, ahead)

    def open_engine(self, store: Path, logs: Path, lanes: Iterable[str] = ()) -> Engine:
        """An engine of these means. Raises `AuthorError` where it cannot be used.

        Args:
            store: folder of the store.
            logs: folder for what workers print.
            lanes: what nodes are going to need.
        """
        setting = Setting(
            self.at_a_time, store, store / "boxes", logs, self.sandbox, machine.room(), tuple(lanes),
            (PERFORM.partition(":")[0],), self.address,
        )  # fmt: skip
        try:
            opened: Engine = self._module().open_engine(setting)
        except CannotOpen as error:
            raise _no_engine(error) from error
        return opened

    def _module(self) -> Any:
        return importlib.import_module(f"runtimes.engines.{_FILES.get(self.engine, self.engine)}")

    def require_engine(self) -> None:
        """Raises `AuthorError` where the engine cannot be used, as far as that can be told without opening it."""
        if self._elsewhere:
            try:
                self._module().chosen(self.address)
            except CannotOpen as error:
                raise _no_engine(error) from error

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


def _no_engine(error: CannotOpen) -> AuthorError:
    found = Diagnostics()
    found.add(Diagnostic(NO_ENGINE, str(error), None, error.help))
    return AuthorError(found)
