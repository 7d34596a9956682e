"""The names of TensorFlow 1 that programs of TensorFlow 2 still use (`tf.compat.v1`)."""

import logging as _logging


class logging:
    """The log of TensorFlow's name."""

    DEBUG, INFO, WARN, ERROR, FATAL = 10, 20, 30, 40, 50

    @staticmethod
    def set_verbosity(v):
        """Sets what is logged: this level and above."""
        _logging.getLogger("tensorflow").setLevel(v)

    @staticmethod
    def get_verbosity():
        """The level."""
        return _logging.getLogger("tensorflow").getEffectiveLevel()


def enable_eager_execution(config=None, device_policy=None, execution_mode=None):
    """Accepted: operations run at once."""


def executing_eagerly():
    """Do operations run at once?"""
    from rkeras.tf.utils import executing_eagerly as eagerly

    return eagerly()


def __getattr__(name):
    raise AttributeError(
        f"module 'tf.compat.v1': expected a program of TensorFlow 2. Received: {name!r}, which is absent. Hint: write it with "
        "tf.keras and tf.function"
    )
