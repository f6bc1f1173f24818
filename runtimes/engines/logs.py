"""Files of a run's folder that are written line by line: nobody may lead them elsewhere, and none is waited for.

The folder may come from anybody: a link in place of a file would have another file grow, a second name of it (a hard link) would
be that other file, and a pipe would be waited for.
"""

import errno
import os
import stat
from pathlib import Path


def open_log(path: Path, more: int = 0) -> int:
    """A descriptor that writes to the end of a regular file, which is made where it is missing.

    Args:
        path: of the file.
        more: flags of `os.open` besides; with ``os.O_RDWR`` it is read as well.

    Raises:
        OSError: it is a link (hard ones too), a pipe, a device or a folder, or cannot be written; the error names it.
    """
    how = os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | (more or os.O_WRONLY)
    try:
        descriptor = os.open(path, how, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a link, and a pipe that nobody reads: say what it is
            raise _no_log(path) from error
        raise
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        os.close(descriptor)
        raise _no_log(path)
    return descriptor


def _no_log(path: Path) -> OSError:
    return OSError(
        errno.EINVAL, "a regular file of one name is written there, and this is a link, a pipe or a device", str(path)
    )
