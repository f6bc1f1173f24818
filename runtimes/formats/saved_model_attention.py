"""Attention of a SavedModel, told without TensorFlow: whether it says what positions look at, and why not."""

from collections.abc import Container

from runtimes.formats.graph_attention import attentions_among, lacking
from runtimes.formats.saved_model_file import SavedModelFile, reach
from runtimes.formats.saved_model_layers import operations_of
from runtimes.formats.tf_graph_relevance_kinds import LOOPS


def without_attention(file: SavedModelFile, output: int, cut: Container[str] = ()) -> str:
    """Why nobody can read what positions look at on the way to an output, as a clause; empty where it can be read.

    Args:
        file: the SavedModel.
        output: which of its signature's outputs.
        cut: operations that look ids up, by their full names.
    """
    operations = operations_of(file, output, cut)
    inner = {node.name: node for node in file.reached() if node.op in LOOPS}
    for one in operations:
        node = inner.get(one.name.rpartition("/")[2])
        if one.kind not in LOOPS or node is None:
            continue
        bodies = [file.functions[name] for name in reach([node], file.functions)]
        if any(step.op == "Softmax" for body in bodies for step in body.nodes):
            return (
                f"its operation `{one.place}` holds a softmax, and what is computed in loops and branches is not read"
            )
    return lacking(attentions_among(operations), "its operations")
