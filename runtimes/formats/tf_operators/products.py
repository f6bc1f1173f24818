"""Products of matrices, and what is made of them."""

from typing import Any

from runtimes.formats.tf_operators.declaring import Call, operator


@operator("MatMul")
def matmul(call: Call, x: Any, y: Any) -> Any:
    tf = call.tf
    if len(x.shape) > 1 and len(y.shape) > 1:
        if len(y.shape) == 2 and len(x.shape) > 2:  # one large product is several times as fast as one for each row
            flat = tf.matmul(tf.reshape(x, tf.stack([-1, _size(tf, x, -1)])), y)
            return tf.reshape(flat, tf.concat([tf.shape(x)[:-1], tf.shape(y)[-1:]], 0))
        return tf.matmul(x, y)
    # NumPy's rules: a vector is a row on the left and a column on the right, and its axis goes again
    left, right = len(x.shape) == 1, len(y.shape) == 1
    made = tf.matmul(x[None] if left else x, y[:, None] if right else y)
    made = tf.squeeze(made, -1) if right else made
    return tf.squeeze(made, -1 if right else -2) if left else made


def _size(tf: Any, x: Any, axis: int) -> Any:
    return tf.shape(x)[axis] if x.shape[axis] is None else x.shape[axis]


@operator("FusedMatMul", domain="com.microsoft")
def fused_matmul(call: Call, x: Any, y: Any) -> Any:
    turned = {"transpose_a": bool(call.attribute("transA", 0)), "transpose_b": bool(call.attribute("transB", 0))}
    return call.attribute("alpha", 1.0) * call.tf.matmul(x, y, **turned)


@operator("Gemm")
def gemm(call: Call, x: Any, y: Any, added: Any = None) -> Any:
    tf = call.tf
    turned = {"transpose_a": bool(call.attribute("transA", 0)), "transpose_b": bool(call.attribute("transB", 0))}
    alpha, beta = call.attribute("alpha", 1.0), call.attribute("beta", 1.0)
    made = tf.matmul(x, y, **turned)
    made = made if alpha == 1.0 else tf.cast(alpha, made.dtype) * made
    if added is None or beta == 0.0:
        return made
    if len(added.shape) == 2 and added.shape[0] == 1:  # TensorFlow takes it for a bias, which has one axis
        added = tf.reshape(added, (-1,))
    return made + (added if beta == 1.0 else tf.cast(beta, added.dtype) * added)


@operator("Einsum")
def einsum(call: Call, *several: Any) -> Any:
    return call.tf.einsum(call.attribute("equation").replace(" ", ""), *several)


@operator("Det")
def determinant(call: Call, x: Any) -> Any:
    return call.tf.linalg.det(x)
