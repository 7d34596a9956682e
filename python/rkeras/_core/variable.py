"""The variable: a named tensor that changes, with what Keras hangs on it."""

from rkeras import _rkeras
from rkeras._core import naming, settings
from rkeras._core.notebook import tensor_html
from rkeras._core.tensor import convert_to_tensor, standardize_dtype


class Variable(_rkeras.Variable):
    """A named tensor that can be assigned to: weights, optimizer slots, metric states, seeds.

    Args:
        initializer: the first value, or a callable `(shape, dtype) -> tensor`.
        shape: needed with a callable.
        dtype: the dtype; by default that of the value, or `floatx`.
        trainable: whether gradients are wanted for it.
        autocast: whether layers of mixed precision read it in their compute dtype.
        aggregation, synchronization: accepted for compatibility (one device).
        name: its name, unique or not.

    Raises:
        ValueError: without a shape for a callable, or if values do not fit the shape.

    Example:
        >>> v = keras.Variable([1.0, 2.0], name="v")
        >>> v.assign_add([1.0, 1.0]).numpy().tolist()
        [2.0, 3.0]
    """

    def __new__(
        cls, initializer, shape=None, dtype=None, trainable=True, autocast=True, aggregation="none",
        synchronization="auto", name=None, layout=None, **kwargs,
    ):  # fmt: skip
        name = name or naming.auto_name(cls.__name__)
        if not isinstance(name, str) or "/" in name:
            raise ValueError(f'Variable: expected a name without "/". Received: name={name!r}')
        # Values are made at once even while a graph is traced around.
        with _rkeras.EagerScope():
            if callable(initializer):
                if shape is None:
                    raise ValueError(
                        f"Variable {name!r}: expected a shape beside the callable initializer. Received: None"
                    )
                shape = standardize_shape(shape)
                value = convert_to_tensor(
                    initializer(shape, dtype=standardize_dtype(dtype)), standardize_dtype(dtype)
                )
            else:
                if dtype is None and not hasattr(initializer, "dtype"):
                    dtype = settings.floatx() if isinstance(initializer, float) else None
                value = convert_to_tensor(initializer, dtype)
                if shape is not None and tuple(shape) != value.shape:
                    raise ValueError(
                        f"Variable {name!r}: expected a value of shape {tuple(shape)}. Received: "
                        f"{value.shape}"
                    )
        self = super().__new__(cls, value, name=name, trainable=bool(trainable))
        self.autocast = bool(autocast)
        return self

    def __init__(
        self, initializer, shape=None, dtype=None, trainable=True, autocast=True, aggregation="none",
        synchronization="auto", name=None, layout=None, **kwargs,
    ):  # fmt: skip
        self.initializer = initializer if callable(initializer) else None
        self.regularizer = None
        self.constraint = None
        self.overwrite_with_gradient = False
        self.aggregation = aggregation
        self.synchronization = synchronization
        path = naming.current_path()
        self.path = f"{path}/{self.name}" if path else self.name

    @property
    def value(self):
        """The value in the current mode: a tensor, or a symbol while a step is traced."""
        return self.read()

    def assign(self, value):
        """Gives it a new value of the same shape; returns the variable."""
        # A Python number fills; anything else has to have the shape.
        new = convert_to_tensor(value, self.dtype)
        if not _same_shape(new.shape, self.shape):
            raise ValueError(
                f"Variable {self.path!r}: expected a value of shape {self.shape}. Received: shape "
                f"{new.shape}. "
                "Hint: weights are replaced only by weights of the same shape."
            )
        super().assign(new)
        return self

    def assign_add(self, value):
        """Adds `value` to it; returns the variable."""
        return self.assign(self.tensor_in_mode() + value)

    def assign_sub(self, value):
        """Subtracts `value` from it; returns the variable."""
        return self.assign(self.tensor_in_mode() - value)

    def tensor_in_mode(self):
        """The value in its own dtype, whatever the autocast dtype."""
        previous = _rkeras.set_autocast(None)
        try:
            return self.read()
        finally:
            _rkeras.set_autocast(previous)

    def numpy(self):
        """The values as a NumPy array."""
        return self.tensor().numpy()

    @property
    def size(self):
        """The number of elements."""
        n = 1
        for d in self.shape:
            n *= d
        return n

    def __array__(self, dtype=None, copy=None):
        array = self.tensor().numpy()
        if dtype is not None and array.dtype != dtype:
            return array.astype(dtype)
        return array.copy() if copy else array

    def __repr__(self):
        value = f", value={self.tensor().numpy()}" if _rkeras.mode() == "eager" else ""
        return f"<Variable path={self.path}, shape={self.shape}, dtype={self.dtype}{value}>"

    def _repr_html_(self):
        return tensor_html(self)

    def __format__(self, specification):
        return format(self.tensor(), specification) if specification else repr(self)

    def __hash__(self):
        return id(self)

    def __reduce__(self):
        return _rebuild, (
            type(self),
            self.numpy(),
            self.dtype,
            self.trainable,
            self.autocast,
            self.name,
            self.path,
        )

    def __deepcopy__(self, memo):
        new = _rebuild(
            type(self), self.tensor(), self.dtype, self.trainable, self.autocast, self.name, self.path
        )
        memo[id(self)] = new
        return new

    def __getitem__(self, index):
        return self.read()[index]

    def __len__(self):
        return len(self.read())

    def __iter__(self):
        return iter(self.read())

    def __bool__(self):
        return bool(self.read())

    def __int__(self):
        return int(self.read())

    def __float__(self):
        return float(self.read())

    def __index__(self):
        return self.read().__index__()


def _rebuild(cls, value, dtype, trainable, autocast, name, path):
    new = cls(value, dtype=dtype, trainable=trainable, autocast=autocast, name=name)
    new.path = path
    return new


def _same_shape(a, b):
    return len(a) == len(b) and all(x is None or y is None or x == y for x, y in zip(a, b, strict=True))


def standardize_shape(shape):
    """The shape as a tuple of integers (None where unknown)."""
    if isinstance(shape, int):
        shape = (shape,)
    try:
        dims = tuple(d if d is None else int(d) for d in shape)
    except TypeError:
        raise ValueError(f"shape: expected a sequence of integers. Received: {shape!r}") from None
    if any(d is not None and d < 0 for d in dims):
        raise ValueError(f"shape: expected sizes of zero or more. Received: {dims}")
    return dims


def _install_operators():
    """The operators work on the value."""

    def binary(name):
        def method(self, other):
            if isinstance(other, _rkeras.Variable):
                other = other.read()
            return getattr(self.read(), name)(other)

        method.__name__ = name
        return method

    def unary(name):
        def method(self):
            return getattr(self.read(), name)()

        method.__name__ = name
        return method

    for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul"):
        setattr(Variable, f"__{name}__", binary(f"__{name}__"))
        setattr(Variable, f"__r{name}__", binary(f"__r{name}__"))
    for name in ("and", "or", "xor", "eq", "ne", "lt", "le", "gt", "ge"):
        setattr(Variable, f"__{name}__", binary(f"__{name}__"))
    for name in ("neg", "abs", "invert"):
        setattr(Variable, f"__{name}__", unary(f"__{name}__"))


_install_operators()
