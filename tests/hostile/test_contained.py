"""Models that do harm only when they run, in real runs with worker processes: the harm stays in the worker, the run says what happened
and goes on, and nothing is left behind (B8 to B11, B15, B19, B20, D3, D4, D16, D17).
"""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pgx_compiler.cli import main
from pgx_compiler.evidence.canonical import digest_of_file
from runtimes.engines import processes, sandbox
from runtimes.engines.contract import Job, LimitReached, Limits, Setting, WorkerDied, WorkFailed
from tests.hostile import running_models
from tests.hostile.forking import Begun, Ended, Forking
from tests.hostile.pieces import CANARY, honest_onnx, spec
from tests.hostile.test_mutants import mutated, of_hdf5

pytestmark = pytest.mark.frameworks
LATER = (datetime.now(UTC).date() + timedelta(days=30)).isoformat()
GIVEN = sandbox.tried_here()
MODEL = "predict.onnx.train"
"""The node that asks the model first."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "audit"
    (made / ".pgx").mkdir(parents=True)
    (tmp_path / "canary.txt").write_text(CANARY)
    monkeypatch.setenv("PGX_TRUST", str(tmp_path / "own" / "trust.json"))
    monkeypatch.delenv("PGX_STORE", raising=False)
    return made


def asks(folder: Path, *more: object) -> list[object]:
    return ["run", folder / "audit.yaml", "-o", folder / "out", "-j", "2", *more]


def plain(folder: Path, model: dict[str, Any] | None = None) -> None:
    spec(folder, model or {"onnx": "model.onnx"}, factsheet={"formats": ["json"]})


def events(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "out" / "events.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines if line.endswith("}")]


def outcomes(folder: Path) -> dict[str, dict[str, Any]]:
    return {event["node"]: event for event in events(folder) if event["event"] == "ended"}


def until(holds: Callable[[], object], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.02)


def family(pid: int) -> list[int]:
    """Every process below one."""
    found: list[int] = []
    for thread in Path(f"/proc/{pid}/task").glob("*"):
        for child in (thread / "children").read_text().split():
            found += [int(child), *family(int(child))]
    return found


def alive(pids: list[int]) -> list[int]:
    found = []
    for pid in pids:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state != "Z":
            found.append(pid)
    return found


def contained(ended: Ended, folder: Path, because: str) -> dict[str, dict[str, Any]]:
    """The run ended incomplete, named the step and the reason, and did all the rest; returns how each node ended."""
    assert ended.documented, ended.said
    assert ended.status == 3, ended.said
    found = outcomes(folder)
    assert found[MODEL]["status"] == "failed"
    assert because in found[MODEL]["reason"]
    assert f"failed: {MODEL}: " in ended.said
    assert found["precaution.class_balance"]["status"] == "computed"
    factsheet = json.loads((folder / "out" / "factsheet.json").read_bytes())
    assert factsheet["verdict"]["status"] == "incomplete"
    assert not list((folder / ".pgx/store/boxes").glob("engine-*"))
    return found


def test_a_model_that_never_ends_is_ended_at_its_time(forking: Forking, folder: Path) -> None:
    running_models.endless_loop(folder)
    plain(folder)
    ended = forking.run(asks(folder, "--timeout", "2"))
    found = contained(ended, folder, "time limit of 2 s reached in step")
    assert "`pgx run --timeout` allows more" in found[MODEL]["reason"]
    assert (
        ended.seconds < 30
    )  # two seconds each for the model's nodes, the grace, and what a busy machine takes to start


def test_a_model_that_divides_by_what_has_no_answer_dies_alone(forking: Forking, folder: Path) -> None:
    running_models.dies_of_sigfpe(folder)
    plain(folder)
    contained(forking.run(asks(folder)), folder, "the worker process died of SIGFPE")


@pytest.mark.parametrize(
    ("numbers", "because"), [(10**13, "WorkFailed"), (3 * 10**8, "memory limit of 500 MiB reached in step")]
)
def test_a_tensor_that_no_machine_holds_ends_at_the_memory_of_its_worker(
    forking: Forking, folder: Path, numbers: int, because: str
) -> None:
    running_models.takes_all_memory(folder, numbers)
    plain(folder)
    ended = forking.run(asks(folder, "--memory", "500M"))
    assert ended.documented, ended.said
    assert ended.status == 3, ended.said
    reason = outcomes(folder)[MODEL]["reason"]
    if because != "WorkFailed":
        assert because in reason
        assert "`pgx run --memory` allows more" in reason
    assert outcomes(folder)["precaution.class_balance"]["status"] == "computed"


def test_answers_of_other_rows_are_never_a_silent_number(forking: Forking, folder: Path) -> None:
    """More rows are answered than were asked for: nothing may be measured on that. (A model that answers a single row, whatever
    it is asked, is asked row by row: `answers_of_other_rows`.)
    """
    running_models.answers_twice(folder)
    plain(folder)
    ended = forking.run(asks(folder, "--engine", "inline"))
    assert ended.documented, ended.said
    assert ended.status == 2, ended.said
    assert "is not the rows" in ended.said
    assert outcomes(folder)[MODEL]["status"] == "failed"
    assert outcomes(folder)["precaution.class_balance"]["status"] == "computed"
    verdict = json.loads((folder / "out" / "factsheet.json").read_bytes())["verdict"]
    assert verdict["status"] == "incomplete"


@pytest.fixture
def endless(forking: Forking, folder: Path) -> Iterator[Begun]:
    """A run whose model has begun a loop that never ends and hears no signal; the other steps are done."""
    running_models.endless_loop(folder)
    plain(folder)
    begun = forking.begin(asks(folder))

    def at_it() -> bool:
        if not (folder / "out" / "events.jsonl").exists():
            return False
        seen = events(folder)
        running = {event["node"] for event in seen if event["event"] == "started"}
        over = {event["node"] for event in seen if event["event"] == "ended"}
        return MODEL in running and "precaution.class_balance" in over and len(family(begun.pid)) >= 2

    until(at_it)
    yield begun
    for pid in alive([begun.pid]):
        os.kill(pid, signal.SIGKILL)
        begun.end()


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_an_endless_model_does_not_keep_a_run_from_ending(endless: Begun, folder: Path, name: str) -> None:
    below = family(endless.pid)
    asked = time.monotonic()
    os.kill(endless.pid, getattr(signal, name))
    ended = endless.end()
    took = time.monotonic() - asked
    until(lambda: not alive(below), 1)
    if name == "SIGKILL":
        assert ended.status == -signal.SIGKILL
    else:
        assert ended.status == 130
        assert "run again to continue" in ended.said
        assert ended.documented
        assert took < 3
    if name == "SIGTERM":
        return
    # what was done is known: the next run begins where this one ended
    again = endless.forking.run(asks(folder, "--timeout", "1"))
    assert again.status == 3, again.said
    assert outcomes(folder)["precaution.class_balance"]["status"] == "cached"


def test_a_worker_that_is_killed_from_outside_costs_nothing_and_another_takes_over(
    endless: Begun, folder: Path
) -> None:
    """The step is tried once more, by another process; killed again, it has failed, and the run says so."""
    for times in (1, 2):
        until(lambda: workers(endless.pid))
        spinning = workers(endless.pid)[0]
        os.kill(spinning, signal.SIGKILL)
        if times == 1:
            until(lambda: workers(endless.pid) and spinning not in workers(endless.pid))  # noqa: B023
    until(lambda: outcomes(folder).get(MODEL))
    os.kill(endless.pid, signal.SIGINT)  # another node of the same model may be at it by now
    endless.end()
    assert "SIGKILL" in outcomes(folder)[MODEL]["reason"]


def workers(pid: int) -> list[int]:
    """The workers that are busy in native code: those that took more than half a second of processor time lately."""
    found = []
    for one in alive(family(pid)):
        before = _ticks(one)
        time.sleep(0.1)
        if _ticks(one) - before >= 2 and family(one) == []:
            found.append(one)
    return found


def _ticks(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11])
    except OSError:
        return 0


# --- trust lifts the refusal, not the sandbox


@pytest.mark.skipif("files" not in GIVEN.on, reason=f"this host cannot lock up files: {GIVEN.lacks.get('files')}")
@pytest.mark.parametrize("does", ["reads", "writes", "lambda"])
def test_trust_lets_a_model_run_and_the_sandbox_keeps_it_from_files(
    forking: Forking, folder: Path, capsys: pytest.CaptureFixture[str], does: str
) -> None:
    canary, marker = folder.parent / "canary.txt", folder.parent / "marker"
    if does == "lambda":
        running_models.lambda_that_touches(folder, marker)
        file, power = folder / "model.keras", "lambda"
    else:
        running_models.saved_model_that(folder, does, canary if does == "reads" else marker)
        operation = "ReadFile" if does == "reads" else "WriteFile"
        file, power = folder / "saved" / "saved_model.pb", f"savedmodel-op:{operation}"
    plain(folder, {"keras": "model.keras" if does == "lambda" else "saved"})
    granted = ["trust", "add", digest_of_file(file), "--for", power, "--reason", "a test", "--expires", LATER]
    assert main(granted) == 0, capsys.readouterr().err
    environment = {name: os.environ[name] for name in ("PGX_TRUST", "XDG_CONFIG_HOME")}
    ended = forking.run(asks(folder), environment=environment)
    assert ended.documented, ended.said
    assert ended.status == 3, ended.said
    (asked,) = (event for name, event in outcomes(folder).items() if name.startswith("predict."))
    assert asked["status"] == "failed"
    assert "Permission denied" in asked["reason"] or "PermissionError" in asked["reason"]
    assert not marker.exists()
    for path in [*(folder / "out").rglob("*"), *(folder / ".pgx").rglob("*")]:
        assert not path.is_file() or CANARY.encode() not in path.read_bytes(), path
    if does == "writes":  # the same without a sandbox: the harm is real (of a Lambda: test_running.py)
        assert main([str(one) for one in [*asks(folder), "--engine", "inline"]]) == 0, capsys.readouterr().err
        assert marker.exists()


# --- mutants


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    opened = processes.open_engine(Setting(2, tmp_path / "store", tmp_path / "boxes", tmp_path))
    yield opened
    opened.close()


@pytest.mark.parametrize("kind", ["onnx", "h5"])
def test_mutated_models_end_in_a_named_result_in_their_worker(engine: Any, tmp_path: Path, kind: str) -> None:
    """Whatever a worker does of them, this process lives, every one has a result in time, and honest work is done afterwards."""
    content = honest_onnx().SerializeToString() if kind == "onnx" else of_hdf5(tmp_path)
    place = tmp_path / "store/objects/ab"
    place.mkdir(parents=True)
    count = 150
    (place / f"honest.{kind}").write_bytes(content)
    for seed in range(count):
        (place / f"{seed}.{kind}").write_bytes(mutated(content, seed))
    began = time.monotonic()

    def job(name: str) -> Any:
        read = f"objects/ab/{name}.{kind}"
        asked = Job("mutant_work:open", {"object": read}, kind, (read,), limits=Limits(10, 2**30))
        return engine.submit(asked, lambda done, total: None)

    ends: dict[str, int] = {}
    for future in [job(str(seed)) for seed in range(count)]:
        try:
            future.result(120).discard()
            end = "answered"
        except (LimitReached, WorkerDied, WorkFailed) as error:
            end = type(error).__name__ if str(error) else "without a word"
        ends[end] = ends.get(end, 0) + 1
    assert sum(ends.values()) == count
    assert "without a word" not in ends
    assert ends.get("WorkFailed", 0) > count / 20, ends  # mutants really were broken
    delivered = job("honest").result(60)
    assert delivered.said["scores"] is True
    delivered.discard()
    assert time.monotonic() - began < 300
