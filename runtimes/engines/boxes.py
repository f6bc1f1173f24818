"""Boxes: the private folders of jobs, and what a worker may see of the store."""

import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path


def new_box(boxes: Path) -> Path:
    """An empty folder that nobody else has."""
    boxes.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="box-", dir=boxes))


def show(store: Path, view: Path, reads: Iterable[str]) -> None:
    """Make objects of a store visible below another folder: linked where the file system can, else copied."""
    for name in reads:
        target = view / name
        if target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(store / name, target)
        except FileExistsError:
            continue
        except OSError:
            shutil.copyfile(store / name, target)
