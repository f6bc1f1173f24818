"""Linear classifiers of several classes, whose ONNX operator hides the scores below its softmax."""

from typing import Any

from runtimes.formats.onnx_file import attributes


def with_logits(model: Any) -> Any:
    """The same model, each such classifier's softmax written as an operator of its own, so that its logits can be looked at.

    Of two classes it is left as it is: there the operator has its own ways to fold two columns into one.
    """
    if not any(map(_hides_logits, model.graph.node)):
        return model
    if not any(one.domain in ("", "ai.onnx") for one in model.opset_import):
        return model
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    nodes: list[Any] = []
    shares: set[str] = set()  # tensors whose rows sum to 1
    for node in copy.graph.node:
        if _hides_logits(node):
            said = next(attribute for attribute in node.attribute if attribute.name == "post_transform")
            said.s = b"NONE"
            scores = node.output[1]
            node.output[1] = f"{scores}_below_softmax"
            nodes += [node, onnx.helper.make_node("Softmax", [node.output[1]], [scores], axis=1)]
            shares.add(scores)
        elif _divides_by_sum(node) and node.input[0] in shares:
            # What sums to 1 is divided by 1.
            nodes.append(onnx.helper.make_node("Identity", list(node.input), list(node.output)))
        else:
            nodes.append(node)
    written = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del copy.graph.node[:]
    copy.graph.node.extend(written)
    return copy


def _hides_logits(node: Any) -> bool:
    if node.op_type != "LinearClassifier" or node.domain != "ai.onnx.ml" or len(node.output) < 2 or not node.output[1]:
        return False
    said = attributes(node)
    labels = said.get("classlabels_ints") or said.get("classlabels_strings") or ()
    return len(labels) > 2 and said.get("post_transform") == "SOFTMAX"


def _divides_by_sum(node: Any) -> bool:
    return bool(node.op_type == "Normalizer" and node.domain == "ai.onnx.ml" and attributes(node).get("norm") == "L1")
