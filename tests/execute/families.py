"""Processes and what comes of them, read from /proc: to strike one, and to see that none is left."""

import os
from pathlib import Path


def _stat(process):
    """Parent, and when it began: a number is given again, but not at the same time."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else (int(fields[1]), int(fields[19]))


def descendants(*roots):
    """Every process below these, as (number, when it began)."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (found := _stat(entry)):
            children.setdefault(found[0], []).append((int(entry), found[1]))
    found, todo = set(), list(roots)
    while todo:
        for child in children.get(todo.pop(), ()):
            found.add(child)
            todo.append(child[0])
    return found


def alive(processes):
    """Those that are still there."""
    return {(number, began) for number, began in processes if (found := _stat(number)) and found[1] == began}


def words(process):
    """Its command line."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
    except OSError:
        return ""
