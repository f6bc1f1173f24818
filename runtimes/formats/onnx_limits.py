"""What is refused in an ONNX file before anything looks at its shapes: foreign operators, and sizes that only unfold later."""

from functools import cache
from math import prod
from pathlib import Path
from typing import Any

from runtimes.formats.onnx_graphs import graphs_of, nested_graphs, tensors_of
from runtimes.formats.protobuf_wire import fields, parts
from runtimes.powers import NO_POWERS, Powers
from runtimes.target import ModelFileError

_MOST_PARTS = 500_000
"""Nodes, tensors and functions of a file: each takes about a hundred bytes of memory, be it empty."""
_MOST_NODES = 200_000
"""Nodes once the file's own functions are written out, which the runtime does before it runs anything."""
_AGAIN = "export or download the model again"
_STANDARD = "export the model with standard ONNX operators only"
_BITS = {1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 14: 64, 15: 128, 16: 16}
"""``TensorProto.DataType`` to the bits of one number; those that are not listed take 2 bits or more."""

_LEGACY = frozenset(
    {"Affine", "Crop", "DynamicSlice", "GRUUnit", "GivenTensorFill", "ImageScaler", "ParametricSoftplus", "Scale"}
    | {"ScaledTanh", "SimplifiedLayerNormalization"}
)
"""Arithmetic that ONNX Runtime knows under the standard domain beside ONNX' own."""

_MICROSOFT_WORDS = """
Attention AttnLSTM BeamSearch BiasAdd BiasDropout BiasGelu BiasSoftmax BiasSplitGelu BifurcationDetector
BitmaskBiasDropout BitmaskDropout BranchwiseRMSNorm CDist CausalConvWithState ComplexMul ComplexMulConj ConvStateReplay
ConvTransposeWithDynamicPads CropAndResize DecoderAttention DecoderMaskedMultiHeadAttention DecoderMaskedSelfAttention
DequantizeBFP DequantizeLinear DequantizeWithOrder DynamicQuantizeLSTM DynamicQuantizeMatMul DynamicSparseAttention
DynamicTimeWarping EmbedLayerNormalization EngramGate ExpandDims FastGelu FusedConv FusedGemm FusedMatMul
FusedMatMulActivation GatedAdd GatedDeltaNet GatedDeltaNetStateReplay GatedRMSNorm GatedRelativePositionBias
GatherBlockQuantized GatherND GatherPacked Gelu GemmFastGelu GemmFloat8 GemmaRotaryEmbedding GreedySearch GridSample
GroupNorm GroupQueryAttention HyperConnectionLowRankMix HyperConnectionPostMix HyperConnectionPreMix Inverse Irfft
IsAllFinite LinearAttention LinearAttentionGate LongformerAttention MRotaryEmbedding Mamba2Verify
MatMulBlockQuantizedFp4Weight MatMulBlockQuantizedFp8Weight MatMulBnb4 MatMulFpQ4 MatMulInteger16 MatMulIntegerToFloat
MatMulNBits MatMulNBitsMlp MatMulNBitsQLoRA MatMulNBitsQkv MatMulPacked MaxpoolWithMask MoE MoEGroupRouter MoEPacked
MulInteger MultiHeadAttention MurmurHash3 NGramHashMapping NGramRepeatBlock NhwcConv NhwcFusedConv NhwcMaxPool
PackedAttention PackedMultiHeadAttention PackedSparseAttentionIndexer PackedSparseAttentionIndexerMerge Pad
PagedAttention QAttention QEmbedLayerNormalization QGemm QLinearAdd QLinearAveragePool QLinearConcat QLinearConv
QLinearGlobalAveragePool QLinearLeakyRelu QLinearMul QLinearReduceMean QLinearSigmoid QLinearSoftmax QLinearWhere QMoE
QOrderedAttention QOrderedGelu QOrderedLayerNormalization QOrderedLongformerAttention QOrderedMatMul QuantizeBFP
QuantizeLinear QuantizeWithOrder QuickGelu RMSNormRotary Range ReduceSumInteger RelativePositionBias RemovePadding
RestorePadding Rfft RotaryEmbedding RouterGateUpProj Sampling ScaledSiLU SkipGroupNorm SkipLayerNormalization
SkipSimplifiedLayerNormalization SparseAttention SparseAttentionIndexer SparsePagedAttention SparseToDenseMatMul
SpeculativePrefixCommit SwiGLU Tokenizer TorchEmbedding TransposeMatMul Trilu UnfoldTensor Unique
VarlenCausalConvWithState VarlenNGramHashMapping WhisperBeamSearch WordConvEmbedding
"""
_MICROSOFT = frozenset(_MICROSOFT_WORDS.split())
"""``com.microsoft``, as ONNX Runtime 1.32 brings it. Left out on purpose: what names files or other programs (EPContext,
Snpe), and what calls other frameworks (ATen, PythonOp)."""


def refuse_crowded(path: Path, content: bytes) -> None:
    """Refuse a file of more parts than memory holds, before it is parsed.

    Raises:
        ModelFileError: it has too many.
        ValueError: the bytes are no message.
    """
    whole = memoryview(content)
    counted = 0
    for at in (7, 25):  # ModelProto: graph 7, functions 25
        for part in parts(whole, at):
            for _, value in fields(part):
                counted += isinstance(value, memoryview)
                if counted > _MOST_PARTS:
                    raise ModelFileError(f"`{path.name}` holds more than {_MOST_PARTS:,} nodes and tensors", _AGAIN)


def refuse_foreign_operators(path: Path, model: Any, powers: Powers = NO_POWERS) -> None:
    """Refuse operators that ONNX and ONNX Runtime do not bring themselves, and functions that unfold without end.

    Raises:
        ModelFileError: the file uses one.
    """
    import onnx

    declared = {(function.domain, function.name) for function in model.functions}
    newest = onnx.defs.onnx_opset_version()
    for used in model.opset_import:
        if used.domain in ("", "ai.onnx") and used.version > newest:
            raise ModelFileError(
                f"`{path.name}` uses operator set {used.version}, and the newest that is known here is {newest}",
                f"export the model with opset {newest} or older",
            )
    for graph in graphs_of(model):
        for node in graph.node:
            if (node.domain, node.op_type) not in declared and not _is_known(node, powers):
                raise _foreign(path, node)
    expanded = _Expansion(path, model).nodes_of(model.graph.node)
    if expanded > _MOST_NODES:
        raise ModelFileError(
            f"`{path.name}` unfolds into {_shown(expanded)} nodes once its own functions are written out",
            f"export it without nested functions; {_MOST_NODES:,} nodes are the most that are opened",
        )


def _is_known(node: Any, powers: Powers) -> bool:
    if node.domain == "com.microsoft":
        return node.op_type in _MICROSOFT
    if node.domain in ("", "ai.onnx"):
        return node.op_type in _standard("") or node.op_type in _LEGACY
    return node.op_type in _standard("ai.onnx.ml") if node.domain == "ai.onnx.ml" else node.domain in powers.domains


@cache
def _standard(domain: str) -> frozenset[str]:
    """The operators that ONNX itself defines in a domain, in any version."""
    import onnx

    return frozenset(schema.name for schema in onnx.defs.get_all_schemas_with_history() if schema.domain == domain)


def _foreign(path: Path, node: Any) -> ModelFileError:
    name, domain = node.op_type[:80], node.domain[:80]
    place = f" (node `{node.name[:80]}`)" if node.name else ""
    if node.domain in ("", "ai.onnx", "ai.onnx.ml"):
        return ModelFileError(f"`{path.name}` uses the operator {name}{place}, which ONNX does not have", _STANDARD)
    if node.domain == "com.microsoft":
        reason = f"`{path.name}` uses the operator {domain}::{name}{place}, which is not on the list of arithmetic"
        return ModelFileError(reason, f"{_STANDARD}, or those of ONNX Runtime that only compute")
    return ModelFileError(
        f"`{path.name}` uses the custom operator {domain}::{name}{place}", _STANDARD, f"onnx-domain:{node.domain}"
    )


def _shown(number: int) -> str:
    return f"{number:,}" if number < 10**15 else f"about 10^{len(str(number)) - 1}"


class _Expansion:
    """Counts the nodes of a graph with its functions written out, without writing them out."""

    def __init__(self, path: Path, model: Any) -> None:
        self._path = path
        self._functions = {(function.domain, function.name): function for function in model.functions}
        self._counted: dict[tuple[str, str], int] = {}
        self._open: set[tuple[str, str]] = set()

    def nodes_of(self, nodes: Any) -> int:
        """Nodes once every function is written out. Raises `ModelFileError` where one calls itself."""
        total = 0
        for node in nodes:
            called = (node.domain, node.op_type)
            total += self._of_function(called) if called in self._functions else 1
            total += sum(self.nodes_of(graph.node) for graph in nested_graphs(node))
        return total

    def _of_function(self, name: tuple[str, str]) -> int:
        if name in self._open or len(self._open) > 200:
            raise ModelFileError(f"`{self._path.name}`: the function `{name[1][:80]}` calls itself without end", _AGAIN)
        if name not in self._counted:
            self._open.add(name)
            self._counted[name] = self.nodes_of(self._functions[name].node)
            self._open.discard(name)
        return self._counted[name]


def refuse_unholdable(path: Path, model: Any) -> None:
    """Refuse tensors that declare more numbers than the file stores for them.

    Raises:
        ModelFileError: there is one.
    """
    for tensor in tensors_of(model):
        if tensor.data_location == tensor.EXTERNAL:
            continue
        numbers = prod(tensor.dims)
        typed = sum(
            len(getattr(tensor, f"{kind}_data")) for kind in ("float", "int32", "int64", "double", "uint64", "string")
        )
        held = 8 * len(tensor.raw_data) // _BITS.get(tensor.data_type, 2) if tensor.raw_data else 8 * typed
        if any(size < 0 for size in tensor.dims) or numbers > held:
            raise ModelFileError(
                f"`{path.name}`: the tensor `{tensor.name[:80]}` declares {_shown(numbers)} numbers that it does not hold",
                _AGAIN,
            )
