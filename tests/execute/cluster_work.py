"""Work for the tests of the engine on Ray: named ``cluster_work:...`` by them."""

import os
import sys


def link_out(payload, place, progress):
    os.symlink(payload["path"], place.writes / "document.json")
    (place.writes / "folder").mkdir()
    os.mkfifo(place.writes / "pipe")
    (place.writes / "plain").write_bytes(b"1")
    return {}


def leave_too_many(payload, place, progress):
    for number in range(1000):
        (place.writes / str(number)).touch()
    return {}


def where_from(payload, place, progress):
    return {"paths": sys.path}
