"""What programs of TensorFlow 2 use of `tf.compat`: text and the log of `v1`."""

from rkeras.tf.compat import v1 as v1


def as_str(bytes_or_text, encoding="utf-8"):
    """Text as str."""
    return bytes_or_text.decode(encoding) if isinstance(bytes_or_text, bytes) else bytes_or_text


as_text = as_str


def as_bytes(bytes_or_text, encoding="utf-8"):
    """Text as bytes."""
    return bytes_or_text.encode(encoding) if isinstance(bytes_or_text, str) else bytes_or_text


def __getattr__(name):
    from rkeras.tf.hints import absent

    raise absent("tf.compat", name)
