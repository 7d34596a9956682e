"""The session's settings: float type, epsilon, image layout, limits. `rkeras.config` is their public face."""

from rkeras import _rkeras

values = {
    "floatx": "float32",
    "epsilon": 1e-7,
    "image_data_format": "channels_last",
    "interactive_logging": True,
    "traceback_filtering": True,
    "max_epochs": None,
    "max_steps_per_epoch": None,
    "unsafe_deserialization": False,
    "dtype_policy": None,
    "flash_attention": True,
}


def floatx():
    """The default float dtype.

    Example:
        >>> keras.config.floatx()
        'float32'
    """
    return values["floatx"]


def set_floatx(value):
    """Sets the default float dtype: "float16", "bfloat16", "float32" or "float64"."""
    if value not in ("float16", "bfloat16", "float32", "float64"):
        raise ValueError(f"set_floatx: expected a float dtype name. Received: {value!r}")
    values["floatx"] = str(value)
    _rkeras.set_floatx(str(value))


def epsilon():
    """The small number that keeps divisions and logarithms finite (1e-07 unless set).

    Example:
        >>> keras.config.epsilon()
        1e-07
    """
    return values["epsilon"]


def set_epsilon(value):
    """Sets `epsilon`."""
    values["epsilon"] = float(value)


def image_data_format():
    """ "channels_last" or "channels_first", for layers that are not told.

    Example:
        >>> keras.config.image_data_format()
        'channels_last'
    """
    return values["image_data_format"]


def set_image_data_format(data_format):
    """Sets `image_data_format`."""
    values["image_data_format"] = standardize_data_format(data_format)


def standardize_data_format(data_format):
    """The given layout, or the session's if None."""
    if data_format is None:
        return values["image_data_format"]
    name = str(data_format).lower()
    if name not in ("channels_first", "channels_last"):
        raise ValueError(
            f'data_format: expected "channels_first" or "channels_last". Received: {data_format!r}'
        )
    return name


run_eagerly_everywhere = False  # set by `run_functions_eagerly` of the tf dialect
