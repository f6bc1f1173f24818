"""What a worker does with a mutated model: opens it as the runtime does, and asks it."""

import numpy as np


def open(payload, place, progress):
    path = place.reads / payload["object"]
    if path.suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        (given,) = session.get_inputs()
        scores = session.run(None, {given.name: np.zeros((2, 4), np.float32)})[0]
        return {"scores": scores.shape == (2, 2)}
    import h5py

    seen = []
    with h5py.File(path, "r") as file:
        file.visititems(lambda name, item: seen.append((name, np.asarray(item).size if hasattr(item, "shape") else 0)))
        attributes = {name: str(value)[:50] for name, value in file.attrs.items()}
    return {"scores": bool(seen) and bool(attributes)}
