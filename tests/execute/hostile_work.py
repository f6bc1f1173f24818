"""What a hostile model may try once it runs code in its worker: named ``hostile_work:...`` by tests."""

import ctypes
import json
import os
import signal
import socket
import stat
import subprocess
import time
from pathlib import Path


def _tried(action):
    try:
        return {"done": str(action())}
    except OSError as error:
        return {"refused": error.strerror or type(error).__name__}


def read(payload, place, progress):
    return _tried(lambda: Path(payload["path"]).read_text()[:100])


def write(payload, place, progress):
    return _tried(lambda: Path(payload["path"]).write_text("I was here"))


def link(payload, place, progress):
    return _tried(lambda: os.link(payload["path"], place.writes / "linked"))


def connect(payload, place, progress):
    def act():
        with socket.socket(socket.AF_INET, getattr(socket, payload["kind"])) as line:
            line.settimeout(5)
            line.connect(("127.0.0.1", payload["port"]))
            return line.send(b"secret")

    return _tried(act)


def connect_by_path(payload, place, progress):
    def act():
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(payload["path"])
            return line.send(b"secret")

    return _tried(act)


def signal_parent(payload, place, progress):
    return _tried(lambda: os.kill(payload["pid"], signal.SIGTERM))


def fork(payload, place, progress):
    made = []

    def act():
        for _ in range(100):
            child = os.fork()
            if not child:
                os.setsid()
                time.sleep(600)
                os._exit(0)
            made.append(child)

    return {**_tried(act), "made": made}


def run_a_program(payload, place, progress):
    return _tried(lambda: subprocess.run(["/bin/true"], check=True))


def outlive(payload, place, progress):
    """Switch off what ends it with its parent."""
    return _tried(lambda: _checked(ctypes.CDLL(None, use_errno=True).prctl(1, 0, 0, 0, 0)))


def _checked(returned):
    if returned:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return returned


def look_around(payload, place, progress):
    return {
        "environment": dict(os.environ),
        "descriptors": sorted(int(name) for name in os.listdir("/proc/self/fd"))
        if os.path.isdir("/proc/self/fd")
        else [],
        "folder": os.getcwd(),
        "box": str(place.writes),
        "mask": os.umask(0o077),
        "seen": sorted(p.name for p in place.reads.rglob("*") if p.is_file()),
    }


def allocate(payload, place, progress):
    held = []
    while True:
        held.append(bytearray(os.urandom(1 << 20)) * 32)


def allocate_at_once(payload, place, progress):
    return {"length": len(bytearray(payload["bytes"]))}


def spin(payload, place, progress):
    """A loop in native code that holds the interpreter: no Python signal handler ever runs."""
    progress(0, 1)
    ctypes.PyDLL(None).sleep(600)


def spin_and_ignore(payload, place, progress):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    progress(0, 1)
    while True:
        pass


def crash(payload, place, progress):
    progress(0, 1)
    os.kill(os.getpid(), getattr(signal, payload["signal"]))
    time.sleep(60)


def crash_in_native_code(payload, place, progress):
    ctypes.string_at(0)


def abort(payload, place, progress):
    os.abort()


def leave_silently(payload, place, progress):
    os._exit(0)


def _answers():
    return next(n for n in range(3, 64) if _is_socket(n))


def _is_socket(number):
    try:
        return stat.S_ISSOCK(os.fstat(number).st_mode)
    except OSError:
        return False


def garbage(payload, place, progress):
    os.write(_answers(), payload["said"].encode("latin-1"))
    time.sleep(60)


def endless_line(payload, place, progress):
    while True:
        os.write(_answers(), b"x" * 65536)


def flood(payload, place, progress):
    until = time.monotonic() + 60
    while time.monotonic() < until:
        os.write(_answers(), b'{"progress": [1, 2], "job": 0}\n' * 1000)


def hang_up(payload, place, progress):
    os.close(_answers())
    time.sleep(60)


def answer_twice(payload, place, progress):
    os.write(_answers(), json.dumps({"done": {"value": "forged"}, "job": 0}).encode() + b"\n")
    time.sleep(0.2)
    return {"value": "late"}


def litter(payload, place, progress):
    kind = payload["kind"]
    document = place.writes / "document.json"

    def act():
        if kind == "symlink":
            os.symlink("/etc/passwd", document)
        elif kind == "fifo":
            os.mkfifo(document)
        elif kind == "huge":
            with document.open("wb") as file:
                file.truncate(1 << 40)
        elif kind == "deep":
            folder = place.writes
            for _ in range(payload["levels"]):
                folder = folder / "a"
                os.mkdir("a")
                os.chdir("a")
        elif kind == "closed":
            (place.writes / "closed").mkdir()
            (place.writes / "closed/file").write_text("x")
            (place.writes / "closed").chmod(0)

    return _tried(act)


def rest(payload, place, progress):
    progress(0, 1)
    time.sleep(payload["seconds"])
    return {"pid": os.getpid()}


def die_once(payload, place, progress):
    """Waits to be killed where nobody has been killed yet."""
    progress(0, 1)
    if (place.reads / "objects/ab/told").read_text() == "die":
        time.sleep(600)
    return {"pid": os.getpid()}


def onnx_model(payload, place, progress):
    """A division that the processor has no answer to, or a loop that does not end."""
    import numpy as np
    import onnxruntime
    from onnx import TensorProto, helper

    session = onnxruntime.InferenceSession(
        (_division if payload["kind"] == "division" else _loop)(helper, TensorProto).SerializeToString(),
        providers=["CPUExecutionProvider"],
    )
    progress(0, 1)
    x = np.array([-(2**31), -(2**31)], np.int32)
    return {"value": session.run(None, {"x": x})[0].tolist()}


def _division(helper, types):
    x, y = (helper.make_tensor_value_info(name, types.INT32, [2]) for name in "xy")
    minus = helper.make_tensor("minus", types.INT32, [2], [-1, -1])
    graph = helper.make_graph([helper.make_node("Div", ["x", "minus"], ["y"])], "g", [x], [y], [minus])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _loop(helper, types):
    def info(name, kind, shape):
        return helper.make_tensor_value_info(name, kind, shape)

    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Identity", ["before"], ["after"])],
        "body",
        [info("n", types.INT64, []), info("go", types.BOOL, []), info("before", types.INT32, [2])],
        [info("on", types.BOOL, []), info("after", types.INT32, [2])],
    )
    given = [helper.make_tensor("trips", types.INT64, [], [2**62]), helper.make_tensor("yes", types.BOOL, [], [True])]
    loop = helper.make_node("Loop", ["trips", "yes", "x"], ["y"], body=body)
    graph = helper.make_graph([loop], "g", [info("x", types.INT32, [2])], [info("y", types.INT32, [2])], given)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def tensorflow_loop(payload, place, progress):
    import tensorflow as tf

    progress(0, 1)
    endless = tf.function(lambda x: tf.while_loop(lambda x: x > 0, lambda x: (x + 0.0,), (x,)))
    return {"value": float(endless(tf.constant(1.0))[0])}
