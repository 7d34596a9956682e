"""Text, element by element (`tf.strings`)."""

import re

import numpy as np

from rkeras import ops
from rkeras.tf.dtypes import as_dtype
from rkeras.tf.text import StringTensor, map_text


def lower(input, encoding="", name=None):
    """In small letters.

    Example:
        >>> import rkeras.tf as tf
        >>> tf.strings.lower("AB").numpy()
        b'ab'
    """
    return map_text(lambda s: s.decode().lower(), input)


def upper(input, encoding="", name=None):
    """In capital letters."""
    return map_text(lambda s: s.decode().upper(), input)


def strip(input, name=None):
    """Without blanks at both ends."""
    return map_text(bytes.strip, input)


def regex_replace(input, pattern, rewrite, replace_global=True, name=None):
    """With parts that match a pattern replaced."""
    expression = re.compile(pattern.encode())
    count = 0 if replace_global else 1
    return map_text(lambda s: expression.sub(rewrite.encode(), s, count=count), input)


def regex_full_match(input, pattern, name=None):
    """Does all of it match?"""
    t, expression = StringTensor(input), re.compile(pattern.encode())
    flags = [expression.fullmatch(s) is not None for s in t.values.reshape(-1)]
    return ops.convert_to_tensor(np.array(flags, bool).reshape(t.shape))


def length(input, unit="BYTE", name=None):
    """The number of bytes, or of characters with unit "UTF8_CHAR"."""
    t = StringTensor(input)
    counts = [len(s) if unit == "BYTE" else len(s.decode()) for s in t.values.reshape(-1)]
    return ops.convert_to_tensor(np.array(counts, "int32").reshape(t.shape))


def substr(input, pos, len, unit="BYTE", name=None):
    """A part: where it begins and how long it is."""
    return map_text(lambda s: s[int(pos) :][: int(len)], input)


def join(inputs, separator="", name=None):
    """Several texts joined, element by element."""
    parts = [StringTensor(v).values for v in inputs]
    parts = np.broadcast_arrays(*parts)
    out = np.empty(parts[0].shape, object)
    for i in np.ndindex(out.shape):
        out[i] = separator.encode().join(p[i] for p in parts)
    return StringTensor(out)


def split(input, sep=None, maxsplit=-1, name=None):
    """The words of one text.

    Raises:
        NotImplementedError: for several texts, as their numbers of words differ.
    """
    t = StringTensor(input)
    if t.ndim:
        raise NotImplementedError(
            "tf.strings.split: expected one text. Received: several. Hint: map over them"
        )
    return StringTensor(t.numpy().split(None if sep is None else sep.encode(), maxsplit) or [b""])


def to_number(input, out_type="float32", name=None):
    """The number it spells."""
    t, dtype = StringTensor(input), str(as_dtype(out_type))
    kind = float if dtype.startswith("float") else int
    return ops.convert_to_tensor(np.array([kind(s) for s in t.values.reshape(-1)], dtype).reshape(t.shape))


def as_string(input, precision=-1, name=None):
    """Numbers as text."""
    array = ops.convert_to_tensor(input).numpy()
    floats = array.dtype.kind == "f"
    precision = 6 if precision < 0 else precision

    def spell(v):
        return f"{v:.{precision}f}" if floats else str(v).lower() if array.dtype == bool else str(v)

    out = np.empty(array.size, object)
    out[:] = [spell(v) for v in array.reshape(-1).tolist()]
    return StringTensor(out.reshape(array.shape))


def format(template, inputs, placeholder="{}", summarize=3, name=None):
    """A template with values in place of "{}"."""
    inputs = inputs if isinstance(inputs, (list, tuple)) else [inputs]
    text = template
    for v in inputs:
        shown = v.numpy() if hasattr(v, "numpy") else v
        text = text.replace(placeholder, shown.decode() if isinstance(shown, bytes) else str(shown), 1)
    return StringTensor(text)
