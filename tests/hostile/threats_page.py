"""The page for readers: the threat model in short, what is promised and what is not, and what shows each row. Made from the register."""

from collections.abc import Mapping, Sequence
from typing import Any

HEAD = """# Threats

Specs, models and data come from others, and are taken for hostile until shown otherwise. This page says what is promised against
them, what is not, and which test shows each promise. It is made from `tests/hostile/register.py` by `make docs`.

## What is promised

- **Checking is safe.** `pgx check` and `pgx compile` read specs, models and data of strangers within bounds of time and memory,
  import no framework, open nothing outside of the spec's folder, and connect to nothing.
- **Running is contained.** Loading a model safely cannot be promised: models are programs. What cannot be told to be harmless from its
  file is refused. What is let through runs in a worker that reads its libraries and the files of its own step, writes in a box
  of its own, reaches no network and no other process, and is ended at its limits of time and memory. A death, a hang or a limit ends
  one step, by name, and never the run.
- **Trust is narrow.** Nothing in a spec or a model can grant itself a power. `pgx trust add` lets one file do one thing, for a reason and
  until a date; the sandbox stays on, and every factsheet that rests on it says so.
- **Evidence is durable and checked.** A result counts once it has reached the disk. Kills, power cuts and full disks lose nothing that
  counted; running again goes on from there. What is read back is hashed first: changed evidence is set aside, said and computed
  again, never used. `pgx verify` finds every change in a run's folder.
- **Words do nothing.** Names and messages of others are text on every page, in every file and on the terminal.
- **Every end is documented.** 0 passed, 1 a gate or finding failed, 2 the author's mistake or a place that cannot be written, 3 incomplete,
  4 stale plan or lock, 5 damaged evidence, 130 interrupted; 70 is our own failure, with a report in a file. Incomplete never
  reads as passed.

How much of the sandbox a host gives depends on its kernel: `pgx doctor` lists it, the factsheet names what was on, and `--sandbox
required` refuses to run without all of it.

## What is out of scope

Holes in the kernel and in drivers, side channels, an auditor who wants to deceive and holds the evidence and every copy of its seal,
and bad intent in a model's answers that no asked question touches. A file that is trusted to run code of its own can answer anything,
and so falsify what is measured of it: the sandbox keeps it from everything else. On systems other than Linux there is no sandbox.

## Who attacks what

"""


def page(sections: Mapping[str, tuple[str, Sequence[Any]]], threats: Sequence[Any]) -> str:
    """The whole page as Markdown."""
    lines = [HEAD + "| threat | | held by |", "|---|---|---|"]
    lines += [f"| {row.id} | {row.what} | {', '.join([*row.rows, *_tests(row)])} |" for row in threats]
    for letter, (title, rows) in sections.items():
        lines += ["", f"## {letter}. {title}", "", "| row | | shown by |", "|---|---|---|"]
        lines += [f"| {row.id} | {row.what} | {', '.join(_tests(row))} |" for row in rows]
    lines += ["", "## What the tests do not show", ""]
    every = [*threats, *(row for _, rows in sections.values() for row in rows)]
    lines += [f"- **{row.id}**, {row.what}: {row.open}." for row in every if row.open]
    return "\n".join(lines) + "\n"


def _tests(row: Any) -> list[str]:
    """Names of tests as people look for them: the function, linked to its file."""
    found = []
    for named in row.tests:
        file, _, name = named.partition("::")
        found.append(f"[{name}](../tests/{file})" if name else f"[`{file}`](../{file})")
    return found
