"""Names: snake_case, automatic numbering, name scopes."""

import re

_counts = {}
_scopes = []


def to_snake_case(name):
    """ "BatchNormalization" -> "batch_normalization", "Conv2D" -> "conv2d"."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def camel_case(name):
    """ "reduce_mean" -> "ReduceMean"."""
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def uniquify(name):
    """The name, followed by _1, _2 ... when it was given before."""
    n = _counts.get(name)
    _counts[name] = (n or 0) + (0 if n is None else 1)
    return name if n is None else f"{name}_{n + 1}"


def auto_name(prefix):
    """A name not given before in this session: dense, dense_1, dense_2 ..."""
    return uniquify(to_snake_case(prefix))


def get_uid(prefix=""):
    """A number that counts the names of this prefix, from 1."""
    key = ("uid", prefix)
    _counts[key] = _counts.get(key, 0) + 1
    return _counts[key]


def reset():
    """Forgets all names: the next Dense is "dense" again."""
    _counts.clear()


class name_scope:
    """Context that puts `name/` before the paths of variables made inside.

    Args:
        name: a string without "/".
        caller: the object whose scope it is; entering the same object's scope again adds nothing.
        deduplicate: False to repeat the scope even for the same caller.
        override_parent: a path to use instead of the enclosing scopes.

    Example:
        >>> with keras.name_scope("tower"):
        ...     v = keras.Variable([1.0], name="w")
        >>> v.path
        'tower/w'
    """

    def __init__(self, name, **kwargs):
        if not isinstance(name, str) or "/" in name:
            raise ValueError(f'name_scope: expected a string without "/". Received: name={name!r}')
        self.name = name
        self.caller = kwargs.pop("caller", None)
        self.deduplicate = kwargs.pop("deduplicate", True)
        self.override_parent = kwargs.pop("override_parent", None)
        self._entered = []

    def __enter__(self):
        if self.deduplicate and self.caller is not None and _scopes:
            top = _scopes[-1]
            if top.caller is self.caller and top.name == self.name:
                self._entered.append(False)
                return self
        _scopes.append(self)
        self._entered.append(True)
        return self

    def __exit__(self, *exception):
        if self._entered.pop():
            _scopes.pop()


def current_path():
    """The names of the scopes around, joined by "/"."""
    if not _scopes:
        return ""
    if len(_scopes) == 1 and _scopes[0].override_parent is None:
        return _scopes[0].name
    names = []
    for scope in _scopes:
        if scope.override_parent is not None:
            names = [scope.override_parent] if scope.override_parent else []
        names.append(scope.name)
    return "/".join(names)
