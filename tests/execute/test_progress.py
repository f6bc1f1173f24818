"""The live view: steps at work and what is left, calm, in any width and alphabet; a line now and then elsewhere."""

import io
import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pgx_compiler import progress
from pgx_compiler.execute.events import Event, RunEnded
from pgx_compiler.progress.lines import ASCII, UNICODE, cells, frame, roughly, stays, summary
from pgx_compiler.progress.standing import Said, Standing
from tests.execute.events_made import AT, begun, ended, far, started
from tests.report.hostile_strings import STRINGS


def after(*events: Event, every: float = 0.0) -> tuple[Standing, list[Said]]:
    standing, said = Standing(), []
    for number, event in enumerate(events):
        said += standing.take(event, number * every)
    return standing, said


def test_shards_of_a_step_are_one_line_and_said_once_when_all_are_done() -> None:
    parts = [f"explain.shap.{number}" for number in range(3)]
    standing, said = after(begun(4, shap=3), *(started(part, "shap") for part in parts), started("predict"),
                           far(parts[0], 5, 10, "shap"), ended(parts[1], step="shap"))  # fmt: skip
    lines = frame(standing, 2.0, 80, 24, UNICODE)
    # one part ended, one half done, one not begun: half of three
    assert [line.split()[0] for line in lines] == ["shap", "1"]
    assert " 50 %" in lines[0]
    assert "1 of 3 parts" in lines[0]
    assert said == []
    said = standing.take(ended(parts[0], step="shap"), 3.0) + standing.take(ended(parts[2], step="shap"), 4.0)
    # three times 100 + 20 model rows and 1.5 seconds
    assert said == [Said("done", "shap", "", 4.5, 360)]
    assert stays(said[0], 80, UNICODE) == "  done  shap  360 model rows, 4.5 s"


def test_no_more_is_at_work_than_there_are_jobs_however_much_the_engine_was_given() -> None:
    standing, _ = after(begun(9, jobs=2), *(started(f"n{number}") for number in range(7)))
    assert (standing.at_work, standing.waiting) == (2, 7)
    standing.take(ended("n0"), 1.0)
    assert ([group.name for group in standing.groups], standing.waiting) == (["n1", "n2"], 6)
    standing.take(far("n6", 1, 2), 1.0)  # what tells of progress is at work, whatever the queue says
    assert {group.name for group in standing.groups} == {"n1", "n2", "n6"}


def test_what_failed_is_said_once_a_step_and_counted() -> None:
    standing, said = after(begun(5, shap=3), started("shap.0", "shap"), ended("shap.0", "failed", "shap", "killed"),
                           ended("shap.1", "failed", "shap", "killed"), ended("compare", "blocked"))  # fmt: skip
    assert said == [Said("failed", "shap.0", "killed")]
    assert "3 failed or blocked" in summary(standing, 1.0, 100, UNICODE)
    assert standing.take(ended("shap.2", step="shap"), 2.0) == []  # a step that lost a part is never done


def test_time_left_is_the_forecast_until_a_node_knows_better() -> None:
    standing, _ = after(begun(3, jobs=2), started("a"), started("b"))
    assert standing.left(0.0) == (None, False)
    standing.expected = {"a": 10.0, "b": 30.0, "c": 20.0}
    # 60 seconds of work on two jobs; nothing ends before b does
    assert standing.left(0.0) == (30.0, True)
    assert standing.left(10.0) == (20.0, True)  # max of (0 + 20 + 20) / 2 and b's 20
    # b, half done after 10 s, needs 10 more by its rate and 20 by the forecast: half of each
    standing.take(far("b", 1, 2), 10.0)
    assert standing.left(10.0) == (pytest.approx((0 + 15 + 20) / 2), True)
    standing.expected = {"a": 10.0}
    assert standing.left(0.0)[1] is False


def test_the_time_left_falls_from_one_word_of_progress_to_the_next() -> None:
    standing, _ = after(begun(1, jobs=1), started("a"))
    standing.take(far("a", 1, 4), 10.0)  # 40 s in all
    left = [standing.left(at)[0] for at in (10.0, 15.0, 20.0, 45.0)]
    assert left == [30.0, 25.0, 20.0, 0.0]


@pytest.mark.parametrize(("seconds", "said"), [(0, "5 s"), (7, "5 s"), (8, "10 s"), (52, "50 s"), (58, "1 min"),
                                               (200, "3 min"), (3700, "1 h"), (5400, "1 h 30 min")])  # fmt: skip
def test_durations_do_not_pretend_to_be_exact(seconds: float, said: str) -> None:
    assert roughly(seconds) == said


@pytest.mark.parametrize("width", [8, 19, 20, 40, 79, 200])
@pytest.mark.parametrize("signs", [UNICODE, ASCII], ids=["unicode", "ascii"])
def test_every_line_fits_whatever_names_say(width: int, signs: Any) -> None:
    for at in range(0, len(STRINGS), 40):
        names = STRINGS[at : at + 40]
        standing, said = after(begun(100, jobs=50), *(started(name + str(n), name or None) for n, name in enumerate(names)),
                               *(ended(name + "!", "failed", None, name) for name in names))  # fmt: skip
        lines = [*frame(standing, 100.0, width, 24, signs), *(stays(one, width, signs) for one in said)]
        for line in lines:
            assert cells(line) <= width
            assert line.isprintable()  # no escape, no control, nothing that turns the line
            assert signs is UNICODE or line.isascii()
    assert len(lines) > 10


def test_a_narrow_terminal_keeps_what_matters() -> None:
    standing, _ = after(
        begun(40, shap=8), started("shap.0", "integrated_gradients"), ended("x", "failed", None, "killed")
    )
    lines = frame(standing, 65.0, 19, 24, ASCII)
    assert lines == ["  integrat...    0 %", "0/40  1 failed"] or lines == ["  integra...    0 %", "0/40  1 failed"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_nothing_is_written_where_nothing_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    screen = Terminal()
    watching = progress.Watching(screen, UNICODE, live=True)
    watching(begun(2))
    watching(started("a"))
    watching._paint()
    first = screen.getvalue()
    now[0] += 0.25
    watching._paint()
    assert screen.getvalue() == first
    now[0] += 1.0  # the clock moved on
    watching._paint()
    # both lines are written over in one piece, never cleared and drawn again
    again = screen.getvalue()[len(first) :]
    assert again.startswith("\x1b[?2026h\r\x1b[1A")
    assert again.endswith("\x1b[J\x1b[?2026l")
    assert "\x1b[2J" not in screen.getvalue()


def test_a_terminal_that_goes_away_takes_nothing_with_it() -> None:
    class Gone(Terminal):
        def write(self, text: str) -> int:
            raise OSError(5, "Input/output error")

    watching = progress.Watching(Gone(), UNICODE, live=True)
    watching(begun(1))
    watching._paint()
    watching(ended("a"))
    watching._paint(last=True)
    assert watching._broken


def test_elsewhere_a_line_comes_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    log = io.StringIO()
    watching = progress.Watching(log, ASCII, live=False)
    watching(begun(3))
    watching(started("shap"))
    for tenth in range(1000):
        now[0] = tenth / 10
        watching._plain_line()
    # after 10 seconds, then every 30: 10, 40, 70
    assert len(log.getvalue().splitlines()) == 3
    assert log.getvalue().splitlines()[0] == "pgx: 0 of 3 done, 1 at work, 2 waiting, 0:10 (shap)"
    assert "\x1b" not in log.getvalue()
    watching(
        RunEnded(
            **AT, complete=True, verdict="passed", counts={}, seconds=1, planned={}, spent={}, files=[], reason=None
        )
    )
    now[0] = 1000.0
    watching._plain_line()
    assert len(log.getvalue().splitlines()) == 3


IN_A_PTY = """
import sys, time
from events_made import begun, started, ended, far
from pgx_compiler.progress import watch
with watch() as watching:
    watching(begun(3, shap=2))
    watching(started("shap.0", "shap"))
    watching(far("shap.0", 1, 2, "shap"))
    time.sleep(0.6)
    watching(ended("shap.0", step="shap"))
    watching(ended("shap.1", step="shap"))
    watching(ended("other", "failed", None, "killed \\x1b[2J"))
print("over", file=sys.stderr)
"""


@pytest.mark.parametrize("environment", [{"TERM": "xterm", "LC_ALL": "C.UTF-8"}, {"TERM": "xterm", "LC_ALL": "POSIX", "NO_COLOR": "1"},
                                         {"TERM": "dumb", "LC_ALL": "C.UTF-8"}])  # fmt: skip
def test_in_a_real_terminal(environment: dict[str, str]) -> None:
    leader, follower = pty.openpty()
    paths = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    command = [sys.executable, "-c", IN_A_PTY]
    child = subprocess.Popen(command, stderr=follower, stdout=subprocess.DEVNULL,
                             env={"PATH": "", "PYTHONPATH": paths, "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", **environment})  # fmt: skip
    os.close(follower)
    seen, until = b"", time.monotonic() + 60
    while time.monotonic() < until:
        try:
            more = os.read(leader, 65536)
        except OSError:
            break
        if not more:
            break
        seen += more
    os.close(leader)
    assert child.wait(10) == 0, seen
    text = seen.decode("ascii" if environment["LC_ALL"] == "POSIX" else "utf-8")
    assert text.rstrip().endswith("over")
    if environment["TERM"] == "dumb":
        assert "\x1b" not in text
        return
    plain = re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", text)
    assert "done  shap" in plain
    assert "failed  other  killed <U+001B>[2J" in plain
    assert "\x1b[2J" not in text
    assert ("\x1b[31m" in text) == ("NO_COLOR" not in environment)
