"""Fourier transforms, of whole signals and of windows of them; real and imaginary parts stand on the last axis."""

from typing import Any

import numpy as np

from runtimes.formats.tf_operators.declaring import Call, Unsupported, operator, positive


@operator("DFT")
def fourier(call: Call, x: Any, length: Any = None, axis: Any = None) -> Any:
    if call.opset < 20:
        along = call.attribute("axis", 1)
    else:
        along = -2 if axis is None else int(call.known(2, "axis").reshape(-1)[0])
    inverse, half = bool(call.attribute("inverse", 0)), bool(call.attribute("onesided", 0))
    number = int(call.known(1, "length").reshape(-1)[0]) if call.use.has(1) else None
    return _transformed(call, x, positive(along, len(x.shape)), number, inverse, half)


def _transformed(call: Call, x: Any, axis: int, number: int | None, inverse: bool, half: bool) -> Any:
    tf, rank = call.tf, len(x.shape) - 1
    # sums of many terms, whose rounding would show; back again, the sums are divided
    parts = x if inverse else tf.cast(x, "float64")
    signal = tf.complex(parts[..., 0], parts[..., 1] if x.shape[-1] == 2 else tf.zeros_like(parts[..., 0]))
    length = x.shape[axis]
    if length is None:
        raise Unsupported("the length of its signal is only known when it runs")
    back = inverse and half
    number = number or (2 * (length - 1) if back else length)
    turn = [*(one for one in range(rank) if one != axis), axis]
    turned = tf.transpose(signal, turn)
    entries = number // 2 + 1 if back else number
    room = max(entries - length, 0)
    turned = tf.pad(turned, [(0, 0)] * (rank - 1) + [(0, room)])[..., :entries]
    undo = [turn.index(one) for one in range(rank)]
    if back:
        return tf.cast(tf.transpose(tf.signal.irfft(turned, [number]), undo)[..., None], x.dtype)
    made = (tf.signal.ifft if inverse else tf.signal.fft)(turned)
    made = tf.transpose(made[..., : number // 2 + 1] if half else made, undo)
    return tf.cast(tf.stack([tf.math.real(made), tf.math.imag(made)], -1), x.dtype)


@operator("STFT")
def fourier_of_windows(call: Call, x: Any, step: Any, window: Any = None, length: Any = None) -> Any:
    tf = call.tf
    given = call.use.has(3)
    size = int(call.known(3, "length").reshape(-1)[0]) if given else (x.shape[1] if window is None else window.shape[0])
    if size is None:
        raise Unsupported("the length of its windows is only known when it runs")
    hop = int(call.known(1, "step").reshape(-1)[0])
    frames = tf.signal.frame(x if len(x.shape) == 3 else x[..., None], size, hop, axis=1)  # rows, frames, time, parts
    frames = frames if window is None else frames * tf.reshape(tf.cast(window, x.dtype), (-1, 1))
    return _transformed(call, frames, 2, None, False, bool(call.attribute("onesided", 1)))


@operator("MelWeightMatrix", flat=True)
def mel_weights(call: Call, *_: Any) -> Any:
    """How much each frequency of a spectrum counts for each mel band: triangles that meet at their neighbours' centres."""
    bands, length, rate = (
        int(call.known(place, name).item()) for place, name in enumerate(("bands", "length", "rate"))
    )
    ends = [
        float(call.known(place, name).item()) for place, name in ((3, "lowest frequency"), (4, "highest frequency"))
    ]
    low, high = (2595 * np.log10(1 + end / 700) for end in ends)
    mels = np.arange(bands + 2) * ((high - low) / (bands + 2)) + low
    places = ((length + 1) * (700 * (10 ** (mels / 2595) - 1)) // rate).astype(int)
    weights = np.zeros((length // 2 + 1, bands))
    for band, (start, centre, stop) in enumerate(zip(places[:-2], places[1:-1], places[2:], strict=True)):
        rising, falling = np.arange(start, centre + 1), np.arange(centre, stop)
        weights[rising, band] = (rising - start) / (centre - start) if centre > start else 1.0
        if stop > centre:
            weights[falling, band] = (stop - falling) / (stop - centre)
    return call.tf.constant(weights, call.dtype(call.attribute("output_datatype", 1)))
