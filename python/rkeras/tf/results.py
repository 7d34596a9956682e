"""Named tuples that functions of `tf` return."""

from typing import Any, NamedTuple


class Unique(NamedTuple):
    """What `tf.unique` returns: the elements, and which of them each was."""

    y: Any
    idx: Any


class TopK(NamedTuple):
    """What `tf.math.top_k` returns: the greatest elements and their positions."""

    values: Any
    indices: Any
