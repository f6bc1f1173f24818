"""How a worker's end is told to people."""

import signal


def in_bytes(count: int) -> str:
    """A number of bytes in words."""
    return f"{count / 2**30:.3g} GiB" if count >= 2**30 else f"{count / 2**20:.3g} MiB"


def last_words(status: int) -> str:
    """What an exit status says: below 0 the signal that the process died of."""
    if status >= 0:
        return f"the worker process ended with status {status} in the middle of its work"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    hints = {
        "SIGKILL": " (killed; often the system ran out of memory)",
        "SIGSEGV": " (a crash in native code)",
        "SIGFPE": " (a division in native code that has no result)",
        "SIGABRT": " (native code gave up)",
    }
    return f"the worker process died of {name}{hints.get(name, '')}"
