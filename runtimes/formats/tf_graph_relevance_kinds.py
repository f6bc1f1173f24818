"""Which operations of a TensorFlow graph relevance can be propagated through, and in what manner."""

KERNELS = {
    "MatMul": (0, 1),
    "BatchMatMul": (0, 1),
    "BatchMatMulV2": (0, 1),
    "BatchMatMulV3": (0, 1),
    "Einsum": (0, 1),
    "Conv2D": (0, 1),
    "Conv3D": (0, 1),
    "DepthwiseConv2dNative": (0, 1),
    "Conv2DBackpropInput": (2, 1),
    "Conv3DBackpropInputV2": (2, 1),
}
"""Weighted sums, where the rules differ: the positions of data and kernel among their inputs."""

PRODUCTS = frozenset({"MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", "Einsum"})
"""Those of which both may be signals, or neither of them a constant."""

_ONE = """
Relu Relu6 LeakyRelu Elu Selu Softplus Softsign Sigmoid Tanh Exp Expm1 Log Log1p Sqrt Rsqrt Square Abs Neg Erf Erfc Sin Cos
Tan Sinh Cosh Asin Acos Atan Asinh Acosh Atanh Reciprocal Inv Sign Floor Ceil Round Rint ClipByValue Ndtri
"""
_TWO = """
Add AddV2 Sub Mul RealDiv Div DivNoNan MulNoNan Maximum Minimum SquaredDifference Pow Select SelectV2 BiasAdd Xdivy Xlogy Xlog1py
Mod FloorMod Atan2
"""
_SAYING = """
Greater GreaterEqual Less LessEqual Equal NotEqual LogicalAnd LogicalOr LogicalNot IsNan IsInf IsFinite ArgMax ArgMin Any All
"""
SAYING = frozenset(_SAYING.split())
"""True, false or a position: no relevance gets there."""

POINTWISE = frozenset(f"{_ONE} {_TWO}".split()) | SAYING - {"ArgMax", "ArgMin", "Any", "All"}
"""Of the numbers at one place a number at that place."""

_MOVED = """
Identity IdentityN StopGradient Snapshot EnsureShape CheckNumerics PreventGradient Cast Reshape Transpose Squeeze ExpandDims
Pad PadV2 MirrorPad Slice StridedSlice Gather GatherV2 ResourceGather GatherNd Concat ConcatV2 Pack Unpack Split SplitV Tile BroadcastTo
Reverse ReverseV2 ReverseSequence SpaceToBatch SpaceToBatchND BatchToSpace BatchToSpaceND SpaceToDepth DepthToSpace Roll
ResizeNearestNeighbor ScatterNd TensorScatterUpdate MatrixDiag MatrixDiagPart ConjugateTranspose MatrixBandPart
"""
MOVED = frozenset(_MOVED.split())
"""Elements change their place, or nothing at all: relevance goes with them."""

SAME = frozenset({"Identity", "StopGradient", "Snapshot", "EnsureShape", "CheckNumerics", "PreventGradient"})
"""What is given is given on. Slopes that a graph holds back belong to its training."""

SHARED = frozenset(
    {"Mean", "Sum", "AvgPool", "AvgPool3D", "AddN", "AccumulateNV2", "Cumsum", "ResizeBilinear", "ResizeBicubic"}
    | {"ResizeArea", "ScaleAndTranslate"}
)
"""Plain sums and means: relevance is shared in proportion to the terms."""

POOLS = frozenset({"MaxPool", "MaxPoolV2", "MaxPool3D", "Max", "Min"})
"""The largest (smallest) takes all."""

ADDING = frozenset({"Add", "AddV2", "Sub"})
SCALING = frozenset({"Mul", "RealDiv", "Div"})
DIVIDING = frozenset({"RealDiv", "Div", "DivNoNan"})
NORMALISED = frozenset({"FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"})
"""Batch normalisations in one operation."""

LARGEST = frozenset({"Maximum", "Minimum"})

INVERSE = frozenset({"Rsqrt", "Reciprocal", "Inv"})
"""What others are divided by, as a factor."""

GATES = frozenset({"Sigmoid", "Softmax"}) | INVERSE
"""Factors that get nothing beside a signal: what lets through, what is looked at, what is divided by."""

SPREADS = frozenset({"Rsqrt", "Sqrt"})
"""What a normalisation divides by, taken as given (Ali et al., 2022)."""

CENTRING = (
    frozenset({"Mean", "Sum", "SquaredDifference", "Square", "Sub", "Neg", "Mul", "Add", "AddV2", "RealDiv", "Maximum"})
    | {"Rsqrt", "Sqrt", "Pow", "BiasAdd", "Reciprocal", "Reshape", "Cast", "Squeeze", "ExpandDims"}
    | SAME
)
"""What normalisations over a row's own numbers are made of."""

SHAPES = frozenset({"Shape", "ShapeN", "Size", "Rank", "ZerosLike", "OnesLike"})
"""What depends on sizes alone."""

TOGETHER = frozenset({"Softmax", "LogSoftmax"})
"""A number of all others: nobody can say whose relevance that is, unless it is a gate."""

COVERED = frozenset(KERNELS) | POINTWISE | MOVED | SHARED | POOLS | NORMALISED | SAYING | SHAPES

LOOPS = frozenset({"While", "StatelessWhile", "If", "StatelessIf", "Case", "StatelessCase"})
"""Loops and branches: what is computed in them is not looked at."""
