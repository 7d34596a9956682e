"""Models, weights and configs in files."""

from rkeras._core.registry import CustomObjectScope as CustomObjectScope
from rkeras._core.registry import custom_object_scope as custom_object_scope
from rkeras._core.registry import deserialize_keras_object as deserialize_keras_object
from rkeras._core.registry import get_custom_objects as get_custom_objects
from rkeras._core.registry import get_registered_name as get_registered_name
from rkeras._core.registry import get_registered_object as get_registered_object
from rkeras._core.registry import register_keras_serializable as register_keras_serializable
from rkeras._core.registry import serialize_keras_object as serialize_keras_object
from rkeras.saving import legacy_config as _legacy_config
from rkeras.saving.archive import load_model as load_model
from rkeras.saving.archive import save_model as save_model
from rkeras.saving.budget import limit_model_bytes as limit_model_bytes
from rkeras.saving.editor import KerasFileEditor as KerasFileEditor
from rkeras.saving.files import UnsafeFileError as UnsafeFileError
from rkeras.saving.weights import load_weights as load_weights
from rkeras.saving.weights import save_weights as save_weights
