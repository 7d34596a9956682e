"""The base of metrics: state variables, an update per batch, a result."""

from rkeras import dtype_policies, initializers
from rkeras._core import naming, settings
from rkeras._core.variable import Variable


class _Owner:
    """Has places for variables and metrics before any constructor ran."""

    def __new__(cls, *args, **kwargs):
        self = super().__new__(cls)
        object.__setattr__(self, "_variables", [])
        object.__setattr__(self, "_metrics", [])
        return self


class Metric(_Owner):
    """A number that is watched. Subclasses make variables in `__init__`, change them in `update_state(...)`, and compute
    `result()` from them.

    Args:
        dtype: a dtype policy or its name for the state; `floatx` if None.
        name: a name; by default the class name in snake_case.

    Example:
        >>> class Count(keras.metrics.Metric):
        ...     def __init__(self):
        ...         super().__init__(name="count")
        ...         self.seen = self.add_variable((), "zeros", name="seen")
        ...     def update_state(self, y_true, y_pred, sample_weight=None):
        ...         self.seen.assign_add(1.0)
        ...     def result(self):
        ...         return self.seen.value
        >>> count = Count()
        >>> count.update_state(None, None)
        >>> float(count.result())
        1.0
    """

    def __init__(self, dtype=None, name=None):
        self.name = name or naming.auto_name(type(self).__name__)
        # Not the global policy: bfloat16 counts to 256.
        self._dtype_policy = dtype_policies.get(dtype or settings.floatx())
        self._dtype = self._dtype_policy.compute_dtype

    def __setattr__(self, name, value):
        if isinstance(value, Metric):
            self._metrics.append(value)
        elif isinstance(value, Variable) and all(v is not value for v in self._variables):
            self._variables.append(value)
        object.__setattr__(self, name, value)

    @property
    def dtype(self):
        """The dtype of the state."""
        return self._dtype

    @property
    def variables(self):
        """The variables of its state."""
        found = list(self._variables)
        for m in self._metrics:
            found.extend(m.variables)
        return found

    @property
    def weights(self):
        """The same as `variables`."""
        return self.variables

    def add_variable(self, shape, initializer, dtype=None, aggregation="sum", name=None):
        """Makes a variable of the state."""
        with naming.name_scope(self.name.replace("/", ">"), caller=self):
            v = Variable(
                initializers.get(initializer), shape=shape, dtype=dtype or self.dtype, trainable=False, name=name,
            )  # fmt: skip
        self._variables.append(v)
        return v

    def add_weight(self, shape=(), initializer=None, dtype=None, name=None):
        """The same as `add_variable`."""
        return self.add_variable(shape, initializer or "zeros", dtype=dtype, name=name)

    def reset_state(self):
        """Sets all variables to zero."""
        from rkeras import ops

        for v in self.variables:
            v.assign(ops.zeros(v.shape, dtype=v.dtype))

    def reset_states(self):
        """The name of `reset_state` in older programs."""
        self.reset_state()

    def update_state(self, *args, **kwargs):
        """Takes a batch into account."""
        raise NotImplementedError(f"{type(self).__name__}: expected a method update_state(). Received: none")

    def result(self):
        """The number so far."""
        raise NotImplementedError(f"{type(self).__name__}: expected a method result(). Received: none")

    def __call__(self, *args, **kwargs):
        self.update_state(*args, **kwargs)
        return self.result()

    def get_config(self):
        """What `from_config` needs."""
        return {"name": self.name, "dtype": self.dtype}

    @classmethod
    def from_config(cls, config):
        """The metric of that config."""
        return cls(**config)

    def __repr__(self):
        return f"<{type(self).__name__} name={self.name}>"
