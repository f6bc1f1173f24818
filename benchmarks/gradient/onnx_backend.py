"""ONNX's own node tests, run through the rebuild in TensorFlow: the share passed, by operator.

    python benchmarks/gradient/onnx_backend.py [OPERATOR ...]

A case is `passed`, `failed` (other numbers), `refused` (the rebuild says what it cannot), `broken` (an error while it is built
or run) or `absent` (the rebuild does not know the operator; the file is refused at compile time). What is measured: cases of one
node. Not among them: bodies of functions (`_expanded`), cases of several nodes, and other domains than ONNX's own. Inputs that
are no floats, other than the first, and all but the first of a Resize, are put into the file as constants, as exporters write
axes, shapes and sizes; so is what has four bits, or floats of eight. Where they are only known when the model runs, more is
refused than these shares say.
"""

import sys
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from runtimes.formats.keras_runtime import tensorflow
from runtimes.formats.onnx_differentiable import Graph, named
from runtimes.formats.onnx_rebuild import Rebuilt
from runtimes.formats.tf_operators import operators
from runtimes.target import ModelFileError


@dataclass(frozen=True)
class Outcome:
    """One node test."""

    operator: str
    case: str
    status: str
    why: str = ""


def cases(wanted: set[str]) -> Iterator[tuple[str, Any]]:
    """Every case of the operators that the rebuild knows, or that make a float of a float, with its operator."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = collect_testcases(None)
    for case in found:
        nodes = case.model.graph.node
        # a function's body is named after it: what is tested is the operator that the case is called for
        kinds = {node.op_type for node in nodes}
        if case.name.endswith("_expanded") or "_expanded_" in case.name or len(nodes) != 1:
            continue
        (kind,) = kinds
        known = ("", kind) in operators()
        if nodes[0].domain == "" and (kind in wanted if wanted else known or _maps_floats(case)):
            yield kind, case


def _maps_floats(case: Any) -> bool:
    """Whether a float goes in and a float comes out, so that there could be a slope."""
    graph = case.model.graph
    codes = [{value.type.tensor_type.elem_type for value in values} for values in (graph.input, graph.output)]
    return all(found & {1, 10, 11, 16} for found in codes)


def outcome(kind: str, case: Any) -> Outcome:
    """Run one case through the rebuild, each output that the rebuild makes by itself."""
    model = case.model
    if ("", kind) not in operators():
        return Outcome(kind, case.name, "absent")
    try:
        worst = max(_difference(model, case, data) for data in case.data_sets)
    except ModelFileError as error:
        return Outcome(kind, case.name, "refused", error.reason)
    except _RefusedError as error:
        return Outcome(kind, case.name, "refused", str(error))
    except Exception as error:  # noqa: BLE001 - any error at all is an outcome here
        return Outcome(kind, case.name, "broken", f"{type(error).__name__}: {str(error).splitlines()[0][:150]}")
    return Outcome(kind, case.name, "passed") if worst <= 1.0 else Outcome(kind, case.name, "failed", f"{worst:.3g}")


class _RefusedError(Exception):
    pass


def _difference(model: Any, case: Any, data: Any) -> float:
    """The largest difference of an output, as a part of what the case allows."""
    tf = tensorflow()
    inputs, outputs = data
    names = [value.name for value in model.graph.input]
    given = {name: _array(array) for name, array in zip(names, inputs, strict=True)}
    worst = 0.0
    for value, expected in zip(model.graph.output, outputs, strict=True):
        constants = _frozen(model, given)
        for use in Graph.of(constants, value.name, Path()).uses:
            refused = operators()[use.domain, use.kind].refuses
            if refused and (why := refused(use)):
                raise _RefusedError(f"{named(use)}: {why}")
        floats = [name for name in given if name not in {one.name for one in constants.graph.initializer}]
        rebuilt = Rebuilt(constants, value.name, Path())
        run = tf.function(lambda *tensors, r=rebuilt, f=floats: r(dict(zip(f, tensors, strict=True))), autograph=False)
        made = run(*[tf.constant(given[name]) for name in floats]).numpy()
        expected = _array(expected)
        if made.shape != expected.shape:
            raise ValueError(f"shape {made.shape}, not {expected.shape}")
        if expected.dtype != made.dtype:
            raise ValueError(f"type {made.dtype}, not {expected.dtype}")
        if "float" in expected.dtype.name and expected.dtype.itemsize < 2:
            made, expected = made.astype(np.float32), expected.astype(np.float32)
        if expected.dtype.kind not in "fV" or expected.dtype.itemsize < 2:
            worst = max(worst, float((made != expected).any()) * 2)
            continue
        first, second = made.astype(np.float64), expected.astype(np.float64)
        same = (first == second) | (np.isnan(first) & np.isnan(second))
        with np.errstate(invalid="ignore"):
            off = np.where(same, 0.0, np.abs(first - second) / (case.atol + case.rtol * np.abs(second)))
        worst = max(worst, float(np.nan_to_num(off, nan=np.inf).max(initial=0.0)))
    return worst


_FEW_BITS = ("int4", "uint4", "int2", "uint2", "float4_e2m1fn", "float8_e4m3fn", "float8_e5m2")


def _array(value: Any) -> Any:
    import onnx

    return onnx.numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)


def _frozen(model: Any, given: dict[str, Any]) -> Any:
    """The model with what is no float as constants, as a file has its axes and shapes; and the first input stays."""
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    node = copy.graph.node[0]
    first = next((name for name in node.input if name), "")
    for name, array in given.items():
        data = array.dtype.kind in "fV" and node.op_type not in ("Resize", "Upsample", "ConstantOfShape")
        few_bits = array.dtype.name in _FEW_BITS
        if few_bits or node.op_type == "MelWeightMatrix" or (name != first and not data):
            copy.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return copy


def main() -> None:
    by_operator: dict[str, list[Outcome]] = defaultdict(list)
    for kind, case in cases(set(sys.argv[1:])):
        by_operator[kind].append(outcome(kind, case))
    every = [one for found in by_operator.values() for one in found]
    for one in every:
        if one.status not in ("passed", "absent"):
            print(f"  {one.status:8} {one.case}: {one.why}")
    print(f"{'operator':28}{'cases':>6}{'passed':>8}{'share':>7}  others")
    absent = sorted(kind for kind in by_operator if ("", kind) not in operators())
    for kind in sorted(set(by_operator) - set(absent)):
        counts = Counter(one.status for one in by_operator[kind])
        n, passed = len(by_operator[kind]), counts.pop("passed", 0)
        print(f"{kind:28}{n:6}{passed:8}{passed / n:7.0%}  {', '.join(f'{v} {k}' for k, v in counts.items())}")
    counts = Counter(one.status for one in every)
    known = len(every) - counts["absent"]
    print(f"absent: {', '.join(f'{kind} ({len(by_operator[kind])})' for kind in absent)}")
    print(
        f"operators that are known: {len(by_operator) - len(absent)}, {known} cases, {counts['passed'] / known:.1%} passed"
    )
    print(
        f"with those that are absent: {len(by_operator)}, {len(every)} cases, {counts['passed'] / len(every):.1%} passed"
    )
    print(dict(counts))


if __name__ == "__main__":
    main()
