"""The state of a model by path, in the layout of Keras 3: `layers/dense/vars/0`, `optimizer/vars/0` ...

A walk over a model's attributes finds everything that stores variables; what stores them (one HDF5 file, several, a
safetensors file) is behind `Store`.
"""

from rkeras._core import naming
from rkeras.saving import hdf5
from rkeras.saving.files import OversizeError, UnsafeFileError

# What an object may store beyond its variables.
_SLACK_BYTES = 1 << 20
# An object that does not fit is tried again at the other paths that lead to it, but not for ever.
_MAX_TRIES = 8


def children(obj):
    """Pairs (name, value) of the attributes of an object that may hold state, in the order of Keras's files."""
    models = _model_kinds()
    if isinstance(obj, models):
        yield "layers", obj.layers
    skip = _skipped(obj)
    names = [n for n in dir(obj) if not n.startswith("__") and n not in skip]
    # Private attributes come last.
    for name in sorted(names, key=lambda n: f"~{n}" if n.startswith("_") else n):
        try:
            value = getattr(obj, name)
        except Exception:  # a property of the user's that is not ready: it holds no state
            continue
        yield name, value


def _model_kinds():
    from rkeras.models.functional import Functional
    from rkeras.models.sequential import Sequential

    return (Functional, Sequential)


_skips = {}


def _skipped(obj):
    """The attributes that objects of its kind have by themselves."""
    from rkeras.layers.layer import Layer
    from rkeras.models import Model

    kind = "layer" if isinstance(obj, Layer) else "other"
    if isinstance(obj, Model):
        kind = "functional" if isinstance(obj, _model_kinds()) else "model"
    if kind not in _skips:
        counts = dict(naming._counts)
        try:
            _skips[kind] = _reference_attributes(kind)
        finally:
            # Names given to the reference objects are free again.
            naming._counts.clear()
            naming._counts.update(counts)
    return _skips[kind]


def _reference_attributes(kind):
    from rkeras.layers import Input
    from rkeras.layers.layer import Layer
    from rkeras.models.functional import Functional
    from rkeras.models.model import Model
    from rkeras.models.sequential import Sequential

    if kind == "other":
        from rkeras.optimizers import Optimizer

        return set(dir(Optimizer(1.0)))
    names = set(dir(Layer()))
    if kind == "model":
        names |= set(dir(Model()))
    elif kind == "functional":
        x = Input((1,))
        names |= set(dir(Functional(x, Layer.__call__(_identity(), x)))) | set(dir(Sequential([Input((1,))])))
        names |= {"operations", "_operations", "_functional"}
    return names - {"layers", "optimizer"}


def _identity():
    from rkeras.layers import Identity

    return Identity()


def has_state(obj):
    """Does it store variables of its own?"""
    return hasattr(obj, "save_own_variables") and not isinstance(obj, type)


class Walk:
    """Visits everything in a model that stores variables, each object once, in the order of Keras's files.

    Args:
        handle: `(object, path, container) -> bool`; False lets the object be tried again at another path. `container`
            is the path of the innermost list within a list around the object, or None.
    """

    def __init__(self, handle):
        self.handle = handle
        self._done = set()
        self._active = set()
        self._tries = {}

    def visit(self, obj, path="", container=None):
        """Visits an object and what is in it."""
        key = id(obj)
        tries = self._tries[key] = self._tries.get(key, 0) + 1
        if key in self._done or key in self._active or tries > _MAX_TRIES:
            return
        self._active.add(key)
        if self.handle(obj, path, container):
            self._done.add(key)
        for name, value in children(obj):
            inner = f"{path}/{name}" if path else name
            if has_state(value):
                self.visit(value, inner, container)
            elif isinstance(value, (list, tuple, dict)):
                self._visit_container(value, inner, container, set())
        self._active.discard(key)

    def _visit_container(self, values, path, container, seen):
        if id(values) in seen:
            return
        seen.add(id(values))
        used = {}

        def unique(name):
            n = used[name] = used.get(name, -1) + 1
            return f"{path}/{name}_{n}" if n else f"{path}/{name}"

        for value in list(values.values()) if isinstance(values, dict) else values:
            if has_state(value):
                # Not the name of the object: that counts within the session, and another session counts otherwise.
                self.visit(value, unique(naming.to_snake_case(type(value).__name__)), container)
            elif isinstance(value, (list, tuple, dict)):
                inner = unique("container")
                self._visit_container(value, inner, inner, seen)


def walk(model):
    """Pairs (object, path) of everything in a model that stores variables."""
    found = []

    def handle(obj, path, _):
        found.append((obj, path))
        return True

    Walk(handle).visit(model)
    return found


class Store:
    """What `save_own_variables` writes into and `load_own_variables` reads from: arrays by name.

    Args:
        group: the HDF5 group `vars`, or None for one that the file lacks.
        limit: the largest array in bytes that may be read; None while writing.
    """

    def __init__(self, group, limit=None):
        self._group = group
        self._limit = limit

    def keys(self):
        """The names."""
        return [] if self._group is None else list(self._group.keys())

    def __len__(self):
        return len(self.keys())

    def __iter__(self):
        return iter(self.keys())

    def __contains__(self, name):
        return self._group is not None and name in self._group

    def items(self):
        """Pairs of name and array."""
        return [(k, self[k]) for k in self.keys()]

    def values(self):
        """The arrays."""
        return [self[k] for k in self.keys()]

    def __setitem__(self, name, value):
        hdf5.write_dataset(self._group, name, value)

    def __getitem__(self, name):
        if self._group is None or name not in self._group:
            raise KeyError(name)
        return hdf5.read_dataset(self._group, name, self._limit)


class HDF5Source:
    """The stored state in one HDF5 file open for reading."""

    def __init__(self, file):
        self._file = file

    def store(self, path, limit):
        """The arrays of the object at a path."""
        for candidate in self._candidates(f"{path}/vars" if path else "vars"):
            try:
                return Store(hdf5.open_group(self._file, candidate), limit)
            except KeyError:
                continue
        return Store(None, limit)

    def _candidates(self, path):
        yield path
        if hdf5.exists(self._file, "_layer_checkpoint_dependencies"):  # files of Keras 2.13
            yield path.replace("layers", "_layer_checkpoint_dependencies")

    def has(self, path):
        """Is there anything at that path?"""
        return hdf5.exists(self._file, path)


def write_state(model, file, include_optimizer=True):
    """Writes the state of a model and everything in it into an open HDF5 file."""
    for obj, path in walk(model):
        if not include_optimizer and obj is getattr(model, "optimizer", None):
            continue
        group = file.require_group(f"{path}/vars" if path else "vars")
        if isinstance(getattr(obj, "name", None), str):
            group.attrs["name"] = obj.name
        obj.save_own_variables(Store(group))


def state_bytes(model, include_optimizer=True):
    """The state of a model as the bytes of an HDF5 file."""
    import io

    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        write_state(model, file, include_optimizer)
    return buffer.getbuffer()


def read_state(model, source, skip_mismatch=False, skip=()):
    """Reads the state of a model and everything in it.

    Args:
        model: a built model.
        source: an `HDF5Source` or one like it.
        skip_mismatch: whether objects that do not fit are left as they are, with a warning.
        skip: objects that are left as they are, and everything in them.

    Raises:
        ValueError: if objects and file do not fit (unless `skip_mismatch`).
        UnsafeFileError: for links, external data and data larger than the objects.
    """
    failed, left_out = {}, {}

    def handle(obj, path, container):
        try:
            obj.load_own_variables(source.store(path, _limit(obj)))
        except OversizeError as error:
            if not skip_mismatch:
                raise
            failed[id(obj)] = (obj, path, error)
            return False
        except UnsafeFileError:
            raise
        except Exception as error:
            # Keras before 3.15 did not write what is in lists within lists.
            old_file = id(obj) in left_out or (container is not None and not source.has(container))
            (left_out if old_file else failed)[id(obj)] = (obj, path, error)
            return False
        failed.pop(id(obj), None)
        left_out.pop(id(obj), None)
        return True

    walk = Walk(handle)
    walk._done.update(id(o) for o in skip)
    walk.visit(model)
    import warnings

    if left_out:
        warnings.warn(
            f"load_weights: expected the weights of {_names(left_out)}. Received: a file without them, as old ones are for "
            "lists within lists. They keep the weights they had.", stacklevel=3,
        )  # fmt: skip
    if not failed:
        return
    first = next(iter(failed.values()))[2]
    message = (
        f"load_weights: expected the weights of this model. Received: a file that does not fit {len(failed)} of its "
        f"objects: {_names(failed)}. The first error: {first}"
    )
    if not skip_mismatch:
        raise ValueError(message) from first
    warnings.warn(message, stacklevel=3)


def _names(failed):
    return ", ".join(
        f"{type(o).__name__} {getattr(o, 'name', '')!r} at {p or '/'!r}"
        for o, p, _ in list(failed.values())[:10]
    )


def _limit(obj):
    """The largest array in bytes that this object may read: all its variables, in float64."""
    variables = getattr(obj, "variables", None) or []
    elements = (
        sum(v.size for v in variables() if v) if callable(variables) else sum(v.size for v in variables)
    )
    return 8 * elements + _SLACK_BYTES
