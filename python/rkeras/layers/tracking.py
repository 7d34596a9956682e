"""How a layer finds variables, layers and metrics in its attributes, lists and dicts included."""

from rkeras._core.symbolic import Operation
from rkeras._core.variable import Variable
from rkeras.random import SeedGenerator


class Tracker:
    """The variables, layers, metrics and generators of one layer, in the order in which they were stored."""

    def __init__(self):
        self.trainable = []
        self.non_trainable = []
        self.layers = []
        self.metrics = []
        self.seed_generators = []
        self.locked = False

    def home(self, value):
        """The list that a value belongs into, or None."""
        if isinstance(value, Variable):
            return self.trainable if value.trainable else self.non_trainable
        if isinstance(value, Operation):
            return self.layers if hasattr(value, "_tracker") else None
        if isinstance(value, SeedGenerator):
            return self.seed_generators
        # Metrics are of a package that layers do not know.
        if (
            hasattr(type(value), "update_state")
            and hasattr(type(value), "result")
            and hasattr(type(value), "reset_state")
        ):
            return self.metrics
        return None

    def track(self, value, owner):
        """Remembers a value that layers care about; others are left alone."""
        home = self.home(value)
        if home is None or any(v is value for v in home):
            return
        if isinstance(value, Variable) and any(v is value for v in (*self.trainable, *self.non_trainable)):
            return
        if self.locked and home is not self.metrics:
            raise ValueError(
                f'{type(owner).__name__} "{owner.__dict__.get("name")}": expected no new weights or '
                "layers after it is built. "
                f"Received: {value!r}. Hint: make all weights in build() and all layers in __init__() or "
                "build()."
            )
        home.append(value)

    def untrack(self, value):
        """Forgets a value."""
        if value is None:
            return
        for home in (self.trainable, self.non_trainable, self.layers, self.metrics, self.seed_generators):
            for i, v in enumerate(home):
                if v is value:
                    del home[i]
                    break

    def wrap(self, value, owner):
        """The value, tracked; lists and dicts in a form that reports what is put into them later."""
        kind = type(value)
        if kind is list:
            return TrackedList(value, self, owner)
        if kind is dict:
            return TrackedDict(value, self, owner)
        if isinstance(value, (list, dict)):
            return value
        if isinstance(value, tuple):
            for item in value:
                self.wrap(item, owner)
            return value
        self.track(value, owner)
        return value


class TrackedList(list):
    """A list whose layers and variables belong to the layer that holds it."""

    def __init__(self, values=(), tracker=None, owner=None):
        self.tracker = tracker
        self.owner = owner
        super().__init__(self._in(v) for v in values)

    def _in(self, value):
        return value if self.tracker is None else self.tracker.wrap(value, self.owner)

    def _out(self, value):
        if self.tracker is not None:
            self.tracker.untrack(value)

    def append(self, value):
        """Adds at the end."""
        super().append(self._in(value))

    def insert(self, index, value):
        """Adds before a position."""
        super().insert(index, self._in(value))

    def extend(self, values):
        """Adds several at the end."""
        super().extend(self._in(v) for v in values)

    def __iadd__(self, values):  # type: ignore[misc]
        self.extend(values)
        return self

    def __setitem__(self, key, value):
        if isinstance(key, slice):
            for old in self[key]:
                self._out(old)
            super().__setitem__(key, [self._in(v) for v in value])
            return
        self._out(self[key])
        super().__setitem__(key, self._in(value))

    def __delitem__(self, key):
        for old in self[key] if isinstance(key, slice) else [self[key]]:
            self._out(old)
        super().__delitem__(key)

    def pop(self, index=-1):
        """Takes one away."""
        value = super().pop(index)
        self._out(value)
        return value

    def remove(self, value):
        """Takes a value away."""
        super().remove(value)
        self._out(value)

    def clear(self):
        """Takes all away."""
        for value in self:
            self._out(value)
        super().clear()

    def __reduce__(self):
        return list, (list(self),)


class TrackedDict(dict):
    """A dict whose layers and variables belong to the layer that holds it."""

    def __init__(self, values=(), tracker=None, owner=None):
        self.tracker = tracker
        self.owner = owner
        super().__init__({k: self._in(v) for k, v in dict(values).items()})

    def _in(self, value):
        return value if self.tracker is None else self.tracker.wrap(value, self.owner)

    def _out(self, value):
        if self.tracker is not None:
            self.tracker.untrack(value)

    def __setitem__(self, key, value):
        if key in self:
            self._out(self[key])
        super().__setitem__(key, self._in(value))

    def __delitem__(self, key):
        self._out(self[key])
        super().__delitem__(key)

    def update(self, *args, **kwargs):
        """Sets several."""
        for k, v in dict(*args, **kwargs).items():
            self[k] = v

    def setdefault(self, key, default=None):
        """The value of a key, set first if missing."""
        if key not in self:
            self[key] = default
        return self[key]

    def pop(self, key, *default):
        """Takes one away."""
        if key in self:
            self._out(self[key])
        return super().pop(key, *default)

    def clear(self):
        """Takes all away."""
        for value in self.values():
            self._out(value)
        super().clear()

    def __reduce__(self):
        return dict, (dict(self),)
