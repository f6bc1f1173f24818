"""The live view as lines of text that fit a terminal, however narrow, in Unicode or ASCII."""

import unicodedata
from dataclasses import dataclass

from pgx_compiler.diagnostics.render import harmless
from pgx_compiler.progress.standing import Group, Said, Standing

_MOST = 8
"""Steps that are shown at once; the others are counted."""
_BAR = 16
_NAME = 32
"""Cells of a name."""


@dataclass(frozen=True)
class Signs:
    """What a terminal can show."""

    full: str
    empty: str
    cut: str
    only_ascii: bool = False

    def shown(self, text: str) -> str:
        """A name or message without anything that moves the cursor, in characters that can be shown."""
        plain = " ".join(harmless(text[:4000]).split())
        return plain.encode("ascii", "backslashreplace").decode("ascii") if self.only_ascii else plain


UNICODE = Signs("━", "─", "…")
ASCII = Signs("#", "-", "...", only_ascii=True)


def cells(text: str) -> int:
    """Cells of a terminal that a text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text
    )


def cut(text: str, width: int, signs: Signs) -> str:
    """A text in at most so many cells."""
    if cells(text) <= width:
        return text
    room, kept = width - cells(signs.cut), ""
    for character in text:
        room -= cells(character)
        if room < 0:
            break
        kept += character
    return kept + signs.cut if width > cells(signs.cut) else kept[:width]


def stays(said: Said, width: int, signs: Signs) -> str:
    """The line of what is done or has failed."""
    if said.status == "failed":
        return cut(f"  failed  {signs.shown(said.name)}  {signs.shown(said.text)}", width, signs)
    rows = f"{said.rows:,} model rows, " if said.rows else ""
    return cut(f"  done  {signs.shown(said.name)}  {rows}{said.seconds:.1f} s", width, signs)


def frame(standing: Standing, now: float, width: int, height: int, signs: Signs) -> list[str]:
    """What stands at the bottom: a line for each step at work, and one for the whole."""
    groups = standing.groups
    room = max(1, min(_MOST, height - 3))
    shown = groups[:room] if len(groups) <= room else groups[: max(1, room - 1)]
    names = min(_NAME, max((cells(signs.shown(name)) for name in standing.names), default=0))
    lines = [_line(group, now, names, width, signs) for group in shown]
    if len(groups) > len(shown):
        lines.append(cut(f"  and {len(groups) - len(shown):,} more steps at work", width, signs))
    return [*lines, summary(standing, now, width, signs)]


def _line(group: Group, now: float, names: int, width: int, signs: Signs) -> str:
    filled = int(_BAR * group.share)
    parts = {
        "share": f"  {int(100 * group.share):3d} %",
        "bar": f"  {signs.full * filled}{signs.empty * (_BAR - filled)}",
        "clock": f"  {elapsed(now - group.since):>7}",
        "nodes": f"  {group.ended:,} of {group.nodes:,} parts" if group.nodes > 1 else "",
    }
    names = max(4, min(names, width - 2 - len(parts["share"])))
    room, fits = width - 2 - names, set()
    for part, text in parts.items():  # the first are worth most
        if len(text) <= room:
            fits.add(part)
            room -= len(text)
    name = cut(signs.shown(group.name), names, signs)
    told = "".join(parts[part] for part in ("bar", "share", "clock", "nodes") if part in fits)
    return cut(f"  {name}{' ' * (names - cells(name))}{told}".rstrip(), width, signs)


def summary(standing: Standing, now: float, width: int, signs: Signs) -> str:
    """The whole run in one line; what matters most is said first."""
    left, whole = standing.left(now)
    lost = f"{standing.lost:,} failed or blocked" if standing.lost else ""
    rest = "" if left is None else f"{'about' if whole else 'at least'} {roughly(left)} left"
    ran = elapsed(0.0 if standing.began is None else now - standing.began)
    now_at = f"{standing.at_work:,} at work" if standing.ended < standing.nodes else "writing the factsheet"
    told = [f"{standing.done:,} of {standing.nodes:,} done", lost, now_at,
            f"{standing.waiting:,} waiting" if standing.waiting else "", ran, rest]  # fmt: skip
    line = f"  {', '.join(part for part in told if part)}"
    if cells(line) <= width:
        return line
    few = [f"{standing.done}/{standing.nodes}", f"{standing.lost} failed" if standing.lost else "",
           "" if left is None else roughly(left)]  # fmt: skip
    return cut("  ".join(part for part in few if part), width, signs)


def elapsed(seconds: float) -> str:
    """A clock: ``0:07``, ``12:30``, ``2:05:00``."""
    whole = max(0, int(seconds))
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"


def roughly(seconds: float) -> str:
    """A duration that does not pretend to be exact, and so does not flicker."""
    if seconds < 5:
        return "5 s"
    if seconds < 55:
        return f"{5 * round(seconds / 5)} s"
    minutes = max(1, round(seconds / 60))
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60:,} h" + (f" {5 * (minutes % 60 // 5)} min" if minutes % 60 >= 5 else "")
