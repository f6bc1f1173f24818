"""The names that a Keras file may use: an allow-list, since the file says which classes Keras instantiates.

Left out on purpose: what runs code (Lambda), what wraps other frameworks (TFSMLayer, TorchModuleWrapper, JaxLayer,
FlaxLayer), and what reads files or keeps vocabularies (StringLookup, IntegerLookup, TextVectorization).
"""

KERAS_MODULES = frozenset(
    {
        "keras",
        "keras.layers",
        "keras.models",
        "keras.initializers",
        "keras.regularizers",
        "keras.constraints",
        "keras.activations",
        "keras.optimizers",
        "keras.optimizers.schedules",
        "keras.losses",
        "keras.metrics",
        "keras.dtype_policies",
        "keras.quantizers",
        "keras.src.models.functional",
        "keras.src.models.sequential",
    }
)

MARKERS = frozenset({"__keras_tensor__", "__tuple__", "__numpy__", "__tensor__", "__slice__", "__ellipsis__"})
"""Words of the serialisation itself, which name no class."""

_LAYERS = """
Activation ActivityRegularization Add AdditiveAttention AlphaDropout Attention Average AveragePooling1D
AveragePooling2D AveragePooling3D BatchNormalization Bidirectional CategoryEncoding CenterCrop Concatenate Conv1D
Conv1DTranspose Conv2D Conv2DTranspose Conv3D Conv3DTranspose ConvLSTM1D ConvLSTM2D ConvLSTM3D Cropping1D Cropping2D
Cropping3D Dense DepthwiseConv1D DepthwiseConv2D Discretization Dot Dropout ELU EinsumDense Embedding Flatten GRU
GRUCell GaussianDropout GaussianNoise GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D
GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D GroupNormalization GroupQueryAttention Identity InputLayer
LSTM LSTMCell LayerNormalization LeakyReLU Masking MaxPooling1D MaxPooling2D MaxPooling3D Maximum Minimum
MultiHeadAttention Multiply Normalization PReLU Permute RMSNormalization RNN ReLU RepeatVector Rescaling Reshape
Resizing SeparableConv1D SeparableConv2D SimpleRNN SimpleRNNCell Softmax SpatialDropout1D SpatialDropout2D
SpatialDropout3D SpectralNormalization StackedRNNCells Subtract ThresholdedReLU TimeDistributed UnitNormalization
UpSampling1D UpSampling2D UpSampling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D
"""
_MODELS = "Functional Model Sequential DTypePolicy Policy FloatDTypePolicy"
_QUANTISED = """
QuantizedDTypePolicy QuantizedFloat8DTypePolicy Int4DTypePolicy DTypePolicyMap
Int8QuantizationConfig Int4QuantizationConfig Float8QuantizationConfig AbsMaxQuantizer
"""
_INITIALIZERS = """
Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity IdentityInitializer LecunNormal LecunUniform Ones
Orthogonal OrthogonalInitializer RandomNormal RandomUniform STFT TruncatedNormal VarianceScaling Zeros
"""
_REGULARIZERS = "L1 L2 L1L2 OrthogonalRegularizer MaxNorm MinMaxNorm NonNeg UnitNorm"
_OPTIMIZERS = """
Adadelta Adafactor Adagrad Adam AdamW Adamax Ftrl Lamb Lion Muon Nadam RMSprop SGD CosineDecay CosineDecayRestarts
ExponentialDecay InverseTimeDecay PiecewiseConstantDecay PolynomialDecay
"""
_LOSSES = """
BinaryCrossentropy BinaryFocalCrossentropy CategoricalCrossentropy CategoricalFocalCrossentropy CategoricalHinge
CosineSimilarity Hinge Huber KLDivergence LogCosh MeanAbsoluteError MeanAbsolutePercentageError MeanSquaredError
MeanSquaredLogarithmicError Poisson SparseCategoricalCrossentropy SquaredHinge
"""
_METRICS = """
AUC Accuracy BinaryAccuracy CategoricalAccuracy F1Score FBetaScore FalseNegatives FalsePositives Mean Precision
R2Score Recall RootMeanSquaredError SparseCategoricalAccuracy SparseTopKCategoricalAccuracy TopKCategoricalAccuracy
TrueNegatives TruePositives
"""

KERAS_CLASSES = frozenset(
    f"{_LAYERS} {_MODELS} {_QUANTISED} {_INITIALIZERS} {_REGULARIZERS} {_OPTIMIZERS} {_LOSSES} {_METRICS}".split()
)

OF_NETWORKS = {
    "keras.src.applications.convnext": frozenset({"LayerScale", "StochasticDepth"}),
    "keras.src.applications.inception_resnet_v2": frozenset({"CustomScaleLayer"}),
}
"""Layers that Keras keeps beside the networks that use them: module to its allowed classes. Sums and products, no code."""

_NUMPY = """
Absolute Add All Any Argmax Amax Amin Clip Concatenate Cos Divide ExpandDims Exp Expm1 Log Log1p Matmul Max Maximum Mean Min Minimum
Multiply Negative Power Reshape Sin Sqrt Square Squeeze Stack Subtract Sum Tanh Transpose TrueDivide GetItem
Equal NotEqual Greater GreaterEqual Less LessEqual LogicalAnd LogicalNot LogicalOr Where
"""
_NN = "Elu Gelu HardSigmoid LeakyRelu LogSoftmax Relu Relu6 Selu Sigmoid Silu Softmax Softplus Softsign"

OPERATIONS = {
    "keras.src.ops.numpy": frozenset(_NUMPY.split()),
    "keras.src.ops.nn": frozenset(_NN.split()),
    "keras.src.ops.math": frozenset({"Erf", "Logsumexp", "Rsqrt"}),
    "keras.src.ops.core": frozenset({"Cast", "StopGradient"}),
}
"""Arithmetic between layers of a functional model: module to its allowed operations."""
