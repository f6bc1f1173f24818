"""Attention of the opsets since 23: scaled products, masks, windows, grouped heads; linear attention; rotated positions."""

from typing import Any

import numpy as np

from runtimes.formats.tf_operators.declaring import Call, Unsupported, operator


@operator("Attention")
def attention(
    call: Call,
    query: Any,
    key: Any,
    value: Any,
    mask: Any = None,
    past_key: Any = None,
    past_value: Any = None,
    lengths: Any = None,
) -> tuple[Any, ...]:
    tf, flat, dtype = call.tf, len(query.shape) == 3, query.dtype
    if flat:
        heads, held = call.attribute("q_num_heads"), call.attribute("kv_num_heads")
        query, key, value = _split(call, query, heads), _split(call, key, held), _split(call, value, held)
    before = 0 if past_key is None else tf.shape(past_key)[2]
    key = key if past_key is None else tf.concat([past_key, key], 2)
    value = value if past_value is None else tf.concat([past_value, value], 2)
    present = key, value
    key, value = (_repeated(call, one, query) for one in present)
    width = query.shape[-1]
    if width is None:
        raise Unsupported("the size of its heads is only known when it runs")
    root = tf.cast(np.sqrt(call.attribute("scale", 1 / np.sqrt(width))), dtype)
    raw = _product(call, query * root, key * root, True)
    cap = call.attribute("softcap", 0.0)
    scores = tf.cast(cap, dtype) * tf.tanh(raw / tf.cast(cap, dtype)) if cap else raw
    added = _added(call, scores, mask, before if past_key is not None or lengths is None else None, lengths)
    biased = scores if added is None else tf.where(_gone(call, added), added, scores + added)
    chances = _chances(call, biased, added)
    made = _product(call, chances, value)
    shown = (raw, scores, biased, chances)[call.attribute("qk_matmul_output_mode", 0)]
    return _joined(call, made) if flat else made, *present, shown


def _product(call: Call, x: Any, y: Any, turned: bool = False) -> Any:
    """A product whose sums are taken in float32, of halves too, as on ONNX Runtime."""
    tf = call.tf
    wide = call.floats if x.dtype in (tf.float16, tf.bfloat16) else x.dtype
    return tf.cast(tf.matmul(tf.cast(x, wide), tf.cast(y, wide), transpose_b=turned), x.dtype)


def _split(call: Call, x: Any, heads: int) -> Any:
    """``(rows, time, heads * width)`` as ``(rows, heads, time, width)``."""
    tf = call.tf
    shape = tf.shape(x)
    width = -1 if x.shape[2] is None else x.shape[2] // heads
    return tf.transpose(tf.reshape(x, tf.stack([shape[0], shape[1], heads, width])), (0, 2, 1, 3))


def _joined(call: Call, x: Any) -> Any:
    tf = call.tf
    turned = tf.transpose(x, (0, 2, 1, 3))
    shape = tf.shape(turned)
    known = None if x.shape[1] is None or x.shape[3] is None else x.shape[1] * x.shape[3]
    return tf.reshape(turned, tf.stack([shape[0], shape[1], -1 if known is None else known]))


def _repeated(call: Call, x: Any, query: Any) -> Any:
    """Heads of keys or values, each as often as queries share it."""
    if x.shape[1] is None or query.shape[1] is None:
        raise Unsupported("how many heads it has is only known when it runs")
    times = query.shape[1] // x.shape[1]
    return x if times == 1 else call.tf.repeat(x, times, axis=1)


def _gone(call: Call, added: Any) -> Any:
    return call.tf.math.is_inf(added) & (added < 0)


def _added(call: Call, scores: Any, mask: Any, before: Any, lengths: Any) -> Any:
    """What is added to the scores, minus infinity where a key is hidden; None where nothing is.

    Args:
        call: the node.
        scores: ``(rows, heads, queries, keys)``.
        mask: truths or summands, whose last axis may be too short.
        before: how many keys stand before the first query; None where each row's length says it.
        lengths: of each row, how many keys are real.
    """
    tf, dtype = call.tf, scores.dtype
    queries, keys = tf.shape(scores)[-2], tf.shape(scores)[-1]
    nothing = tf.constant(-np.inf, dtype)
    added = None
    if mask is not None:
        given = tf.where(mask, tf.zeros((), dtype), nothing) if mask.dtype == tf.bool else tf.cast(mask, dtype)
        short = tf.maximum(keys - tf.shape(given)[-1], 0)
        added = tf.pad(given, [(0, 0)] * (len(given.shape) - 1) + [(0, short)], constant_values=nothing)
    if before is None:
        before = tf.reshape(tf.cast(lengths, "int32"), (-1, 1, 1, 1)) - queries
    at, place = tf.range(queries)[:, None] + before, tf.range(keys)[None, :]
    left, right = call.attribute("left_window_size", -1), call.attribute("right_window_size", -1)
    seen = [place <= at] if call.attribute("is_causal", 0) else []
    seen += [place >= at - left] if left >= 0 else []
    seen += [place <= at + right] if right >= 0 else []
    if lengths is not None:
        seen.append(place < tf.reshape(tf.cast(lengths, "int32"), (-1, 1, 1, 1)))
    for one in seen:
        base = tf.zeros((), dtype) if added is None else added
        added = tf.where(one, base, nothing)
    return added


def _chances(call: Call, scores: Any, added: Any) -> Any:
    """A softmax over keys; of a query that sees none, 0 everywhere, with a slope of 0."""
    tf, code = call.tf, call.attribute("softmax_precision")
    inner = scores if code is None else tf.cast(scores, call.dtype(code))
    if added is None:
        return tf.cast(tf.nn.softmax(inner), scores.dtype)
    blind = tf.reduce_all(_gone(call, added), -1, keepdims=True) & tf.ones_like(scores, "bool")
    chances = tf.nn.softmax(tf.where(blind, tf.zeros_like(inner), inner))
    return tf.cast(tf.where(blind, tf.zeros_like(chances), chances), scores.dtype)


@operator("RotaryEmbedding")
def rotary_embedding(call: Call, x: Any, cosine: Any, sine: Any, position: Any = None) -> Any:
    tf, flat = call.tf, len(x.shape) == 3
    data = tf.transpose(_split(call, x, call.attribute("num_heads")), (0, 2, 1, 3)) if flat else None
    data = tf.transpose(x, (0, 2, 1, 3)) if data is None else data  # rows, time, heads, width
    if position is not None:
        cosine, sine = tf.gather(cosine, position), tf.gather(sine, position)
    cosine, sine = cosine[:, :, None], sine[:, :, None]
    width = call.attribute("rotary_embedding_dim", 0) or data.shape[-1]
    turned, kept = data[..., :width], data[..., width:]
    pairs = bool(call.attribute("interleaved", 0))
    first, second = (turned[..., 0::2], turned[..., 1::2]) if pairs else tf.split(turned, 2, -1)
    both = [cosine * first - sine * second, sine * first + cosine * second]
    made = tf.reshape(tf.stack(both, -1), tf.shape(turned)) if pairs else tf.concat(both, -1)
    made = tf.concat([made, kept], -1)
    return tf.reshape(made, tf.shape(x)) if flat else tf.transpose(made, (0, 2, 1, 3))


@operator("LinearAttention")
def linear_attention(
    call: Call, query: Any, key: Any, value: Any, past: Any = None, decay: Any = None, rate: Any = None
) -> tuple[Any, Any]:
    tf, rule = call.tf, call.attribute("update_rule", "gated_delta")
    heads, held = call.attribute("q_num_heads"), call.attribute("kv_num_heads")
    dtype = query.dtype
    first, *rest = (_over_time(call, one, number) for one, number in ((query, heads), (key, held), (value, held)))
    keys, values = rest
    queries = first
    width = queries.shape[-1]
    scale = call.attribute("scale", 0.0) or 1 / np.sqrt(width)
    state = tf.zeros(tf.stack([tf.shape(query)[0], held, width, values.shape[-1]]), keys.dtype)
    state = state if past is None else tf.cast(past, keys.dtype)
    gates = _over_time(call, decay, held) if "gated" in rule else tf.zeros_like(keys)
    wide = rate is not None and rate.shape[-1] == 1
    rates = _over_time(call, rate, 1 if wide else held) if "delta" in rule else tf.ones_like(keys[..., :1])

    def step(before: Any, now: Any) -> Any:
        k, v, gate, much = now
        kept = tf.exp(gate)[..., None] * before
        change = v - tf.linalg.matvec(kept, k, transpose_a=True) if "delta" in rule else v
        return kept + (much * k)[..., None] * change[..., None, :]

    states = tf.scan(step, (keys, values, gates, rates), initializer=state)  # time, rows, heads, keys, values
    shared = tf.repeat(states, heads // held, axis=2)
    made = tf.cast(scale, keys.dtype) * tf.linalg.matvec(shared, queries, transpose_a=True)
    made = tf.transpose(made, (1, 0, 2, 3))
    shape = tf.shape(made)
    flat = tf.reshape(made, tf.stack([shape[0], shape[1], heads * values.shape[-1]]))
    return tf.cast(flat, dtype), tf.cast(states[-1], dtype)


def _over_time(call: Call, x: Any, heads: int) -> Any:
    """``(rows, time, heads * width)`` as ``(time, rows, heads, width)``, in a type that sums are taken in."""
    split = call.tf.transpose(_split(call, x, heads), (2, 0, 1, 3))
    return call.tf.cast(split, call.floats) if x.dtype in (call.tf.float16, call.tf.bfloat16) else split


@operator("CausalConvWithState")
def causal_convolution(call: Call, x: Any, weight: Any, bias: Any = None, past: Any = None) -> tuple[Any, Any]:
    tf = call.tf
    reach = weight.shape[2]
    if reach is None:
        raise Unsupported("the size of its kernel is only known when it runs")
    time = tf.shape(x)[2]
    start = tf.zeros(tf.concat([tf.shape(x)[:2], [reach - 1]], 0), x.dtype) if past is None else past
    whole = tf.concat([start, x], 2)
    made = tf.add_n([whole[:, :, tap : tap + time] * weight[:, :, tap] for tap in range(reach)])
    made = made if bias is None else made + bias[:, None]
    if call.attribute("activation", "none") in ("silu", "swish"):
        made = made * tf.sigmoid(made)
    return made, whole[:, :, time:]


@operator("SwiGLU", style="elementwise")
def swiglu(call: Call, gate: Any, x: Any) -> Any:
    return gate * call.tf.sigmoid(call.tf.cast(call.attribute("alpha", 1.0), gate.dtype) * gate) * x
