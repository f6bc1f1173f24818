"""Faults of the system struck into whole runs: each ends with a documented status and without a traceback, and the next run completes
with the evidence of a run that nothing disturbed (D1, D2, D5 to D14, D18, D20, D22).

Runs are forked (`forking`) and computed inline: what is tested is the run and its files; workers have their own tests. The same
with the kernel's own errors and with kills at random times: ``benchmarks/execution/{syscall_faults,kills}.py``.
"""

import errno
import json
import os
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pgx_compiler.evidence.canonical import digest_of_file
from pgx_compiler.evidence.store import Store
from runtimes.engines import sandbox
from tests.hostile.conftest import small_audit
from tests.hostile.forking import Ended, Forking

pytestmark = pytest.mark.frameworks
WRITING = ["write", "fsync", "create", "mkdir", "replace"]
ERRORS = ["ENOSPC", "EIO", "EACCES", "EMFILE", "EDQUOT", "EXDEV", "EROFS"]
MEASURED = ("seconds", "started", "ended", "cached", "host", "computed", "seal", "run", "head", "ledger")
"""What two runs differ in that nothing disturbs."""


class Project:
    """One audit, its store, and the folders of its runs."""

    def __init__(self, forking: Forking, folder: Path) -> None:
        self.forking, self.folder = forking, small_audit(folder)
        self.wanted: Any = None

    @property
    def store(self) -> Path:
        return self.folder / ".pgx" / "store"

    def forget(self) -> None:
        for place in (self.store, self.folder / "met", self.folder / "after"):
            shutil.rmtree(place, ignore_errors=True)

    def run(self, name: str, *arguments: object, **more: Any) -> Ended:
        asked = ["run", self.folder / "audit.yaml", "--engine", "inline", "-o", self.folder / name, *arguments]
        return self.forking.run(asked, **more)

    def evidence(self, name: str) -> Any:
        """What a run leaves that must not depend on what happened to it: each node's result, and the factsheet."""
        kept = {record.key: record.content for record in Store(self.store).records()}
        plan = json.loads((self.folder / name / "plan.json").read_bytes())
        computed = {node["id"]: kept[node["key"]] for node in plan["nodes"] if node["op"] not in ("data", "model")}
        copied = sorted((self.folder / name / "evidence").rglob("*.np*"))
        files = {path.name: digest_of_file(path) for path in copied}
        return computed, files, _stripped(json.loads((self.folder / name / "factsheet.json").read_bytes()))

    def goes_on(self, case: object) -> None:
        """The next run ends well, and with the evidence of an undisturbed one."""
        after = self.run("after")
        assert after.status == 0, (case, after.said)
        assert self.evidence("after") == self.wanted, case
        store = Store(self.store)
        list(store.records())
        assert store.damaged == [], case
        assert len(list(store.ledger.entries())) >= 0  # the chain holds
        assert not list(self.store.rglob(".incoming.*")) or "kill" in str(case)

    def acknowledged(self, name: str) -> dict[str, str]:
        """What a run said was done: node to key, torn last line or not."""
        try:
            lines = (self.folder / name / "events.jsonl").read_text().split("\n")[:-1]
            plan = json.loads((self.folder / name / "plan.json").read_bytes())
        except FileNotFoundError:
            return {}
        keys = {node["id"]: node["key"] for node in plan["nodes"]}
        ended = [event for event in map(json.loads, lines) if event["event"] == "ended"]
        return {one["node"]: keys[one["node"]] for one in ended if one["status"] in ("computed", "cached")}


def _stripped(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _stripped(item) for key, item in value.items() if key not in MEASURED}
    return [_stripped(item) for item in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def project(forking: Forking, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    memory = Path("/dev/shm")  # noqa: S108  (there a flush costs nothing: what is tested is the order of the calls)
    place = Path(tempfile.mkdtemp(dir=memory)) if os.access(memory, os.W_OK) else tmp_path_factory.mktemp("faults")
    made = Project(forking, place / "audit")
    assert made.run("undisturbed").status == 0
    made.wanted = made.evidence("undisturbed")
    assert len(made.wanted[0]) >= 3
    yield made
    shutil.rmtree(place)


def calls_of(project: Project) -> Counter[str]:
    """How often a run makes each of the calls that write, below its folder."""
    project.forget()
    counted = project.run("met", fault={"place": str(project.folder), "how": "count", "calls": WRITING})
    assert counted.status == 0, counted.said
    return Counter(one["call"] for one in counted.struck)


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
def test_errors_of_the_system_end_a_run_in_order(project: Project, lasting: bool) -> None:
    """Another error at each of fourteen places between the first and the last call that writes: below the store and the run's folder."""
    counts = calls_of(project)
    assert counts.total() > 100
    met = []
    for number in range(14):
        how = "ENOSPC" if lasting else ERRORS[number % len(ERRORS)]
        calls = {"EXDEV": ["replace"], "EMFILE": ["create"]}.get(how, WRITING)
        # calls that threads make at the same time change places: not quite the last one
        when = 1 + (sum(counts[call] for call in calls) - 3) * number // 13
        project.forget()
        fault = {"place": str(project.folder), "calls": calls, "when": when, "how": how, "lasting": lasting}
        ended = project.run("met", fault=fault)
        case = (how, when, ended.struck[:1], ended.said)
        assert ended.struck, case  # it really happened
        assert ended.documented, case
        assert ended.status in (0, 2, 3), case
        if ended.status == 2:
            assert os.strerror(getattr(errno, how)) in ended.said, case
            assert "help:" in ended.said, case
        met.append(ended.status)
        project.goes_on(case)
    assert met.count(2) > len(met) / 2, met


def test_files_that_cannot_be_read_back_are_computed_again_or_said(project: Project) -> None:
    """EIO and no more files while a second run reads what the first one has stored."""
    for part, how in (("objects", "EIO"), ("objects", "EMFILE"), ("records", "EIO"), ("records", "EACCES")):
        project.forget()
        assert project.run("met").status == 0
        ended = project.run("met", fault={"place": str(project.store / part), "calls": ["open"], "when": 2, "how": how})
        case = (part, how, ended.said)
        assert ended.struck, case
        assert ended.documented, case
        assert ended.status in (0, 2), case
        assert how == "EIO" or not list(project.store.glob("damaged/*")), case  # no reason to set evidence aside
        assert project.run("after").status == 0
        assert project.evidence("after")[0] == project.wanted[0]


def test_short_writes_and_a_slow_disk_change_nothing(project: Project) -> None:
    for how, calls in (("short", ["write"]), ("late", ["fsync"])):
        project.forget()
        fault = {"place": str(project.store), "calls": calls, "when": 1, "how": how, "lasting": True}
        ended = project.run("met", fault=fault)
        assert len(ended.struck) > 20
        assert ended.status == 0, ended.said
        assert project.evidence("met") == project.wanted
    assert ended.seconds > 0.05 * 20


def test_sigkill_anywhere_loses_nothing_that_was_acknowledged(project: Project) -> None:
    """A run is killed at the n-th call that writes, run again and killed further on, until it ends."""
    count = calls_of(project).total()
    kills = lost = again = 0
    for start in (5, 17, 31):
        project.forget()
        done: dict[str, str] = {}
        for when in range(start, count, 36):
            shutil.rmtree(project.folder / "met", ignore_errors=True)
            fault = {"place": str(project.folder), "calls": WRITING, "when": when, "how": "kill"}
            ended = project.run("met", fault=fault)
            if ended.status == 0:
                break
            assert ended.status == -9
            kills += 1
            said = project.acknowledged("met")
            computed = {name for name in said if _was_computed(project.folder / "met", name)}
            again += len(computed & set(done))
            done |= said
            store = Store(project.store)
            for key in done.values():
                record = store.find(key)
                lost += record is None or not store.whole(record)
            assert store.damaged == []
        project.goes_on(("kill", start))
    assert kills >= 9
    assert (lost, again) == (0, 0)


def _was_computed(folder: Path, node: str) -> bool:
    lines = (folder / "events.jsonl").read_text().split("\n")[:-1]
    return any(
        one["event"] == "ended" and one["node"] == node and one["status"] == "computed"
        for one in map(json.loads, lines)
    )


@pytest.mark.parametrize(
    "circumstance",
    [
        {"umask": 0o777},
        {"environment": {"HOME": "/nonexistent", "TMPDIR": "/nonexistent"}},
        {"environment": {"HOME": None}},
        {"environment": {"TZ": "Pacific/Kiritimati"}},
        {"environment": {"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8"}},
        {"environment": {"LC_ALL": "C"}},
        {"changes": ["a_year_ago"]},
        {"changes": ["in_ten_years"]},
        {"limits": {"RLIMIT_NOFILE": 32}},
        {"cwd": "/"},
    ],
    ids=lambda one: "-".join(str(value) for value in one.values()),
)
def test_where_and_when_a_run_finds_itself_changes_no_result(project: Project, circumstance: dict[str, Any]) -> None:
    project.forget()
    ended = project.run("met", **circumstance)
    subprocess.run(["chmod", "-R", "u+rwX", str(project.folder)], check=True)
    assert ended.documented, ended.said
    assert ended.status == 0, ended.said
    assert project.evidence("met") == project.wanted
    if "changes" in circumstance:  # the clock really was another one
        year = json.loads((project.folder / "met" / "events.jsonl").read_text().splitlines()[0])["time"][:4]
        assert (
            year
            != json.loads((project.folder / "undisturbed" / "events.jsonl").read_text().splitlines()[0])["time"][:4]
        )


@pytest.mark.parametrize("limit", [{"RLIMIT_NOFILE": 10}, {"RLIMIT_FSIZE": 2000}], ids=str)
def test_limits_that_are_too_tight_are_said(project: Project, limit: dict[str, int]) -> None:
    """The kernel itself says no: too many open files, a file too large."""
    project.forget()
    ended = project.run("met", limits=limit)
    assert ended.documented, ended.said
    assert ended.status == 2, ended.said
    assert "Too many open files" in ended.said or "File too large" in ended.said or "too many open files" in ended.said
    project.goes_on(limit)


def test_a_file_system_without_locks_is_refused(project: Project) -> None:
    """By the kernel: every flock of the process is answered with ENOLCK."""
    project.forget()
    ended = project.run("met", changes=["without_locks"])
    if "no seccomp filter" in ended.said:
        pytest.skip("this host lets no process filter its own system calls")
    assert ended.documented, ended.said
    assert ended.status == 2, ended.said
    assert "locks" in ended.said
    assert not list(project.store.glob("records/*/*"))
    project.goes_on("no locks")


def test_a_kernel_without_landlock_is_said_and_a_required_sandbox_refused(project: Project) -> None:
    """By the kernel: asking for Landlock is answered with ENOSYS, in the run and in its workers."""
    if "files" not in sandbox.tried_here().on:
        pytest.skip("this host has no Landlock to take away")
    project.forget()
    asked = ["run", project.folder / "audit.yaml", "-o", project.folder / "met"]
    refused = project.forking.run([*asked, "--sandbox", "required"], changes=["without_landlock"])
    if "no seccomp filter" in refused.said:
        pytest.skip("this host lets no process filter its own system calls")
    assert refused.status == 2, refused.said
    assert "files:" in refused.said
    assert "the sandbox is required, but not whole here" in refused.said
    assert not (project.folder / "met").exists()
    ran = project.forking.run(asked, changes=["without_landlock"])
    assert ran.status == 0, ran.said
    host = json.loads((project.folder / "met" / "factsheet.json").read_bytes())["provenance"]
    assert "files" not in json.dumps(host).partition('"sandbox": "')[2].partition('"')[0].split(", ")
    assert "network" in json.dumps(host)
    assert project.evidence("met")[0] == project.wanted[0]


# --- real file systems: full, out of names, read-only


def _unshare() -> str:
    found = shutil.which("unshare")
    if found is None:
        return "there is no unshare here"
    tried = subprocess.run([found, "-Urm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, text=True)
    return "" if tried.returncode == 0 else f"no mount in a name space of one's own: {tried.stderr.strip()}"


@pytest.fixture(scope="module")
def apart(forking: Forking, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project whose runs have file systems of their own."""
    if lacks := _unshare():
        pytest.skip(lacks)
    notes = tmp_path_factory.mktemp("apart")
    shutil.copy(forking.notes / "modules.json", notes)
    opened = Forking(notes, ["unshare", "-Urm"])
    opened.ask({"do": "import"})
    folder = tmp_path_factory.mktemp("mounted")
    opened.mount(folder, "size=64m")
    yield Project(opened, folder / "unused")
    opened.close()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        *((f"size={kilobytes}k", "No space left on device") for kilobytes in (8, 16, 32, 48)),
        *((f"nr_inodes={count}", "No space left on device") for count in (8, 16, 24)),
        ("ro", "Read-only file system"),
    ],
)
def test_a_store_on_a_disk_that_is_full_out_of_names_or_read_only(
    apart: Project, project: Project, tmp_path: Path, options: str, words: str
) -> None:
    """A real file system, which the store fills; then there is more room, and the run goes on from what is there."""
    small = tmp_path / "small"
    small.mkdir()
    apart.forking.mount(small, options)
    asked = ["run", project.folder / "audit.yaml", "--engine", "inline", "-o"]
    met = apart.forking.run([*asked, tmp_path / "met"], environment={"PGX_STORE": str(small)})
    assert met.documented, met.said
    assert met.status in (2, 3), met.said  # 3: there was no room for a step's own box
    assert words in met.said
    assert met.status == 3 or str(small) in met.said
    # more room is made: the same file system grows, what it holds is kept
    apart.forking.mount(small, "remount,rw,size=64m,nr_inodes=100k")
    after = apart.forking.run([*asked, tmp_path / "after"], environment={"PGX_STORE": str(small)})
    assert after.status == 0, after.said
    told = _stripped(json.loads((tmp_path / "after" / "factsheet.json").read_bytes()))
    assert told == project.wanted[2]
