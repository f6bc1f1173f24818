"""Faults of the operating system, struck into a real run: full disk, input/output errors, no permission, no files left, short writes.

    python benchmarks/execution/syscall_faults.py [--times 6] [--levels 8] [--only KILL]     (needs strace; the full disk needs user namespaces)

For each system call, error and some of the calls that touch the store or the run's folder: a run of a small audit meets the fault, ends with a documented status and without a
traceback; then a run without the fault completes from what is there, with the same factsheet. Each fault has to be seen in the
trace: one that was never reached is counted apart and proves nothing.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from _credit import ROOT, put_into
from kills import comparable

sys.path.insert(0, str(ROOT))

from pgx_compiler.evidence.store import Store

AUDIT = """precaution: [{use: class_balance}, {use: missing_values}]
explain: {score: log_odds, rows: {from: test, sample: 4}, fill: {kind: background, size: 5}, perturbation: [{use: occlusion}]}
"""

FAULTS = {
    "write": ("ENOSPC", "EIO", "EDQUOT", "EINTR"),
    "fsync": ("ENOSPC", "EIO", "EDQUOT"),
    "openat": ("EMFILE", "EACCES", "ENFILE", "ENOSPC"),
    "read": ("EIO",),
    "rename": ("EACCES", "EXDEV", "ENOSPC"),
    "mkdir": ("EACCES", "ENOSPC"),
    "flock": ("ENOLCK", "EINTR"),
    "fchmod": ("EPERM",),
}
"""Call to its errors. Each is struck at calls that really touched the store or the run's folder: where those are is seen first."""
KILLED = ("write", "fsync", "openat", "rename", "mkdir", "flock")
"""Calls at which the run is killed (SIGKILL)."""
STATUSES = (0, 1, 2, 3, 5)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=6, help="places at which each fault is struck (default 6)")
    parser.add_argument("--levels", type=int, default=8, help="levels at which the disk is full (default 8)")
    parser.add_argument("--only", default="", help="faults whose name holds this word: KILL, fsync, EIO")
    options = parser.parse_args()
    tally: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder).resolve()
        put_into(place, AUDIT)
        run(place, "undisturbed")
        wanted = comparable(place / "undisturbed" / "factsheet.json")
        kilobytes = sum(path.stat().st_blocks for path in (place / "store").rglob("*")) // 2
        if shutil.which("strace") is None:
            print("there is no strace here: no call is struck")
            tally["no strace"] += 1
        else:
            places = reached(place)
            print({call: len(numbers) for call, numbers in places.items()}, flush=True)
            faults = [f"{call}:error={error}" for call, errors in FAULTS.items() for error in errors]
            faults += [f"{call}:signal=KILL" for call in KILLED]
            for fault in [one for one in faults if options.only in one]:
                for when in spread(places.get(fault.split(":")[0], []), options.times):
                    tally[one(place, wanted, f"{fault}:when={when}")] += 1
            tally[one(place, wanted, "fsync:delay_enter=100000")] += 1
        for level in range(1, options.levels + 1):
            tally[full_disk(place, wanted, f"size={max(8, kilobytes * level // (options.levels + 1))}k")] += 1
        for setting in (full_disk(place, wanted, "nr_inodes=20"), *circumstances(place, wanted)):
            tally[setting] += 1
    print(dict(tally))
    return 1 if any(name.startswith("WRONG") for name in tally) else 0


def reached(place: Path) -> dict[str, list[int]]:
    """Of each call: which of a thread's calls touch the store or the run's folder. strace counts calls by thread as well."""
    shutil.rmtree(place / "store", ignore_errors=True)
    trace = place / "trace"
    run(place, "traced", ["strace", "-f", "-y", "-s", "300", "-o", str(trace), "-e", f"trace={','.join(FAULTS)}"])
    seen: Counter[tuple[str, str]] = Counter()
    found: dict[str, set[int]] = {call: set() for call in FAULTS}
    main = ""
    for line in trace.read_text("utf-8", "replace").splitlines():
        thread, _, rest = line.partition(" ")
        call, opened, arguments = rest.strip().partition("(")
        if opened and call in found:
            seen[thread, call] += 1
            main = main or thread
            if call in ("openat", "read") and thread != main:
                continue  # the same numbers of the main thread are those of the interpreter that starts
            if any(f"{place}/{part}" in arguments for part in ("store", "traced")):
                found[call].add(seen[thread, call])
    return {call: sorted(numbers) for call, numbers in found.items()}


def spread(numbers: list[int], count: int) -> list[int]:
    """Some of them, from the first to nearly the last: what threads do at the same time changes places."""
    if len(numbers) <= count:
        return numbers
    return sorted({numbers[round(step * (len(numbers) - 1) * 0.95 / max(1, count - 1))] for step in range(count)})


def command(place: Path, name: str) -> list[str]:
    return [
        sys.executable, "-m", "pgx_compiler", "run", str(place / "audit.yaml"), "-o", str(place / name), "--engine", "inline",
    ]  # fmt: skip


def run(place: Path, name: str, before: "list[str] | None" = None, **more: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PGX_STORE": str(place / "store"), **more}
    return subprocess.run(
        [*(before or []), *command(place, name)], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=300
    )


def one(place: Path, wanted: object, fault: str) -> str:
    """Meet one fault, and go on without it."""
    shutil.rmtree(place / "store", ignore_errors=True)
    for old in ("met", "after"):
        shutil.rmtree(place / old, ignore_errors=True)
    trace = place / "trace"
    call = fault.split(":")[0]
    met = run(place, "met", ["strace", "-f", "-o", str(trace), "-e", f"trace={call}", "-e", f"inject={fault}"])
    told = trace.read_text("utf-8", "replace")
    struck = any(sign in told for sign in ("(INJECTED)", "(DELAYED)", "killed by SIGKILL"))
    return judged(place, wanted, fault, met, struck)


def judged(place: Path, wanted: object, fault: str, met: "subprocess.CompletedProcess[str]", struck: bool) -> str:
    problems = []
    if met.returncode not in STATUSES and not (struck and "signal=KILL" in fault and met.returncode == -9):
        problems.append(f"status {met.returncode}")
    if "Traceback" in met.stderr:
        problems.append("traceback")
    after = run(place, "after")
    if after.returncode != 0:
        problems.append(f"then status {after.returncode}: {after.stderr.strip()[-200:]}")
    elif comparable(place / "after" / "factsheet.json") != wanted:
        problems.append("then another factsheet")
    store = Store(place / "store")
    list(store.records())
    if store.damaged:
        problems.append(f"damaged: {store.damaged}")
    said = met.stderr.strip().splitlines()
    print(f"{fault:36} {'struck' if struck else 'never reached':14} status {met.returncode:3}  "
          f"{'; '.join(problems) or 'good'}  | {said[-1][:110] if said else ''}", flush=True)  # fmt: skip
    return f"WRONG {problems[0]}" if problems else "good" if struck else "never reached"


def full_disk(place: Path, wanted: object, options: str) -> str:
    """A file system of a few KB or names, which the store fills; the next run has one with room, and begins anew."""
    shutil.rmtree(place / "store", ignore_errors=True)
    (place / "store").mkdir()
    inner = " ".join(command(place, "met"))
    script = f"mount -t tmpfs -o {options} tmpfs {place}/store && df -k {place}/store >&2; {inner}; s=$?; df -k {place}/store >&2; exit $s"
    unshare = shutil.which("unshare")
    if unshare is None:
        return "no user namespaces"
    met = subprocess.run(
        [unshare, "-Urm", "sh", "-c", script], env={**os.environ, "PGX_STORE": str(place / "store")},
        cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    return judged(place, wanted, f"a full disk ({options})", met, "No space left" in met.stderr)


def circumstances(place: Path, wanted: object) -> list[str]:
    """Where a run finds itself: no home, no permission for anything new, another language, few open files."""
    found = []
    for name, before, more in (
        ("umask 0777", ["sh", "-c", 'umask 0777; exec "$@"', "sh"], {}),
        ("no HOME", [], {"HOME": "/nonexistent"}),
        ("Turkish", [], {"LC_ALL": "tr_TR.UTF-8"}),
        ("another time zone", [], {"TZ": "Pacific/Kiritimati"}),
        ("32 open files", ["prlimit", "--nofile=32:32"], {}),
    ):
        shutil.rmtree(place / "store", ignore_errors=True)
        shutil.rmtree(place / "met", ignore_errors=True)
        found.append(judged(place, wanted, name, run(place, "met", before, **more), struck=True))
        subprocess.run(["chmod", "-R", "u+rwX", str(place / "store")], check=False)  # noqa: S607
    return found


if __name__ == "__main__":
    sys.exit(main())
