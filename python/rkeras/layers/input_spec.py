"""What a layer demands of its inputs."""

from rkeras._core import tree
from rkeras._core.tensor import standardize_dtype


class InputSpec:
    """Rank, shape and dtype that an input has to have.

    Args:
        dtype: the dtype.
        shape: sizes, None where any will do.
        ndim, max_ndim, min_ndim: bounds of the rank.
        axes: dict of axis to size.
        allow_last_axis_squeeze: whether a last axis of size 1 may be missing or extra.
        name: the key of the input in a dict.
        optional: whether None will do.

    Example:
        >>> keras.InputSpec(min_ndim=2, axes={-1: 4}).axes
        {-1: 4}
    """

    def __init__(
        self, dtype=None, shape=None, ndim=None, max_ndim=None, min_ndim=None, axes=None,
        allow_last_axis_squeeze=False, name=None, optional=False,
    ):  # fmt: skip
        self.dtype = None if dtype is None else standardize_dtype(dtype)
        self.shape = None if shape is None else tuple(shape)
        self.ndim = len(self.shape) if self.shape is not None else ndim
        self.max_ndim = max_ndim
        self.min_ndim = min_ndim
        self.name = name
        self.optional = optional
        self.allow_last_axis_squeeze = allow_last_axis_squeeze
        try:
            self.axes = {int(k): v for k, v in (axes or {}).items()}
        except (AttributeError, TypeError, ValueError):
            raise TypeError(
                f"InputSpec: expected axes as a dict of axis to size. Received: {axes!r}"
            ) from None
        rank = self.ndim if self.ndim is not None else max_ndim
        if self.axes and rank is not None and max(self.axes) > rank - 1:
            raise ValueError(f"InputSpec: expected axes below rank {rank}. Received: axis {max(self.axes)}")

    def __repr__(self):
        known = {k: v for k, v in self.get_config().items() if v}
        return f"InputSpec({', '.join(f'{k}={v}' for k, v in known.items())})"

    def get_config(self):
        """What `from_config` needs."""
        return {
            "dtype": self.dtype, "shape": self.shape, "ndim": self.ndim, "max_ndim": self.max_ndim,
            "min_ndim": self.min_ndim, "axes": self.axes, "allow_last_axis_squeeze":
            self.allow_last_axis_squeeze,
            "name": self.name, "optional": self.optional,
        }  # fmt: skip

    @classmethod
    def from_config(cls, config):
        """The spec of that config."""
        return cls(**config)


_HINTS = {
    3: "(batch, steps, channels)",
    4: "(batch, height, width, channels)",
    5: "(batch, depth, height, width, channels)",
}


def check_inputs(input_spec, inputs, layer):
    """Raises ValueError unless the inputs are as the layer's spec demands."""
    if not input_spec:
        return
    specs = tree.flatten(input_spec)
    if isinstance(inputs, dict) and all(getattr(s, "name", None) for s in specs):
        missing = [s.name for s in specs if s.name not in inputs]
        if missing:
            raise ValueError(
                f"{who(layer)}: expected inputs named {[s.name for s in specs]}. Received: no {missing}"
            )
        values = [inputs[s.name] for s in specs]
    else:
        values = tree.flatten(inputs)
    if len(values) != len(specs):
        raise ValueError(f"{who(layer)}: expected {len(specs)} input(s). Received: {len(values)}")
    for i, (x, spec) in enumerate(zip(values, specs, strict=True)):
        if spec is None or (x is None and spec.optional):
            continue
        if not hasattr(x, "shape"):
            raise ValueError(
                f"{who(layer)}: expected a tensor as input. Received: {x!r} of type {type(x).__name__}"
            )
        _check(
            spec,
            tuple(x.shape),
            getattr(x, "dtype", None),
            layer,
            f" for input {i}" if len(specs) > 1 else "",
        )


def who(layer):
    """'Dense "head"': how messages name a layer."""
    return f'{type(layer).__name__} "{layer.name}"'


def _check(spec, shape, dtype, layer, which):
    def fail(expected, hint=""):
        raise ValueError(f"{who(layer)}: expected {expected}{which}. Received: shape {shape}.{hint}")

    rank = len(shape)
    if spec.ndim is not None and rank != spec.ndim and not spec.allow_last_axis_squeeze:
        names = f" {_HINTS[spec.ndim]}" if spec.ndim in _HINTS and spec.shape is None else ""
        hint = " Hint: add a channel axis." if names and rank == spec.ndim - 1 else ""
        fail(f"{spec.ndim} dimensions{names}", hint)
    if spec.max_ndim is not None and rank > spec.max_ndim:
        fail(f"at most {spec.max_ndim} dimensions")
    if spec.min_ndim is not None and rank < spec.min_ndim:
        fail(f"at least {spec.min_ndim} dimensions")
    if spec.dtype is not None and dtype is not None and standardize_dtype(dtype) != spec.dtype:
        raise ValueError(f"{who(layer)}: expected dtype {spec.dtype}{which}. Received: {dtype}")
    for axis, size in spec.axes.items():
        if size is not None and (axis >= rank or axis < -rank or shape[axis] not in (size, None)):
            fail(f"size {size} along axis {axis}", " Hint: a built layer keeps the size of its first input.")
    if spec.shape is not None:
        wanted = spec.shape
        if spec.allow_last_axis_squeeze:
            shape_, wanted = (s[:-1] if s and s[-1] == 1 else s for s in (shape, wanted))
        else:
            shape_ = shape
        same = len(shape_) == len(wanted)
        if not same or any(
            a is not None and b is not None and a != b for a, b in zip(wanted, shape_, strict=True)
        ):
            fail(f"shape {spec.shape}")
