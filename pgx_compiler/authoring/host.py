"""What this host has of what an audit needs, and what to do where something is missing. Imports no framework."""

import ctypes
import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from pgx_compiler.analysis.resolved import Format
from runtimes.engines import machine, sandbox
from runtimes.target import framework_for

LEAST_PYTHON = (3, 11)
LEAST_DISK = 500 * 10**6
"""Bytes: a run of the examples leaves a few MB; a store grows."""
LEAST_MEMORY = 2 * 10**9
"""Bytes: TensorFlow alone takes half of it."""

_LIBRARIES = {
    "Pango": (("libpango-1.0.so.0", "libpangoft2-1.0.so.0"), "libpango-1.0-0 libpangoft2-1.0-0"),
    "HarfBuzz subset": (("libharfbuzz-subset.so.0",), "libharfbuzz-subset0"),
}
"""What WeasyPrint opens, and the Debian packages that hold it."""


@dataclass(frozen=True)
class Looked:
    """One thing looked at."""

    name: str
    found: str
    state: Literal["good", "advice", "missing"]
    """``missing``: an audit cannot run; ``advice``: it can, with something less."""
    advice: str = ""


def look(store: Path) -> list[Looked]:
    """Everything, the most needed first; `store` is where evidence would be kept."""
    return [*_python(), *_distributions(), *_places(store), *_machine(), *_protections(), *_for_pdf()]


def _python() -> Iterator[Looked]:
    here = f"{platform.python_version()} ({sys.executable})"
    wanted = ".".join(map(str, LEAST_PYTHON))
    if sys.version_info >= LEAST_PYTHON:
        yield Looked("Python", here, "good")
    else:
        yield Looked("Python", here, "missing", f"install Python {wanted} or later, and make the environment again")


def _distributions() -> Iterator[Looked]:
    """The runtimes by their versions, then what else the program requires and this environment lacks."""
    opens: dict[str, list[str]] = {}
    for framework in (framework_for(format_) for format_ in get_args(Format)):
        for name in framework.TARGET.distributions:
            opens.setdefault(name, []).extend(framework.TARGET.suffixes)
    for name, suffixes in opens.items():
        files = ", ".join(dict.fromkeys(suffixes))
        if version := _version(name):
            yield Looked(name, f"{version} (for {files})", "good")
        else:
            yield Looked(name, "not installed", "missing", f"without it no {files} is run: pip install {name}")
    lacking = [name for name in _required() if not _version(name)]
    if lacking:
        yield Looked("libraries", f"missing: {', '.join(lacking)}", "missing", f"pip install {' '.join(lacking)}")
    else:
        yield Looked("libraries", "all that pgx requires are installed", "good")


def _required() -> list[str]:
    """The distributions that this program requires, by its own metadata."""
    try:
        declared = importlib.metadata.requires("pgx-compiler") or []
    except importlib.metadata.PackageNotFoundError:
        return []
    names = [re.match(r"[A-Za-z0-9._\-]+", requirement) for requirement in declared if "extra ==" not in requirement]
    return [name[0] for name in names if name]


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _places(store: Path) -> Iterator[Looked]:
    """Where evidence and runs would be written."""
    there = next(folder for folder in (store, *store.parents) if folder.exists())
    help_ = "choose another place: the environment variable PGX_STORE"
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        yield Looked("store", f"{store}: cannot be written", "missing", help_)
        return
    yield Looked("store", f"{store}{'' if store.exists() else ' (will be made)'}", "good")
    free = shutil.disk_usage(there).free
    enough = free >= LEAST_DISK
    yield Looked(
        "disk", f"{_size(free)} free", "good" if enough else "advice", "" if enough else f"little room; {help_}"
    )


def _machine() -> Iterator[Looked]:
    cores = machine.cores()
    advice = "" if cores > 1 else "one step at a time is computed here: `pgx run -j 1`"
    yield Looked("cores", str(cores), "advice" if advice else "good", advice)
    total, free = _memory()
    if total:
        short = free < LEAST_MEMORY
        advice = "little memory: explain fewer rows at a time, `pgx run -j 1`" if short else ""
        yield Looked("memory", f"{_size(free)} free of {_size(total)}", "advice" if short else "good", advice)


def _memory() -> tuple[int, int]:
    """Bytes of memory, and of it what is free; 0 where the system does not say."""
    try:
        text = Path("/proc/meminfo").read_text("ascii")
    except OSError:
        return 0, 0
    found = {name: int(kilobytes) * 1024 for name, kilobytes in re.findall(r"(\w+):\s+(\d+) kB", text)}
    return found.get("MemTotal", 0), found.get("MemAvailable", 0)


def _protections() -> Iterator[Looked]:
    """What a worker is locked up with here, by locking one up."""
    found = sandbox.tried_here()
    for name, meaning in sandbox.PROTECTIONS.items():
        if name in found.on:
            yield Looked(f"sandbox: {name}", f"{found.on[name]}: {meaning}", "good")
        else:
            why = found.lacks.get(name, "it could not be set up")
            advice = f"not so here: {meaning}; run models of strangers elsewhere. {_WAYS[name]}"
            yield Looked(f"sandbox: {name}", why, "advice", advice)


_WAYS = {
    "files": "It needs Linux 5.13 or later with Landlock in the list /sys/kernel/security/lsm",
    "network": "It needs user namespaces (in a container, a seccomp profile that allows `unshare`) or seccomp filters",
    "processes": "It needs Linux with seccomp filters, on x86-64 or ARM64",
    "limits": "It needs POSIX resource limits",
}
"""What would give a protection."""


def _for_pdf() -> Iterator[Looked]:
    """What the PDF needs of the system; HTML and JSON need none of it."""
    for name, (libraries, packages) in _LIBRARIES.items():
        lacking = [library for library in libraries if not _opens(library)]
        if lacking:
            advice = f"for PDF: apt-get install {packages}; or leave `pdf` out of `factsheet.formats`"
            yield Looked(name, f"not found: {', '.join(lacking)}", "advice", advice)
        else:
            yield Looked(name, "found", "good")
    fonts = _korean_fonts()
    if fonts is None:
        yield Looked(
            "Korean font", "fc-list is not there to ask", "advice", "for PDF: apt-get install fontconfig fonts-nanum"
        )
    elif not fonts:
        yield Looked("Korean font", "none", "advice", "for factsheets in Korean: apt-get install fonts-nanum")
    else:
        more = f" and {len(fonts) - 1} more" if len(fonts) > 1 else ""
        yield Looked("Korean font", f"{fonts[0]}{more}", "good")


def _opens(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _korean_fonts() -> list[str] | None:
    program = shutil.which("fc-list")
    if program is None:
        return None
    try:
        told = subprocess.run([program, ":lang=ko", "family"], capture_output=True, text=True, timeout=20, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    return sorted({line.split(",")[0].strip() for line in told.stdout.splitlines() if line.strip()})


def _size(count: int) -> str:
    return f"{count / 10**9:.1f} GB" if count >= 10**9 else f"{count / 10**6:.0f} MB"
