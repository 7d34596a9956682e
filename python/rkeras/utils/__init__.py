"""Helpers: labels, seeds, files, progress, custom objects."""

from rkeras._core.registry import CustomObjectScope as CustomObjectScope
from rkeras._core.registry import custom_object_scope as custom_object_scope
from rkeras._core.registry import deserialize_keras_object as deserialize_keras_object
from rkeras._core.registry import get_custom_objects as get_custom_objects
from rkeras._core.registry import get_registered_name as get_registered_name
from rkeras._core.registry import get_registered_object as get_registered_object
from rkeras._core.registry import register_keras_serializable as register_keras_serializable
from rkeras._core.registry import serialize_keras_object as serialize_keras_object
from rkeras._core.symbolic import is_keras_tensor as is_keras_tensor
from rkeras._core.tensor import standardize_dtype as standardize_dtype
from rkeras._training.data import PyDataset as PyDataset
from rkeras._training.data import pack_x_y_sample_weight as pack_x_y_sample_weight
from rkeras._training.data import unpack_x_y_sample_weight as unpack_x_y_sample_weight
from rkeras.backend import clear_session as clear_session
from rkeras.config import disable_interactive_logging as disable_interactive_logging
from rkeras.config import enable_interactive_logging as enable_interactive_logging
from rkeras.config import is_interactive_logging_enabled as is_interactive_logging_enabled
from rkeras.random import set_random_seed as set_random_seed
from rkeras.utils.arrays import normalize as normalize
from rkeras.utils.arrays import pad_sequences as pad_sequences
from rkeras.utils.arrays import to_categorical as to_categorical
from rkeras.utils.directories import image_dataset_from_directory as image_dataset_from_directory
from rkeras.utils.directories import text_dataset_from_directory as text_dataset_from_directory
from rkeras.utils.download import get_file as get_file
from rkeras.utils.images import array_to_img as array_to_img
from rkeras.utils.images import img_to_array as img_to_array
from rkeras.utils.images import load_img as load_img
from rkeras.utils.images import save_img as save_img
from rkeras.utils.model_visualization import model_to_dot as model_to_dot
from rkeras.utils.model_visualization import plot_model as plot_model
from rkeras.utils.progbar import Progbar as Progbar
from rkeras.utils.timeseries import split_dataset as split_dataset
from rkeras.utils.timeseries import timeseries_dataset_from_array as timeseries_dataset_from_array

Sequence = PyDataset  # its name in Keras 2
