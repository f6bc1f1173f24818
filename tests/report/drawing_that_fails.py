"""Formats that hang, die and take all memory, as a typesetter may; loaded by name in a process of their own."""

import ctypes
import os
import time
from pathlib import Path
from typing import Any

SUFFIX = ".pdf"
APART = True


def write(factsheet: Any, path: Path) -> None:
    """Fail in the way that the factsheet's owner says."""
    way = factsheet.audit.owner
    if way == "hangs":
        Path(factsheet.audit.name).write_text(str(os.getpid()))
        time.sleep(3600)
    elif way == "dies":
        path.write_bytes(b"%PDF-half")
        ctypes.string_at(0)
    elif way == "eats":
        held = []
        while True:
            held.append(bytes(1 << 28))  # asked for, and never written to: it is addresses that are counted
    elif way == "lacks":
        raise OSError("cannot load library 'libpango-1.0-0'")
    elif way == "raises":
        raise RuntimeError("no such font:\nsee above")
    elif way == "tells":
        path.write_text("\n".join(sorted(os.environ)))
