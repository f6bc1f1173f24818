"""Change every byte of a finished run, one at a time, and see that `pgx verify` names the file each time.

    python benchmarks/execution/tamper.py RUN [--every 1] [--jobs 2] [--seed 6]

The run is copied first. Of each file every byte (`--every N`: each N-th, from a drawn start) gets one bit flipped, the run is
verified, and the bit is flipped back. Then the structural changes: each file truncated, extended, emptied, deleted, swapped with
another, replaced by a link, a pipe and a folder. Last the time of a verification against the bytes that it read.
"""

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from pgx_compiler.evidence.manifest import PLACE, files_of
from pgx_compiler.verifying import verify


def flips(run: str, tasks: list[tuple[str, int, int]], seed: int) -> dict[str, tuple[int, list[int]]]:
    """How many bytes of each file were changed, and the offsets that were not noticed.

    A task is a file, the offset to begin at, and the step.
    """
    os.environ["PGX_STORE"] = "/nonexistent"
    found: dict[str, tuple[int, list[int]]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(shutil.copytree(run, Path(scratch) / Path(run).name))
        for name, start, step in tasks:
            drawn = random.Random(f"{seed} {name} {start}")  # noqa: S311
            path = folder / name
            path.chmod(0o644)
            content = path.read_bytes()
            count, missed = found.get(name, (0, []))
            with path.open("r+b", buffering=0) as stream:
                for offset in range(start, len(content), step):
                    os.pwrite(stream.fileno(), bytes([content[offset] ^ (1 << drawn.randrange(8))]), offset)
                    if [problem.file for problem in verify(folder).problems] != [name]:
                        missed.append(offset)
                    os.pwrite(stream.fileno(), content[offset : offset + 1], offset)
                    count += 1
            found[name] = (count, missed)
    return found


def structural(run: str, seed: int) -> tuple[int, list[str]]:
    """How many structural changes were made, and those that were not noticed."""
    os.environ["PGX_STORE"] = "/nonexistent"
    drawn = random.Random(seed)  # noqa: S311
    missed, made = [], 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(shutil.copytree(run, Path(scratch) / Path(run).name))
        names = [*files_of(folder)[0], str(PLACE)]
        contents = {name: (folder / name).read_bytes() for name in names}
        for name, content in contents.items():
            path = folder / name
            other = drawn.choice([one for one in names if contents[one] != content])
            changes = {
                "truncated": lambda path=path, content=content: path.write_bytes(content[: len(content) // 2]),
                "extended": lambda path=path, content=content: path.write_bytes(content + b"\n"),
                "emptied": lambda path=path: path.write_bytes(b""),
                "deleted": path.unlink,
                "other": lambda path=path, other=other: path.write_bytes(contents[other]),
                "link": lambda path=path: (path.unlink(), path.symlink_to("/etc/hostname")),
                "pipe": lambda path=path: (path.unlink(), os.mkfifo(path)),
                "folder": lambda path=path: (path.unlink(), path.mkdir()),
            }
            for how, change in changes.items():
                if how in ("truncated", "emptied") and not content:
                    continue
                change()
                made += 1
                if name not in {problem.file for problem in verify(folder).problems}:
                    missed.append(f"{name} {how}")
                path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
                path.write_bytes(content)
    return made, missed


def main() -> int:
    """Run it; 1 where anything went unnoticed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--seed", type=int, default=6)
    options = parser.parse_args()
    drawn = random.Random(options.seed)  # noqa: S311
    run = Path(options.run).resolve()
    names = [*files_of(run)[0], str(PLACE)]
    began = time.perf_counter()
    whole = verify(run)
    seconds = time.perf_counter() - began
    size = sum((run / name).stat().st_size for name in names)
    print(f"whole: {whole.files} files, {size:,} bytes, {seconds:.2f} s, problems {[str(p) for p in whole.problems]}")
    # each file is shared out between the workers
    starts = {name: drawn.randrange(options.every) for name in names}
    shares = [
        [(name, starts[name] + part * options.every, options.jobs * options.every) for name in names]
        for part in range(options.jobs)
    ]
    table: dict[str, list[int]] = {}
    failed = bool(whole.problems)
    with ProcessPoolExecutor(options.jobs) as pool:
        for found in pool.map(flips, [str(run)] * options.jobs, shares, [options.seed] * options.jobs):
            for name, (done, missed) in found.items():
                kind = name.rsplit(".", 1)[-1] if name.startswith("evidence/") and name != str(PLACE) else name
                row = table.setdefault(kind, [0, 0])
                row[0] += done
                row[1] += len(missed)
                if missed:
                    print(f"NOT NOTICED: {name} at {missed[:10]}")
    for kind, (done, missed_count) in sorted(table.items()):
        print(f"{kind:<28} {done:>10,} bytes changed {missed_count:>6,} not noticed")
        failed |= missed_count > 0
    made, unseen = structural(str(run), options.seed)
    print(f"{'structural changes':<28} {made:>10,} made          {len(unseen):>6,} not noticed {unseen[:5]}")
    total = sum(done for done, _ in table.values())
    print(json.dumps({"bytes": total, "structural": made, "seconds": round(time.perf_counter() - began, 1)}))
    return int(failed or bool(unseen))


if __name__ == "__main__":
    sys.exit(main())
