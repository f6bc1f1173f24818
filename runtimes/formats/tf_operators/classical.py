"""Operators of classical models, as scikit-learn's converters write them."""

from typing import Any

import numpy as np

from runtimes.formats.tf_operators.declaring import Call, Unsupported, Use, operator

_ML = "ai.onnx.ml"


@operator("Scaler", domain=_ML)
def scaler(call: Call, x: Any) -> Any:
    data = _floating(call, x)
    offset, scale = (call.tf.constant(call.attribute(name), data.dtype) for name in ("offset", "scale"))
    return (data - offset) * scale


def _floating(call: Call, x: Any) -> Any:
    return call.tf.cast(x, call.floats)


@operator("Normalizer", domain=_ML)
def normalizer(call: Call, x: Any) -> Any:
    tf, data, norm = call.tf, _floating(call, x), call.attribute("norm", "MAX")
    if norm == "MAX":
        size = tf.reduce_max(data, -1, keepdims=True)
    elif norm == "L1":
        size = tf.reduce_sum(tf.abs(data), -1, keepdims=True)
    else:
        size = tf.sqrt(tf.reduce_sum(tf.square(data), -1, keepdims=True))
    return tf.where(tf.equal(size, 0), data, data / tf.where(tf.equal(size, 0), tf.ones_like(size), size))


@operator("Binarizer", domain=_ML, flat=True)
def binarizer(call: Call, x: Any) -> Any:
    return call.tf.cast(x > call.tf.cast(call.attribute("threshold", 0.0), x.dtype), x.dtype)


@operator("Imputer", domain=_ML)
def imputer(call: Call, x: Any) -> Any:
    tf, fill = call.tf, call.attribute("imputed_value_floats")
    if fill is None:
        raise Unsupported("it fills in whole numbers")
    missing = call.attribute("replaced_value_float", 0.0)
    gone = tf.math.is_nan(x) if np.isnan(missing) else tf.equal(x, tf.cast(missing, x.dtype))
    return tf.where(gone, tf.constant(fill, x.dtype), x)


@operator("FeatureVectorizer", domain=_ML)
def feature_vectorizer(call: Call, *several: Any) -> Any:
    tf = call.tf
    return tf.concat([_floating(call, tf.reshape(one, (tf.shape(one)[0], -1))) for one in several], axis=1)


@operator("ArrayFeatureExtractor", domain=_ML)
def array_feature_extractor(call: Call, x: Any, index: Any) -> Any:
    return call.tf.gather(x, call.tf.reshape(index, (-1,)), axis=-1)


def _linked(use: Use) -> str | None:
    how = use.attributes.get("post_transform", "NONE")
    if how not in ("NONE", "SOFTMAX", "LOGISTIC"):
        return f"`post_transform: {how}`"
    return "its labels are read" if use.kind == "LinearClassifier" and use.wanted[0] else None


@operator("LinearClassifier", domain=_ML, refuses=_linked)
def linear_classifier(call: Call, x: Any) -> Any:
    tf = call.tf
    data = _floating(call, x)
    labels = call.attribute("classlabels_ints") or call.attribute("classlabels_strings") or []
    intercepts = call.attribute("intercepts")
    rows = len(intercepts) if intercepts else len(labels)
    weights = tf.reshape(tf.constant(call.attribute("coefficients"), data.dtype), (rows, -1))
    scores = tf.matmul(data, weights, transpose_b=True)
    scores = scores if not intercepts else scores + tf.constant(intercepts, data.dtype)
    how = call.attribute("post_transform", "NONE")
    if rows == 1 and len(labels) == 2:  # one number for two classes
        if how == "LOGISTIC":
            scores = tf.concat([tf.sigmoid(-scores), tf.sigmoid(scores)], 1)
        else:
            scores = tf.concat([-scores, scores], 1)
            scores = tf.nn.softmax(scores) if how == "SOFTMAX" else scores
    elif how != "NONE":
        scores = tf.nn.softmax(scores) if how == "SOFTMAX" else tf.sigmoid(scores)
    return tf.zeros(tf.shape(x)[:1], "int64"), scores


@operator("LinearRegressor", domain=_ML, refuses=_linked)
def linear_regressor(call: Call, x: Any) -> Any:
    tf = call.tf
    data, targets = _floating(call, x), call.attribute("targets", 1)
    weights = tf.reshape(tf.constant(call.attribute("coefficients"), data.dtype), (targets, -1))
    made = tf.matmul(data, weights, transpose_b=True)
    intercepts = call.attribute("intercepts")
    made = made if not intercepts else made + tf.constant(intercepts, data.dtype)
    how = call.attribute("post_transform", "NONE")
    return made if how == "NONE" else tf.nn.softmax(made) if how == "SOFTMAX" else tf.sigmoid(made)
