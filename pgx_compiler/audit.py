"""The audit as a Python object: facts, findings and arrays that can be used, and a face for notebooks."""

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from pgx_compiler import driver
from pgx_compiler.diagnostics.diagnostic import AuthorError, Diagnostics
from pgx_compiler.evidence.canonical import unarchive
from pgx_compiler.execute.run import Observer
from pgx_compiler.plan.plan import Plan
from pgx_compiler.progress import watch
from pgx_compiler.report.factsheet import Fact, Factsheet, FindingEntry, GateEntry, Verdict
from pgx_compiler.spec.overrides import Overrides


@dataclass(frozen=True)
class Audit:
    """A finished audit, read from its run's folder."""

    folder: Path
    factsheet: Factsheet

    @property
    def verdict(self) -> Verdict:
        """Passed, failed or incomplete, and why."""
        return self.factsheet.verdict

    @cached_property
    def facts(self) -> Mapping[str, Fact]:
        """Every fact by its id."""
        return {fact.id: fact for fact in self.factsheet.facts}

    @property
    def findings(self) -> list[FindingEntry]:
        """What a reader must know, gravest first."""
        return self.factsheet.findings

    @property
    def gates(self) -> list[GateEntry]:
        """What had to hold, and whether it does."""
        return self.factsheet.gates

    @property
    def steps(self) -> list[str]:
        """The steps that left evidence."""
        return sorted(path.name for path in (self.folder / "evidence").iterdir() if path.is_dir())

    def arrays(self, step: str) -> dict[str, NDArray[Any]]:
        """The arrays of a step: of an attribution ``values (rows, features)``, ``feature_names``, ``row_ids``, ….

        Of several targets also ``values_all (rows, features, targets)``, ``targets_all (rows, targets)``, ….
        A step of several results (one for each pair or method) gives ``<result>/<array>``.

        Raises:
            KeyError: no step is called so; the message names those that are.
        """
        files = sorted((self.folder / "evidence" / step).glob("*.npz")) if step in self.steps else []
        if not files:
            there = [name for name in self.steps if any((self.folder / "evidence" / name).glob("*.npz"))]
            raise KeyError(f"no arrays of a step `{step}`; there are: {', '.join(there)}")
        if len(files) == 1:
            return unarchive(files[0].read_bytes())
        return {f"{file.stem}/{name}": array for file in files for name, array in unarchive(file.read_bytes()).items()}

    @property
    def files(self) -> list[Path]:
        """The factsheet's files."""
        return sorted(self.folder.glob("factsheet.*"))

    def __repr__(self) -> str:
        name = f"{self.factsheet.audit.name} {self.factsheet.audit.version}"
        return f"<Audit {name}: {self.verdict.status}; {self.verdict.sentence}>"

    def _repr_html_(self) -> str:
        """Page 1 in small, for notebooks: verdict, gates, findings, and where the files are."""
        colour = {"passed": "#1a7f37", "failed": "#b42318", "incomplete": "#9a6700"}[self.verdict.status]
        mark = {"passed": "✓", "failed": "✕", "incomplete": "◐"}
        gates = "".join(
            f"<tr><td>{_GATE[gate.status]}</td><td style='text-align:left'>{html.escape(gate.title)}</td>"
            f"<td>{_number(gate.value)}</td><td>{html.escape(gate.threshold)}</td></tr>"
            for gate in self.gates
        )
        findings = "".join(
            f"<li><b>{html.escape(item.severity)}</b> {html.escape(item.title)}</li>"
            for item in self.findings
            if item.verdict == "holds" and item.severity != "info"
        )
        files = ", ".join(f"<code>{html.escape(str(path))}</code>" for path in self.files)
        return (
            f"<div><h4 style='margin:.2em 0'>{html.escape(self.factsheet.audit.name)} "
            f"{html.escape(self.factsheet.audit.version)} <span style='color:{colour}'>{mark[self.verdict.status]} "
            f"{self.verdict.status}</span></h4><p>{html.escape(self.verdict.sentence)}</p>"
            f"<table><tr><th></th><th>what had to hold</th><th>value</th><th>required</th></tr>{gates}</table>"
            f"<ul>{findings}</ul><p>{files}</p></div>"
        )


_GATE = {"passed": "✓ passed", "failed": "✕ failed", "unknown": "◐ undecided"}


def _number(value: float | None) -> str:
    return "—" if value is None else f"{value:.3g}"


def check(path: str | Path, sets: Sequence[str] = (), profiles: Sequence[str] = ()) -> Diagnostics:
    """Everything that is wrong with a spec, in one go. Raises `AuthorError` where it cannot be read as text."""
    return driver.check(path, Overrides(tuple(sets), tuple(profiles))).diagnostics


def compile(path: str | Path, sets: Sequence[str] = (), profiles: Sequence[str] = ()) -> Plan:
    """The plan of a spec, with values (``PATH=VALUE``) and profiles laid over it. Raises `AuthorError`."""
    return driver.compile(path, Overrides(tuple(sets), tuple(profiles)))


def run(
    path: str | Path,
    output: str | Path | None = None,
    jobs: int = 2,
    engine: str = "processes",
    observer: Observer | None = None,
    sets: Sequence[str] = (),
    profiles: Sequence[str] = (),
) -> Audit:
    """Run a spec; shows its progress in a terminal unless an observer is given. Raises `AuthorError`.

    Args:
        path: the spec.
        output: folder of the run (default ``runs/<name>/<time>-<digest>``).
        jobs: steps computed at a time.
        engine: ``processes`` or ``inline``.
        observer: told what happens instead of the terminal.
        sets: values laid over the spec, each ``PATH=VALUE``: ``explain.rows.sample=8``.
        profiles: names of the spec's profiles to lay over it.
    """
    overrides = Overrides(tuple(sets), tuple(profiles))
    if observer is not None:
        ran = driver.run(path, output, jobs, engine, observer, overrides=overrides)
    else:
        with watch() as terminal:
            ran = driver.run(path, output, jobs, engine, overrides=overrides, listeners=[terminal])
    return Audit(ran.folder, ran.factsheet)


def load(folder: str | Path) -> Audit:
    """A finished audit from its run's folder. Raises `AuthorError` where the folder is not that of a run."""
    place = Path(folder)
    try:
        document = json.loads((place / "factsheet.json").read_bytes())
        return Audit(place, Factsheet.model_validate(document))
    except (OSError, ValueError) as error:
        raise driver.not_a_run(place, error) from error


__all__ = ["Audit", "AuthorError", "check", "compile", "load", "run"]
