"""What this machine lets a process use: cores and memory, as containers and schedulers bound them."""

import contextlib
import math
import os
import re
from pathlib import Path

SHARE = 0.8
"""Of the memory, what all workers together are given: the parent and the rest of the machine need some."""
LEAST_MEMORY = 2 * 2**30
"""Bytes of one worker, whatever the share: TensorFlow alone takes most of one GiB."""


def cores() -> int:
    """Cores that this process may use."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):
        quota, period = (_group() / "cpu.max").read_text("ascii").split()
        if quota != "max":
            usable = min(usable, math.ceil(int(quota) / int(period)))
    return max(1, usable)


def memory() -> int:
    """Bytes of memory that processes may hold here; 0 where the system does not say."""
    found = []
    with contextlib.suppress(OSError):
        found += [
            int(kilobytes) * 1024
            for kilobytes in re.findall(
                r"^MemTotal:\s+(\d+) kB", Path("/proc/meminfo").read_text("ascii"), re.MULTILINE
            )
        ]
    for limit in (_group() / "memory.max", Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")):
        with contextlib.suppress(OSError, ValueError):
            found.append(int(limit.read_text("ascii")))
    return min(found, default=0)


def room() -> int | None:
    """Bytes that all workers together should hold; None where the system does not say what there is."""
    return int(memory() * SHARE) or None


def memory_of_worker(jobs: int) -> int | None:
    """Bytes that one of so many workers may hold: its share, but enough for a framework."""
    whole = room()
    return None if whole is None else min(whole, max(LEAST_MEMORY, whole // jobs))


def _group() -> Path:
    """Folder of this process's control group (version 2)."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/self/cgroup").read_text("ascii").splitlines():
            if line.startswith("0::"):
                return Path("/sys/fs/cgroup" + line[3:])
    return Path("/sys/fs/cgroup")
