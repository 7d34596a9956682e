"""The session's settings (`rkeras.config`)."""

from rkeras._core import settings as _settings
from rkeras._core.settings import epsilon as epsilon
from rkeras._core.settings import floatx as floatx
from rkeras._core.settings import image_data_format as image_data_format
from rkeras._core.settings import set_epsilon as set_epsilon
from rkeras._core.settings import set_floatx as set_floatx
from rkeras._core.settings import set_image_data_format as set_image_data_format


def backend():
    """The name of what computes: "rkeras".

    Example:
        >>> keras.config.backend()
        'rkeras'
    """
    return "rkeras"


def dtype_policy():
    """The dtype policy of layers that are not told.

    Example:
        >>> keras.config.dtype_policy().name
        'float32'
    """
    import rkeras.dtype_policies as policies

    return policies.default_policy()


def set_dtype_policy(policy):
    """Sets the dtype policy of layers that are not told: a name or a policy."""
    import rkeras.dtype_policies as policies

    _settings.values["dtype_policy"] = policies.get(policy)


def enable_interactive_logging():
    """Progress is shown as a moving bar."""
    _settings.values["interactive_logging"] = True


def disable_interactive_logging():
    """Progress is shown as lines for a log file."""
    _settings.values["interactive_logging"] = False


def is_interactive_logging_enabled():
    """Is progress shown as a moving bar?"""
    return _settings.values["interactive_logging"]


def enable_traceback_filtering():
    """Accepted for compatibility: tracebacks are short as they are."""
    _settings.values["traceback_filtering"] = True


def disable_traceback_filtering():
    """Accepted for compatibility: tracebacks are short as they are."""
    _settings.values["traceback_filtering"] = False


def is_traceback_filtering_enabled():
    """Whether `enable_traceback_filtering` holds."""
    return _settings.values["traceback_filtering"]


def max_epochs():
    """The upper bound of epochs that `fit` runs, or None."""
    return _settings.values["max_epochs"]


def set_max_epochs(max_epochs):
    """Sets `max_epochs`: a positive integer or None."""
    _settings.values["max_epochs"] = max_epochs


def max_steps_per_epoch():
    """The upper bound of batches per epoch, or None."""
    return _settings.values["max_steps_per_epoch"]


def set_max_steps_per_epoch(max_steps_per_epoch):
    """Sets `max_steps_per_epoch`: a positive integer or None."""
    _settings.values["max_steps_per_epoch"] = max_steps_per_epoch
