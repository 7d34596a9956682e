"""Objects that hold variables (`tf.Module`)."""

from rkeras._core import naming
from rkeras._core.variable import Variable


class Module:
    """An object whose variables are found in its attributes, in lists and dicts, and in other modules there.

    Args:
        name: a name; by default the class name in snake_case.

    Example:
        >>> import rkeras.tf as tf
        >>> class Line(tf.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.w = tf.Variable(2.0)
        >>> len(Line().trainable_variables)
        1
    """

    def __init__(self, name=None):
        self._name = name or naming.to_snake_case(type(self).__name__)

    @property
    def name(self):
        """The name."""
        return self._name

    name_scope = property(lambda self: naming.name_scope(self._name))

    def _walk(self):
        seen = set()

        def walk(value):
            if id(value) in seen:
                return
            if isinstance(value, Variable):
                seen.add(id(value))
                yield value
            elif isinstance(value, dict):
                seen.add(id(value))
                for v in value.values():
                    yield from walk(v)
            elif isinstance(value, (list, tuple)):
                seen.add(id(value))
                for v in value:
                    yield from walk(v)
            elif isinstance(value, Module):
                seen.add(id(value))
                yield value
                for _, v in sorted(vars(value).items()):
                    yield from walk(v)
            elif hasattr(value, "_tracker"):  # a layer
                for v in value.variables:
                    yield from walk(v)

        yield from walk(self)

    def _checkpoint_children(self):
        """What checkpoints store of it, by name."""
        return {k: v for k, v in vars(self).items() if k != "_name"}

    @property
    def variables(self):
        """All variables."""
        return tuple(v for v in self._walk() if isinstance(v, Variable))

    @property
    def trainable_variables(self):
        """The variables that are trained."""
        return tuple(v for v in self.variables if v.trainable)

    @property
    def non_trainable_variables(self):
        """The variables that are not trained."""
        return tuple(v for v in self.variables if not v.trainable)

    @property
    def submodules(self):
        """The modules in it."""
        return tuple(m for m in self._walk() if isinstance(m, Module) and m is not self)

    @classmethod
    def with_name_scope(cls, method):
        """A decorator that puts the name before those of variables made in a method."""

        def wrapped(self, *args, **kwargs):
            with naming.name_scope(self._name):
                return method(self, *args, **kwargs)

        return wrapped
