"""Faults of the operating system, struck into a real run: full disk, input/output errors, no permission, no files left, short writes.

    python benchmarks/execution/syscall_faults.py            (needs strace; the full disk needs user namespaces)

For each system call, error and n-th occurrence: a run of a small audit meets the fault, ends with a documented status and without a
traceback; then a run without the fault completes from what is there, with the same factsheet. Each fault has to be seen in the
trace: one that was never reached is counted apart and proves nothing.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from kills import comparable  # noqa: E402

from pgx_compiler.evidence.store import Store  # noqa: E402

SPEC = """
apiVersion: pgx/v1
kind: Audit
metadata: {name: faults}
seed: 3
model: {onnx: models/german-credit-trees.onnx, task: classification, classes: [good, bad]}
data:
  modality: tabular
  train: {path: data/german-credit-train.csv, target: bad_risk}
  test: {path: data/german-credit-test.csv, target: bad_risk}
precaution: [{use: class_balance}, {use: missing_values}]
explain: {score: log_odds, rows: {from: test, sample: 4}, fill: {kind: background, size: 5}, perturbation: [{use: occlusion}]}
factsheet: {formats: [json]}
"""

FAULTS = [
    ("fsync", "ENOSPC"), ("fsync", "EIO"), ("fsync", "EDQUOT"), ("rename", "EACCES"), ("rename", "EXDEV"), ("rename", "ENOSPC"),
    ("mkdir", "EACCES"), ("mkdir", "ENOSPC"), ("flock", "ENOLCK"), ("flock", "EINTR"), ("fchmod", "EPERM"),
]  # fmt: skip
"""Calls that only the store and the files of a run make. ``write`` and ``openat`` come with a path below the store."""
TIMES = (1, 2, 3, 8, 21, 55)
STATUSES = (0, 1, 2, 3, 5)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, nargs="*", default=TIMES)
    options = parser.parse_args()
    tally: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "audit.yaml").write_text(SPEC)
        for name in ("models", "data"):
            shutil.copytree(ROOT / "specs" / name, place / name)
        run(place, "undisturbed")
        wanted = comparable(place / "undisturbed" / "factsheet.json")
        for call, error in FAULTS:
            for when in options.times:
                tally[one(place, wanted, f"{call}:error={error}:when={when}")] += 1
        for error in ("ENOSPC", "EIO", "EINTR"):
            for when in (5, 20, 60, 120, 180, 240):
                tally[one(place, wanted, f"write:error={error}:when={when}")] += 1
        for error in ("EMFILE", "EACCES", "ENFILE"):
            for when in (2500, 3000, 3500, 4000):
                tally[one(place, wanted, f"openat:error={error}:when={when}")] += 1
        for setting in (full_disk(place, wanted), *circumstances(place, wanted)):
            tally[setting] += 1
    print(dict(tally))
    return 1 if any(name.startswith("WRONG") for name in tally) else 0


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
    struck = "(INJECTED)" in trace.read_text()
    return judged(place, wanted, fault, met, struck)


def judged(place: Path, wanted: object, fault: str, met: "subprocess.CompletedProcess[str]", struck: bool) -> str:
    problems = []
    if met.returncode not in STATUSES:
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


def full_disk(place: Path, wanted: object) -> str:
    """A file system of a few hundred KB, which the store fills."""
    shutil.rmtree(place / "store", ignore_errors=True)
    (place / "store").mkdir()
    inner = " ".join(command(place, "met"))
    script = f"mount -t tmpfs -o size=300k tmpfs {place}/store && df -k {place}/store >&2; {inner}; s=$?; df -k {place}/store >&2; exit $s"
    unshare = shutil.which("unshare")
    if unshare is None:
        return "no user namespaces"
    met = subprocess.run(
        [unshare, "-Urm", "sh", "-c", script], env={**os.environ, "PGX_STORE": str(place / "store")},
        cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    return judged(place, wanted, "a full disk", met, "No space left" in met.stderr)


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
        time.sleep(0)
    return found


if __name__ == "__main__":
    sys.exit(main())
