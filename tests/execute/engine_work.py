"""Work for the tests of engines: named ``engine_work:...`` by them."""

import os
import signal
import time


def double(payload, progress):
    progress(1, 1)
    return {"value": 2 * payload["value"], "pid": os.getpid()}


def fail(payload, progress):
    raise ValueError("the value is " + str(payload["value"]))


def die(payload, progress):
    os.kill(os.getpid(), signal.SIGSEGV)
    time.sleep(60)


def chatter(payload, progress):
    print("a library prints to stdout")
    os.write(1, b"and from C as well\n")
    return {"value": 1}


def linger(payload, progress):
    progress(0, 1)
    time.sleep(600)
