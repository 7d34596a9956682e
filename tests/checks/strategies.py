"""What hypothesis draws for ops: shapes, broadcastable pairs, arrays without kinks."""

import numpy as np
from hypothesis import strategies as st

shapes = st.lists(st.integers(1, 5), min_size=0, max_size=4).map(tuple)
nonscalar_shapes = st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple)
seeds = st.integers(0, 2**16)


@st.composite
def broadcastable(draw):
    """Two shapes that broadcast together."""
    full = draw(shapes)

    def thin():
        keep = draw(st.integers(0, len(full)))
        return tuple(1 if draw(st.booleans()) else d for d in full[len(full) - keep :])

    return (full, thin()) if draw(st.booleans()) else (thin(), full)


def floats(shape, seed, low=-2.0, high=2.0, dtype="float64"):
    """Distinct numbers in [low, high], at least 0.05 from zero, so that kinks are not hit."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(low, high, shape)
    x = np.where(np.abs(x) < 0.05, x + 0.1, x)
    return np.asarray(x, dtype)


@st.composite
def axis_of(draw, shape, none=True):
    """An axis of the shape, positive or negative, or None for all."""
    axes = list(range(-len(shape), len(shape)))
    return draw(st.sampled_from([None, *axes] if none else axes))
