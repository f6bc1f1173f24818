"""TensorFlow functions between the layers of a Keras 2 model (``TFOpLambda``), as operations of Keras 3.

Keras 2 wrote down the name of the function that a layer calls (``math.add``) and would call whatever had that name. Here a name
is looked up in a table of arithmetic, and what is not in it is refused by name: nothing is imported.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runtimes.target import ModelFileError

KINDS = frozenset({"TFOpLambda", "SlicingOpLambda"})
OTHER_KINDS = frozenset({"ClassMethod", "InstanceMethod", "InstanceProperty", "TensorFlowOpLayer"})
"""Ways in which Keras 2 wrote down other calls into TensorFlow; none of them can be said in operations."""

_NUMPY, _NN, _MATH, _CORE = (f"keras.src.ops.{name}" for name in ("numpy", "nn", "math", "core"))


@dataclass(frozen=True)
class _Operation:
    module: str
    kind: str
    tensors: tuple[str, ...] = ("x",)
    """TensorFlow's names of the arguments that stay arguments, in order; one that is missing is the layer's own input."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """TensorFlow's names of arguments that are settings of the operation, with its own names for them."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Settings that are not said."""
    only: Mapping[str, Any] = field(default_factory=dict)
    """Arguments that have no counterpart, and the value at which they say nothing."""


def _of_two(names: str, module: str = _NUMPY) -> dict[str, _Operation]:
    """``math.add=Add``: functions of ``x`` and ``y``."""
    found = (word.split("=") for word in names.split())
    return {function: _Operation(module, kind, ("x", "y")) for function, kind in found}


def _of_one(names: str, module: str) -> dict[str, _Operation]:
    """Functions of one tensor, whatever its name."""
    return {function: _Operation(module, kind) for function, kind in (word.split("=") for word in names.split())}


def _reduced(names: str) -> dict[str, _Operation]:
    given = {"axis": "axis", "keepdims": "keepdims"}
    unsaid = {"axis": None, "keepdims": False}
    return {
        function: _Operation(_NUMPY, kind, settings=given, defaults=unsaid)
        for function, kind in (word.split("=") for word in names.split())
    }


_AXIS = {"axis": "axis"}
_TURNED: dict[str, Any] = {"transpose_a": False, "transpose_b": False, "adjoint_a": False, "adjoint_b": False}
_TURNED |= {"a_is_sparse": False, "b_is_sparse": False, "output_type": None, "grad_a": False, "grad_b": False}

_OPERATIONS: Mapping[str, _Operation] = {
    **_of_two("math.add=Add __operators__.add=Add add=Add math.subtract=Subtract subtract=Subtract"),
    **_of_two("math.multiply=Multiply multiply=Multiply math.truediv=TrueDivide math.divide=TrueDivide divide=TrueDivide"),
    **_of_two("math.pow=Power pow=Power math.maximum=Maximum maximum=Maximum math.minimum=Minimum minimum=Minimum"),
    **_of_two("math.equal=Equal math.not_equal=NotEqual math.greater=Greater math.greater_equal=GreaterEqual"),
    **_of_two("math.less=Less math.less_equal=LessEqual"),
    **_of_one("math.negative=Negative math.abs=Absolute abs=Absolute math.sqrt=Sqrt sqrt=Sqrt math.square=Square", _NUMPY),
    **_of_one("square=Square math.exp=Exp exp=Exp math.expm1=Expm1 math.log=Log math.log1p=Log1p math.sin=Sin", _NUMPY),
    **_of_one("sin=Sin math.cos=Cos cos=Cos math.tanh=Tanh tanh=Tanh nn.tanh=Tanh", _NUMPY),
    **_of_one("math.sigmoid=Sigmoid sigmoid=Sigmoid nn.sigmoid=Sigmoid nn.relu=Relu nn.relu6=Relu6 nn.elu=Elu", _NN),
    **_of_one("nn.selu=Selu nn.softplus=Softplus math.softplus=Softplus nn.softsign=Softsign nn.silu=Silu", _NN),
    **_of_one("nn.swish=Silu", _NN),
    **_of_one("math.rsqrt=Rsqrt math.erf=Erf", _MATH),
    **_reduced("math.reduce_mean=Mean reduce_mean=Mean math.reduce_sum=Sum reduce_sum=Sum math.reduce_max=Max"),
    **_reduced("reduce_max=Max math.reduce_min=Min reduce_min=Min"),
    "nn.gelu": _Operation(_NN, "Gelu", settings={"approximate": "approximate"}, defaults={"approximate": False}),
    "nn.leaky_relu": _Operation(_NN, "LeakyRelu", settings={"alpha": "negative_slope"}, defaults={"negative_slope": 0.2}),
    "nn.softmax": _Operation(_NN, "Softmax", settings=_AXIS, defaults={"axis": -1}),
    "nn.log_softmax": _Operation(_NN, "LogSoftmax", settings=_AXIS, defaults={"axis": -1}),
    "clip_by_value": _Operation(
        _NUMPY, "Clip", settings={"clip_value_min": "x_min", "clip_value_max": "x_max"}
    ),
    "linalg.matmul": _Operation(_NUMPY, "Matmul", ("a", "b"), only=_TURNED),
    "matmul": _Operation(_NUMPY, "Matmul", ("a", "b"), only=_TURNED),
    "concat": _Operation(_NUMPY, "Concatenate", settings=_AXIS),
    "stack": _Operation(_NUMPY, "Stack", settings=_AXIS, defaults={"axis": 0}),
    "reshape": _Operation(_NUMPY, "Reshape", settings={"shape": "newshape"}),
    "expand_dims": _Operation(_NUMPY, "ExpandDims", settings=_AXIS),
    "squeeze": _Operation(_NUMPY, "Squeeze", settings=_AXIS, defaults={"axis": None}),
    "compat.v1.squeeze": _Operation(_NUMPY, "Squeeze", settings=_AXIS, defaults={"axis": None}, only={"squeeze_dims": None}),
    "transpose": _Operation(
        _NUMPY, "Transpose", settings={"perm": "axes"}, defaults={"axes": None}, only={"conjugate": False}
    ),
    "compat.v1.transpose": _Operation(
        _NUMPY, "Transpose", settings={"perm": "axes"}, defaults={"axes": None}, only={"conjugate": False}
    ),
    "cast": _Operation(_CORE, "Cast", settings={"dtype": "dtype"}),
    "stop_gradient": _Operation(_CORE, "StopGradient"),
    "__operators__.getitem": _Operation(_NUMPY, "GetItem", ("tensor", "slice_spec")),
}  # fmt: skip

_FIRST = frozenset({"x", "tensor", "a"})
"""What a function's first argument is called here: that is what the node says before its other arguments."""


def as_operation(layer: Mapping[str, Any], argument: Callable[[Any], Any]) -> dict[str, Any]:
    """A layer that calls a function of TensorFlow, as an operation of Keras.

    Args:
        layer: of a Keras 2 configuration.
        argument: makes of an argument (``["x", 0, 0]``) the tensor that it names, in the words of Keras 3.

    Raises:
        ModelFileError: there is no such operation, or it is called with an argument that has no counterpart.
    """
    settings = layer["config"]
    name, function = str(layer.get("name") or settings.get("name")), str(settings.get("function"))
    operation = _OPERATIONS.get(function)
    nodes = layer.get("inbound_nodes") or []
    if operation is None or len(nodes) != 1:
        raise _refused(name, f"the TensorFlow function `{function[:80]}`")
    calls = nodes[0] if nodes[0] and isinstance(nodes[0][0], list) else [nodes[0]]
    several = bool(nodes[0]) and isinstance(nodes[0][0], list)
    said = dict(calls[0][3]) if len(calls[0]) > 3 else {}
    said.pop("name", None)
    first = [_constant_or(call, argument) for call in calls]
    args: list[Any] = [first if several else first[0]]
    more = [key for key in operation.tensors if key not in _FIRST and key in said]
    args += [_specs(said.pop(key)) if key == "slice_spec" else argument(said.pop(key)) for key in more]
    own = dict(operation.defaults)
    for key, value in said.items():
        if key in operation.settings and not _is_tensor(value):
            own[operation.settings[key]] = value
        elif key not in operation.only or operation.only[key] != value:
            raise _refused(name, f"the TensorFlow function `{function}` with `{key[:40]}`")
    if len(args) != len(operation.tensors) or set(own) != {*operation.settings.values(), *operation.defaults}:
        raise _refused(name, f"the TensorFlow function `{function}` without all of its arguments")
    return {
        "module": operation.module,
        "class_name": operation.kind,
        "config": {"name": name, **own},
        "registered_name": operation.kind,
        "name": name,
        "inbound_nodes": [{"args": args, "kwargs": {}}],
    }


def refuse_others(layer: Mapping[str, Any]) -> None:
    """Refuse other calls into TensorFlow by their name.

    Raises:
        ModelFileError: it is one.
    """
    kind, settings = layer.get("class_name"), layer.get("config")
    if kind in OTHER_KINDS and isinstance(settings, Mapping):
        told = [
            str(settings[key]) for key in ("cls_symbol", "method_symbol", "attr_name", "function") if settings.get(key)
        ]
        raise _refused(
            str(settings.get("name")), f"TensorFlow itself ({kind}{' of ' + '.'.join(told)[:80] if told else ''})"
        )


def _is_tensor(value: Any) -> bool:
    """Whether a setting is computed by other layers: a size of a shape, for one."""
    return isinstance(value, list) and any(isinstance(one, str | list) for one in value)


def _constant_or(call: Sequence[Any], argument: Callable[[Any], Any]) -> Any:
    return call[2] if call[0] == "_CONSTANT_VALUE" else argument(list(call[:3]))


def _specs(value: Any) -> list[Any]:
    return [_spec(one) for one in (value if isinstance(value, list) else [value])]


def _spec(value: Any) -> Any:
    """What is taken of a tensor: an index or slice for each axis."""
    if isinstance(value, Mapping) and {"start", "stop", "step"} == set(value):
        return {"class_name": "__slice__", "config": dict(value)}
    if isinstance(value, Mapping) and value.get("class_name") == "__ellipsis__":
        return {"class_name": "__ellipsis__", "config": {}}
    return value


def _refused(name: str, what: str) -> ModelFileError:
    return ModelFileError(
        f"the layer `{name[:80]}` calls {what}, for which there is no operation of Keras here",
        "build the model without it, or export it as a SavedModel (`model.export('FOLDER')`) and name that folder",
    )
