"""Work for the tests of engines: named ``engine_work:...`` by them."""

import os
import signal
import time


def double(payload, place, progress):
    progress(1, 1)
    return {"value": 2 * payload["value"], "pid": os.getpid()}


def fail(payload, place, progress):
    raise ValueError("the value is " + str(payload["value"]))


def die(payload, place, progress):
    os.kill(os.getpid(), signal.SIGSEGV)
    time.sleep(60)


def chatter(payload, place, progress):
    print("a library prints to stdout")
    os.write(1, b"and from C as well\n")
    return {"value": 1}


def linger(payload, place, progress):
    progress(0, 1)
    time.sleep(600)


def leave(payload, place, progress):
    """Reads an object of the store and leaves it, doubled, in its box."""
    read = (place.reads / payload["object"]).read_bytes()
    (place.writes / "made.bin").write_bytes(read * 2)
    return {"seen": sorted(p.relative_to(place.reads).as_posix() for p in place.reads.rglob("*") if p.is_file())}


def threads(payload, place, progress):
    """Threads that linear algebra takes."""
    import numpy  # noqa: F401
    from threadpoolctl import threadpool_info

    return {"most": max(found["num_threads"] for found in threadpool_info())}
