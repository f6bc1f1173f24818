"""Change every byte of a finished run, one at a time, and see that `pgx verify` names the file each time.

    python benchmarks/execution/tamper.py RUN [--every 1] [--jobs 2] [--seed 6]
    python benchmarks/execution/tamper.py --store STORE [--every 1] [--inputs 2000]

The run is copied first. Of each file every byte (`--every N`: each N-th, from a drawn start) gets one bit flipped, the run is
verified, and the bit is flipped back. Then the structural changes: each file truncated, extended, emptied, deleted, swapped with
another, replaced by a link, a pipe and a folder. Last the time of a verification against the bytes that it read.

With ``--store``: the same for every byte of every record of a store and of what it names, and for `--inputs` bytes drawn from each
model and data file in it. Nothing of what is changed may be used: the record is not found, or its result not whole, and reading it
is refused.
"""

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from pgx_compiler.evidence.manifest import PLACE, files_of
from pgx_compiler.evidence.store import DamagedEvidence, Store
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


def used_all_the_same(root: Path, key: str) -> bool:
    """Whether a run would take a result from the store, or read any part of it."""
    store = Store(root)
    record = store.find(key)
    return record is not None and (store.whole(record) or _readable(lambda: store.load(record)))


def _readable(read: Callable[[], object]) -> bool:
    try:
        read()
    except DamagedEvidence:
        return False
    return True


def of_store(original: Path, every: int, inputs: int, seed: int) -> dict[str, tuple[int, list[str]]]:
    """Bytes changed of records, documents, arrays and inputs, and those that were used all the same."""
    drawn = random.Random(seed)  # noqa: S311
    table: dict[str, tuple[int, list[str]]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(shutil.copytree(original, Path(scratch) / "store"))
        store = Store(root)
        named: dict[Path, tuple[str, str]] = {}
        for record in store.records():
            assert used_all_the_same(root, record.key), "a store to begin with has to be whole"
            named[store.record_path(record.key)] = ("records", record.key)
            named[store.path(record.document, ".json")] = ("documents", record.key)
            if record.arrays:
                named[store.path(record.arrays, ".npz")] = ("arrays", record.key)
        for path in sorted((root / "objects").rglob("*.*")):
            named.setdefault(path, ("models and data", ""))
        for path, (kind, key) in named.items():
            content, count, missed = path.read_bytes(), *table.get(kind, (0, []))
            offsets: Sequence[int] = range(drawn.randrange(every), len(content), every)
            if not key:
                offsets = sorted(drawn.sample(range(len(content)), min(inputs, len(content))))
            for offset in offsets:
                changed = bytearray(content)
                changed[offset] ^= 1 << drawn.randrange(8)
                _replace(path, bytes(changed))
                read = partial(Store(root).get, path.stem, path.suffix)
                if used_all_the_same(root, key) if key else _readable(read):
                    missed.append(f"{path.name} at {offset}")
                count += 1
            _replace(path, content)
            table[kind] = (count, missed)
    return table


def _replace(path: Path, content: bytes) -> None:
    """What was changed may have been set aside."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def main() -> int:
    """Run it; 1 where anything went unnoticed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?")
    parser.add_argument("--store", type=Path)
    parser.add_argument("--inputs", type=int, default=2000)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--seed", type=int, default=6)
    options = parser.parse_args()
    if options.store:
        table_of_store = of_store(options.store, options.every, options.inputs, options.seed)
        for kind, (count, used) in table_of_store.items():
            print(f"{kind:<28} {count:>10,} bytes changed {len(used):>6,} used all the same {used[:5]}")
        return int(any(used for _, used in table_of_store.values()))
    if not options.run:
        parser.error("RUN or --store is needed")
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
