"""The catalogue of layers."""

from rkeras._core import registry as _registry
from rkeras.layers.activation import ELU as ELU
from rkeras.layers.activation import Activation as Activation
from rkeras.layers.activation import LeakyReLU as LeakyReLU
from rkeras.layers.activation import PReLU as PReLU
from rkeras.layers.activation import ReLU as ReLU
from rkeras.layers.activation import Softmax as Softmax
from rkeras.layers.attention import AdditiveAttention as AdditiveAttention
from rkeras.layers.attention import Attention as Attention
from rkeras.layers.conv_lstm import ConvLSTM1D as ConvLSTM1D
from rkeras.layers.conv_lstm import ConvLSTM2D as ConvLSTM2D
from rkeras.layers.conv_lstm import ConvLSTM3D as ConvLSTM3D
from rkeras.layers.convolution import Conv1D as Conv1D
from rkeras.layers.convolution import Conv2D as Conv2D
from rkeras.layers.convolution import Conv3D as Conv3D
from rkeras.layers.convolution_depthwise import DepthwiseConv1D as DepthwiseConv1D
from rkeras.layers.convolution_depthwise import DepthwiseConv2D as DepthwiseConv2D
from rkeras.layers.convolution_depthwise import SeparableConv1D as SeparableConv1D
from rkeras.layers.convolution_depthwise import SeparableConv2D as SeparableConv2D
from rkeras.layers.convolution_transpose import Conv1DTranspose as Conv1DTranspose
from rkeras.layers.convolution_transpose import Conv2DTranspose as Conv2DTranspose
from rkeras.layers.convolution_transpose import Conv3DTranspose as Conv3DTranspose
from rkeras.layers.dense import Dense as Dense
from rkeras.layers.einsum_dense import EinsumDense as EinsumDense
from rkeras.layers.embedding import Embedding as Embedding
from rkeras.layers.embedding import Masking as Masking
from rkeras.layers.grouped_query_attention import GroupedQueryAttention as GroupQueryAttention
from rkeras.layers.grouped_query_attention import GroupedQueryAttention as GroupedQueryAttention
from rkeras.layers.gru import GRU as GRU
from rkeras.layers.gru import GRUCell as GRUCell
from rkeras.layers.input_layer import Input as Input
from rkeras.layers.input_layer import InputLayer as InputLayer
from rkeras.layers.input_spec import InputSpec as InputSpec
from rkeras.layers.lambda_layer import Lambda as Lambda
from rkeras.layers.layer import Layer as Layer
from rkeras.layers.lstm import LSTM as LSTM
from rkeras.layers.lstm import LSTMCell as LSTMCell
from rkeras.layers.merging import Add as Add
from rkeras.layers.merging import Average as Average
from rkeras.layers.merging import Concatenate as Concatenate
from rkeras.layers.merging import Dot as Dot
from rkeras.layers.merging import Maximum as Maximum
from rkeras.layers.merging import Minimum as Minimum
from rkeras.layers.merging import Multiply as Multiply
from rkeras.layers.merging import Subtract as Subtract
from rkeras.layers.merging import add as add
from rkeras.layers.merging import average as average
from rkeras.layers.merging import concatenate as concatenate
from rkeras.layers.merging import dot as dot
from rkeras.layers.merging import maximum as maximum
from rkeras.layers.merging import minimum as minimum
from rkeras.layers.merging import multiply as multiply
from rkeras.layers.merging import subtract as subtract
from rkeras.layers.multi_head_attention import MultiHeadAttention as MultiHeadAttention
from rkeras.layers.normalization import BatchNormalization as BatchNormalization
from rkeras.layers.normalization import LayerNormalization as LayerNormalization
from rkeras.layers.normalization import RMSNormalization as RMSNormalization
from rkeras.layers.normalization import UnitNormalization as UnitNormalization
from rkeras.layers.normalization_group import GroupNormalization as GroupNormalization
from rkeras.layers.normalization_group import SpectralNormalization as SpectralNormalization
from rkeras.layers.pooling import AveragePooling1D as AveragePooling1D
from rkeras.layers.pooling import AveragePooling2D as AveragePooling2D
from rkeras.layers.pooling import AveragePooling3D as AveragePooling3D
from rkeras.layers.pooling import AvgPool1D as AvgPool1D
from rkeras.layers.pooling import AvgPool2D as AvgPool2D
from rkeras.layers.pooling import AvgPool3D as AvgPool3D
from rkeras.layers.pooling import MaxPool1D as MaxPool1D
from rkeras.layers.pooling import MaxPool2D as MaxPool2D
from rkeras.layers.pooling import MaxPool3D as MaxPool3D
from rkeras.layers.pooling import MaxPooling1D as MaxPooling1D
from rkeras.layers.pooling import MaxPooling2D as MaxPooling2D
from rkeras.layers.pooling import MaxPooling3D as MaxPooling3D
from rkeras.layers.pooling_adaptive import AdaptiveAveragePooling1D as AdaptiveAveragePooling1D
from rkeras.layers.pooling_adaptive import AdaptiveAveragePooling2D as AdaptiveAveragePooling2D
from rkeras.layers.pooling_adaptive import AdaptiveAveragePooling3D as AdaptiveAveragePooling3D
from rkeras.layers.pooling_adaptive import AdaptiveMaxPooling1D as AdaptiveMaxPooling1D
from rkeras.layers.pooling_adaptive import AdaptiveMaxPooling2D as AdaptiveMaxPooling2D
from rkeras.layers.pooling_adaptive import AdaptiveMaxPooling3D as AdaptiveMaxPooling3D
from rkeras.layers.pooling_global import GlobalAveragePooling1D as GlobalAveragePooling1D
from rkeras.layers.pooling_global import GlobalAveragePooling2D as GlobalAveragePooling2D
from rkeras.layers.pooling_global import GlobalAveragePooling3D as GlobalAveragePooling3D
from rkeras.layers.pooling_global import GlobalAvgPool1D as GlobalAvgPool1D
from rkeras.layers.pooling_global import GlobalAvgPool2D as GlobalAvgPool2D
from rkeras.layers.pooling_global import GlobalAvgPool3D as GlobalAvgPool3D
from rkeras.layers.pooling_global import GlobalMaxPool1D as GlobalMaxPool1D
from rkeras.layers.pooling_global import GlobalMaxPool2D as GlobalMaxPool2D
from rkeras.layers.pooling_global import GlobalMaxPool3D as GlobalMaxPool3D
from rkeras.layers.pooling_global import GlobalMaxPooling1D as GlobalMaxPooling1D
from rkeras.layers.pooling_global import GlobalMaxPooling2D as GlobalMaxPooling2D
from rkeras.layers.pooling_global import GlobalMaxPooling3D as GlobalMaxPooling3D
from rkeras.layers.preprocessing import Identity as Identity
from rkeras.layers.preprocessing import Rescaling as Rescaling
from rkeras.layers.preprocessing_numbers import CategoryEncoding as CategoryEncoding
from rkeras.layers.preprocessing_numbers import Discretization as Discretization
from rkeras.layers.preprocessing_numbers import Normalization as Normalization
from rkeras.layers.regularization import ActivityRegularization as ActivityRegularization
from rkeras.layers.regularization import AlphaDropout as AlphaDropout
from rkeras.layers.regularization import Dropout as Dropout
from rkeras.layers.regularization import GaussianDropout as GaussianDropout
from rkeras.layers.regularization import GaussianNoise as GaussianNoise
from rkeras.layers.regularization import SpatialDropout1D as SpatialDropout1D
from rkeras.layers.regularization import SpatialDropout2D as SpatialDropout2D
from rkeras.layers.regularization import SpatialDropout3D as SpatialDropout3D
from rkeras.layers.reshaping import Cropping1D as Cropping1D
from rkeras.layers.reshaping import Cropping2D as Cropping2D
from rkeras.layers.reshaping import Cropping3D as Cropping3D
from rkeras.layers.reshaping import Flatten as Flatten
from rkeras.layers.reshaping import Permute as Permute
from rkeras.layers.reshaping import RepeatVector as RepeatVector
from rkeras.layers.reshaping import Reshape as Reshape
from rkeras.layers.reshaping import UpSampling1D as UpSampling1D
from rkeras.layers.reshaping import UpSampling2D as UpSampling2D
from rkeras.layers.reshaping import UpSampling3D as UpSampling3D
from rkeras.layers.reshaping import ZeroPadding1D as ZeroPadding1D
from rkeras.layers.reshaping import ZeroPadding2D as ZeroPadding2D
from rkeras.layers.reshaping import ZeroPadding3D as ZeroPadding3D
from rkeras.layers.reversible_embedding import ReversibleEmbedding as ReversibleEmbedding
from rkeras.layers.rnn import RNN as RNN
from rkeras.layers.simple_rnn import SimpleRNN as SimpleRNN
from rkeras.layers.simple_rnn import SimpleRNNCell as SimpleRNNCell
from rkeras.layers.stacked_rnn_cells import StackedRNNCells as StackedRNNCells
from rkeras.layers.wrappers import Bidirectional as Bidirectional
from rkeras.layers.wrappers import TimeDistributed as TimeDistributed
from rkeras.layers.wrappers import Wrapper as Wrapper

Convolution1D, Convolution2D, Convolution3D = Conv1D, Conv2D, Conv3D
Convolution1DTranspose, Convolution2DTranspose = Conv1DTranspose, Conv2DTranspose
Convolution3DTranspose = Conv3DTranspose
SeparableConvolution1D, SeparableConvolution2D = SeparableConv1D, SeparableConv2D


def serialize(layer):
    """A layer as plain data."""
    return _registry.serialize_keras_object(layer)


def deserialize(config, custom_objects=None):
    """The layer of that data.

    Example:
        >>> keras.layers.deserialize(keras.layers.serialize(keras.layers.Dense(3))).units
        3
    """
    layer = _registry.deserialize_keras_object(config, custom_objects=custom_objects)
    if not isinstance(layer, Layer):
        raise ValueError(f"deserialize: expected the config of a layer. Received: {config!r}")
    return layer
