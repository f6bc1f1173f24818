"""What a worker is locked up in: applied by itself, right after it was forked, while it has a single thread.

Nothing here needs a privilege, and nothing can be taken back. Each protection is set up by itself, so that a host that
lacks one still gives the others; what was set up is said, never guessed.
"""

import contextlib
import ctypes
import json
import os
import resource
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from runtimes.engines import landlock, seccomp

PROTECTIONS: Mapping[str, str] = {
    "files": "a worker reads libraries and the objects of its own jobs, and writes in its box alone",
    "network": "a worker reaches no address, not even this machine's own",
    "processes": "a worker starts no other program and signals no other process",
    "limits": "files, open files and memory of a worker are bounded, and it leaves no core dump",
}
"""What may be on, and what it means."""

LARGEST_FILE = 4 * 2**30
"""Bytes of one file that a worker writes."""
_OPEN_FILES = 1024
_THREADS = 4096
_SPARE_ADDRESSES = 4 * 2**30
"""Bytes of address space beyond twice the memory: a backstop, reserved pages cost nothing."""

_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000
_DEATH_SIGNAL, _DUMPABLE, _NO_NEW_PRIVILEGES = 1, 4, 38

_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache")
_SYSTEM = (
    "/usr/share/zoneinfo", "/etc/localtime", "/dev/urandom", "/dev/random", "/dev/zero", "/proc/self", "/proc/cpuinfo",
    "/proc/meminfo", "/proc/stat", "/proc/sys/vm/overcommit_memory", "/sys/devices/system/cpu", "/sys/devices/system/node",
)  # fmt: skip

_KEPT = frozenset(
    {"PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH", "PYTHONHASHSEED"}
    # what caps the instructions that libraries choose: to see whether results hold on another machine
    | {"ONEDNN_MAX_CPU_ISA", "NPY_DISABLE_CPU_FEATURES", "OPENBLAS_CORETYPE"}
)
"""All that a worker is given of the environment: never a token, an address or a home."""
_OURS = {
    "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "VECLIB_MAXIMUM_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "KERAS_BACKEND": "tensorflow",
    "PYTHONDONTWRITEBYTECODE": "1", "PYTHONNOUSERSITE": "1", "PYTHONSAFEPATH": "1", "PYTHONUTF8": "1",
    "PYDANTIC_DISABLE_PLUGINS": "__all__",
}  # fmt: skip
"""One thread a worker: parallelism comes from workers, and sums do not depend on the number of cores."""


@dataclass
class Confined:
    """What was set up."""

    on: dict[str, str] = field(default_factory=dict)
    """Protection to what gives it."""
    lacks: dict[str, str] = field(default_factory=dict)
    """Protection to why it is not there."""


def environment() -> dict[str, str]:
    """What a worker sees of the environment, and where it finds the packages that this process finds."""
    kept = {name: value for name, value in os.environ.items() if name in _KEPT}
    paths = [entry for entry in sys.path if entry and Path(entry).exists()]
    here = str(Path(__file__).resolve().parents[2])
    return {**kept, **_OURS, "PYTHONPATH": os.pathsep.join(dict.fromkeys([*paths, here]))}


def settle(home: Path) -> None:
    """Live in a private folder: where temporary files and caches of libraries go. Nobody else may read what is made."""
    os.umask(0o077)
    home.mkdir(parents=True, exist_ok=True)
    os.environ.update({"HOME": str(home), "TMPDIR": str(home), "XDG_CACHE_HOME": str(home), "KERAS_HOME": str(home)})
    tempfile.tempdir = None
    os.chdir(home)


def die_with(parent: int) -> None:
    """End when the process that made this one ends, however it ends."""
    if sys.platform == "linux":
        _prctl(_DEATH_SIGNAL, 9)
    if os.getppid() != parent:
        os._exit(1)


def confine(reads: tuple[Path, ...], changes: tuple[Path, ...], memory: int | None) -> Confined:
    """Give up everything that computing does not need.

    Args:
        reads: folders that it may read, besides libraries.
        changes: folders that it may change.
        memory: bytes that it may come to hold; None: not bounded.
    """
    done = Confined()
    parent = os.getppid()
    own = _tried(done, "network", _leave_network)
    with contextlib.suppress(OSError, AttributeError):
        _drop_capabilities()
    _tried(done, "limits", lambda: _limit(memory, in_own_namespace=own))
    with contextlib.suppress(OSError, AttributeError):
        _prctl(_NO_NEW_PRIVILEGES, 1)
    places = (*_readable(), *reads)
    _tried(done, "files", lambda: _keep_files(places, (*changes, Path("/dev/null"))))
    if sys.platform == "linux":
        die_with(parent)  # changing who one is may have switched it off
        with contextlib.suppress(OSError):
            _prctl(_DUMPABLE, 0)
    if _tried(done, "processes", _keep_calls):
        # no socket is made any more, with or without a network of its own
        done.lacks.pop("network", None)
        done.on["network"] = ", ".join(filter(None, (done.on.get("network"), "seccomp")))
    return done


def _tried(done: Confined, name: str, step: Callable[[], str]) -> bool:
    try:
        done.on[name] = step()
    except (OSError, AttributeError, ValueError) as error:
        done.lacks[name] = str(getattr(error, "strerror", None) or error)
        return False
    return True


def _leave_network() -> str:
    """A user and a network namespace of its own: the network has not even a loopback that is up."""
    user, group = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_USER | _NEW_NETWORK) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"no network namespace: {os.strerror(number)}")
    with contextlib.suppress(OSError):
        Path("/proc/self/setgroups").write_text("deny", "ascii")
    # without them, files could not be made: their owner would have no name here
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1", "ascii")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1", "ascii")
    return "network namespace"


def _drop_capabilities() -> None:
    class Header(ctypes.Structure):
        _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))

    header = Header(0x20080522, 0)
    nothing = (ctypes.c_uint32 * 6)()
    ctypes.CDLL(None, use_errno=True).capset(ctypes.byref(header), ctypes.byref(nothing))


def _limit(memory: int | None, *, in_own_namespace: bool) -> str:
    wanted = {resource.RLIMIT_CORE: 0, resource.RLIMIT_FSIZE: LARGEST_FILE, resource.RLIMIT_NOFILE: _OPEN_FILES}
    if in_own_namespace and sys.platform == "linux":  # else all processes of the user would count
        wanted[resource.RLIMIT_NPROC] = _THREADS
    if memory is not None and (held := _addresses()):
        wanted[resource.RLIMIT_AS] = held + 2 * memory + _SPARE_ADDRESSES
    for name, value in wanted.items():
        most = resource.getrlimit(name)[1]
        least = value if most == resource.RLIM_INFINITY else min(value, most)
        resource.setrlimit(name, (least, least))
    return "resource limits"


def _addresses() -> int:
    """Bytes of address space that this process has already: libraries reserve more than they use."""
    try:
        return int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
    except (OSError, ValueError):
        return 0


def _keep_files(reads: tuple[Path, ...], changes: tuple[Path, ...]) -> str:
    if not (abi := landlock.version()):
        raise OSError("no Landlock in this kernel")
    landlock.restrict(reads, changes)
    return f"Landlock {abi}"


def _keep_calls() -> str:
    if not seccomp.supported():
        raise OSError("no seccomp filter for this kernel and architecture")
    seccomp.restrict()
    return "seccomp"


def _readable() -> Iterator[Path]:
    """Libraries and what they need of the system; of the project its packages alone, not the folder that they lie in."""
    found = [Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    for prefix in {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}:
        found += [Path(prefix, "lib"), Path(prefix, "lib64")]
    # a folder that holds installed distributions is one of libraries, wherever it lies
    found += [Path(entry) for entry in sys.path if entry and any(Path(entry).glob("*.dist-info"))]
    roots = [path.resolve() for path in found if path.exists()]
    yield from dict.fromkeys([*map(Path, _LIBRARIES), *map(Path, _SYSTEM), *roots])
    for name, module in list(sys.modules.items()):
        origin = getattr(module, "__file__", None)
        if "." in name or not origin:
            continue
        file = Path(origin).resolve()
        if not any(file.is_relative_to(root) for root in roots):
            yield file.parent if hasattr(module, "__path__") else file


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def tried_here() -> Confined:
    """What this host gives, found by locking up a process that does nothing else."""
    import subprocess

    program = [sys.executable, "-P", "-m", "runtimes.engines.sandbox"]
    try:
        told = subprocess.run(program, env=environment(), capture_output=True, timeout=60, check=True, cwd="/")  # noqa: S603
        return Confined(**json.loads(told.stdout))
    except (OSError, subprocess.SubprocessError, ValueError, TypeError) as error:
        return Confined({}, dict.fromkeys(PROTECTIONS, f"it could not be tried: {error}"))


if __name__ == "__main__":
    print(json.dumps(vars(confine((), (), 2**30))))  # noqa: T201
