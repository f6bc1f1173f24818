"""Seccomp by ctypes: a process gives up system calls that computing never needs, for good and without any privilege.

https://docs.kernel.org/userspace-api/seccomp_filter.html. What Landlock cannot take away goes here: making processes
(so that whoever ends a worker ends all of it), any new socket (UDP and the sockets of other programs), looking into
other processes, modes, owners, times and attributes of files (of every file of the user, wherever it lies: Landlock does not
look at them, and an object of the store shares its inode with what a worker is shown of it), watching folders, memory that
no limit counts or that outlives the worker, and the corners of the kernel that are attacked most. A refused call fails with
EPERM, one that is newer than this list with ENOSYS; nothing is killed.
"""

import ctypes
import os
import platform
import struct
import sys

_SET_SECCOMP, _FILTER = 22, 2
_LOAD, _EQUAL, _HAS_BITS, _AT_LEAST, _RETURN = 0x20, 0x15, 0x45, 0x35, 0x06
_ALLOW, _KILL = 0x7FFF0000, 0x80000000
_REFUSE, _UNKNOWN = 0x00050000 | 1, 0x00050000 | 38
"""Fail with EPERM; with ENOSYS, so that the C library takes the older call."""
_NUMBER, _ARCHITECTURE, _FIRST = 0, 4, 16
"""Offsets in what the filter is shown: the number of the call, the architecture, the low half of the first argument."""
_CLONE_THREAD = 0x10000
_NEWER = 463
"""The first call that this list does not know (`setxattrat`, Linux 6.13); calls of the x32 ABI have higher numbers yet."""
_OWN_LIFE = (1, 4, 22, 38)
"""prctl: what sets the death signal, who may look in, the filter, and new privileges: all of it is settled."""

_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_CALLS = {
    "x86_64": {
        "clone": 56, "prctl": 157, "kill": 62, "tgkill": 234, "prlimit64": 302,
        "fork": 57, "vfork": 58, "execve": 59, "execveat": 322,
        "socket": 41, "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312,
        "tkill": 200, "rt_sigqueueinfo": 129, "rt_tgsigqueueinfo": 297, "setsid": 112, "setpgid": 109,
        "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161, "unshare": 272, "setns": 308,
        "bpf": 321, "perf_event_open": 298, "userfaultfd": 323, "add_key": 248, "request_key": 249, "keyctl": 250,
        "name_to_handle_at": 303, "open_by_handle_at": 304, "init_module": 175, "delete_module": 176,
        "finit_module": 313, "kexec_load": 246, "reboot": 169, "swapon": 167, "swapoff": 168, "acct": 163,
        "personality": 135, "syslog": 103, "sethostname": 170, "setdomainname": 171, "iopl": 172, "ioperm": 173,
        "chmod": 90, "fchmod": 91, "fchmodat": 268, "chown": 92, "fchown": 93, "lchown": 94, "fchownat": 260,
        "utime": 132, "utimes": 235, "futimesat": 261, "utimensat": 280,
        "setxattr": 188, "lsetxattr": 189, "fsetxattr": 190, "removexattr": 197, "lremovexattr": 198,
        "fremovexattr": 199, "inotify_init": 253, "inotify_init1": 294, "fanotify_init": 300, "socketpair": 53,
        "memfd_create": 319, "shmget": 29, "shmat": 30, "shmctl": 31, "semget": 64, "msgget": 68, "mq_open": 240,
    },
    "aarch64": {
        "clone": 220, "prctl": 167, "kill": 129, "tgkill": 131, "prlimit64": 261,
        "execve": 221, "execveat": 281,
        "socket": 198, "ptrace": 117, "process_vm_readv": 270, "process_vm_writev": 271, "kcmp": 272,
        "tkill": 130, "rt_sigqueueinfo": 138, "rt_tgsigqueueinfo": 240, "setsid": 157, "setpgid": 154,
        "mount": 40, "umount2": 39, "pivot_root": 41, "chroot": 51, "unshare": 97, "setns": 268,
        "bpf": 280, "perf_event_open": 241, "userfaultfd": 282, "add_key": 217, "request_key": 218, "keyctl": 219,
        "name_to_handle_at": 264, "open_by_handle_at": 265, "init_module": 105, "delete_module": 106,
        "finit_module": 273, "kexec_load": 104, "reboot": 142, "swapon": 224, "swapoff": 225, "acct": 89,
        "personality": 92, "syslog": 116, "sethostname": 161, "setdomainname": 162,
        "fchmod": 52, "fchmodat": 53, "fchownat": 54, "fchown": 55, "utimensat": 88,
        "setxattr": 5, "lsetxattr": 6, "fsetxattr": 7, "removexattr": 14, "lremovexattr": 15, "fremovexattr": 16,
        "inotify_init1": 26, "fanotify_init": 262, "socketpair": 199,
        "memfd_create": 279, "shmget": 194, "shmctl": 195, "shmat": 196, "semget": 190, "msgget": 186, "mq_open": 180,
    },
}  # fmt: skip
_SHARED = {
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "pidfd_send_signal": 424, "pidfd_open": 434,
    "pidfd_getfd": 438, "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432,
    "mount_setattr": 442, "process_madvise": 440, "memfd_secret": 447, "fchmodat2": 452,
}  # fmt: skip
"""Newer calls have one number everywhere."""
_CLONE3 = 435
_LOOKED_AT = ("clone", "prctl", "kill", "tgkill", "prlimit64")
"""Calls that hang on their first argument; the others of the lists are refused whole."""


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def supported() -> bool:
    """True where the kernel has filters and this program knows the numbers of its calls."""
    if sys.platform != "linux" or platform.machine() not in _ARCHITECTURES:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    # asked to load a filter that is not there, a kernel that has filters answers EFAULT
    return libc.prctl(_SET_SECCOMP, _FILTER, None, 0, 0) != 0 and ctypes.get_errno() == 14


def restrict() -> None:
    """Refuse these calls to this thread and all that come of it. No new privileges must have been asked before.

    Raises `OSError`.
    """
    code = _filter(platform.machine(), os.getpid())
    program = _Program(len(code) // 8, code)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _filter(machine: str, own: int) -> bytes:
    """The filter's program. Comparisons skip the answer that follows them where they do not hold."""
    calls = _CALLS[machine]
    lines = [
        _line(_LOAD, _ARCHITECTURE),
        _line(_EQUAL, _ARCHITECTURES[machine], 1, 0),
        _line(_RETURN, _KILL),
        _line(_LOAD, _NUMBER),
        _line(_AT_LEAST, _NEWER, 0, 1),
        _line(_RETURN, _UNKNOWN),
        _line(_EQUAL, _CLONE3, 0, 1),
        _line(_RETURN, _UNKNOWN),
    ]
    for number in sorted({**calls, **_SHARED}[name] for name in {**calls, **_SHARED} if name not in _LOOKED_AT):
        lines += [_line(_EQUAL, number, 0, 1), _line(_RETURN, _REFUSE)]
    # a thread is made, another process is not
    lines += _first_argument(calls["clone"], [_line(_HAS_BITS, _CLONE_THREAD, 1, 0), _line(_RETURN, _REFUSE)])
    settled = [line for option in _OWN_LIFE for line in (_line(_EQUAL, option, 0, 1), _line(_RETURN, _REFUSE))]
    lines += _first_argument(calls["prctl"], settled)
    for name in ("kill", "tgkill"):  # abort() signals its own process
        lines += _first_argument(calls[name], [_line(_EQUAL, own, 1, 0), _line(_RETURN, _REFUSE)])
    own_limits = [_line(_EQUAL, 0, 2, 0), _line(_EQUAL, own, 1, 0), _line(_RETURN, _REFUSE)]
    lines += _first_argument(calls["prlimit64"], own_limits)
    return b"".join([*lines, _line(_RETURN, _ALLOW)])


def _first_argument(number: int, checks: list[bytes]) -> list[bytes]:
    """Checks of a call's first argument, passed over for other calls; a call that passes them is allowed."""
    body = [_line(_LOAD, _FIRST), *checks, _line(_RETURN, _ALLOW)]
    return [_line(_EQUAL, number, 0, len(body)), *body]


def _line(operation: int, value: int, if_so: int = 0, else_: int = 0) -> bytes:
    return struct.pack("=HBBI", operation, if_so, else_, value)
