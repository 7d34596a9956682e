"""Checkpoints in TensorFlow's format (`tf.train`), by `rkeras.saving`."""

from rkeras.saving.tf_bundle import latest_checkpoint as latest_checkpoint
from rkeras.saving.tf_checkpoint import Checkpoint as Checkpoint
from rkeras.saving.tf_checkpoint import CheckpointManager as CheckpointManager
from rkeras.saving.tf_checkpoint import list_variables as list_variables
from rkeras.saving.tf_checkpoint import load_checkpoint as load_checkpoint
from rkeras.saving.tf_checkpoint import load_variable as load_variable


class CheckpointOptions:
    """Options of checkpoints, accepted: files are written at once, by the thread that asks."""

    def __init__(self, experimental_io_device=None, experimental_enable_async_checkpoint=False, **kwargs):
        self.experimental_io_device = experimental_io_device


def __getattr__(name):
    from rkeras.tf.hints import absent

    raise absent("tf.train", name)
