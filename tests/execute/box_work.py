"""What a worker may do to the disk: named ``box_work:...`` by tests."""

import os
import time


def fill(payload, place, progress):
    """Leave files, or folders in folders, and wait to be noticed."""
    folder = place.writes if payload["where"] == "box" else type(place.writes)(os.environ["HOME"])
    for number in range(payload["files"]):
        (folder / f"{number}.bin").write_bytes(b"x" * payload["bytes"])
    for _ in range(payload.get("levels", 0)):
        folder = folder / "a"
        folder.mkdir()
    progress(1, 1)
    time.sleep(payload["seconds"])
    return {"left": payload["files"]}


def flags_of_output(payload, place, progress):
    """The flags of the files that it prints to."""
    import fcntl

    return {"flags": [fcntl.fcntl(number, fcntl.F_GETFL) for number in (1, 2)]}
