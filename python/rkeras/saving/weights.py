"""Weights in HDF5, in the layout of Keras 3: `layers/dense/vars/0`, `optimizer/vars/0` ...

Reading checks every step of a path: hard links only, no external or virtual data, and no dataset larger than the
object it is for, so that a small file can neither reach other files nor ask for much memory.
"""

import os

from rkeras._core import naming
from rkeras.saving.files import UnsafeFileError, may_write, replace_file

# What an object may store beyond its variables.
_SLACK_BYTES = 1 << 20
_FILTERS = {"gzip", "lzf", "szip", None}


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
        names |= set(dir(Functional(x, Layer.__call__(_Same(), x)))) | set(dir(Sequential([Input((1,))])))
        names |= {"operations", "_operations", "_functional"}
    return names - {"layers", "optimizer"}


def _Same():
    from rkeras.layers import Identity

    return Identity()


def _has_state(obj):
    return hasattr(obj, "save_own_variables") and not isinstance(obj, type)


def walk(obj, path="", seen=None):
    """Triples (object, path) of everything that stores variables, each once, in the order of Keras's files."""
    seen = set() if seen is None else seen
    if id(obj) in seen:
        return
    yield obj, path
    seen.add(id(obj))
    for name, value in children(obj):
        inner = f"{path}/{name}" if path else name
        if _has_state(value):
            yield from walk(value, inner, seen)
        elif isinstance(value, (list, tuple, dict)):
            yield from _walk_container(value, inner, seen, set())


def _walk_container(container, path, seen, containers):
    if id(container) in containers:
        return
    containers.add(id(container))
    used = {}
    for value in list(container.values()) if isinstance(container, dict) else container:
        if _has_state(value):
            # Not the name of the object: that counts within the session, and another session counts otherwise.
            name = naming.to_snake_case(type(value).__name__)
            n = used[name] = used.get(name, -1) + 1
            yield from walk(value, f"{path}/{name}_{n}" if n else f"{path}/{name}", seen)
        elif isinstance(value, (list, tuple, dict)):
            yield from _walk_container(value, path, seen, containers)


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
        array, is_bfloat16 = to_array(value)
        dataset = self._group.create_dataset(name, data=array)
        if is_bfloat16:
            dataset.attrs["dtype"] = "bfloat16"

    def __getitem__(self, name):
        if self._group is None or name not in self._group:
            raise KeyError(name)
        dataset = open_link(self._group, name)
        check_dataset(dataset, self._limit)
        return from_dataset(dataset)


def to_array(value):
    """(array that HDF5 can hold, was it bfloat16?)."""
    import numpy as np

    if getattr(value, "dtype", None) == "bfloat16":
        from rkeras import ops

        wide = np.asarray(ops.convert_to_numpy(ops.cast(value, "float32")))
        # The upper half of a float32, as opaque bytes: what Keras's files hold.
        return (wide.view(np.uint32) >> 16).astype(np.uint16).view("V2"), True
    if hasattr(value, "numpy"):
        value = value.numpy()
    return np.asarray(value), False


def from_dataset(dataset):
    """The array of a dataset that was checked."""
    import numpy as np

    if dataset.attrs.get("dtype") == "bfloat16" and dataset.dtype.itemsize == 2:
        raw = np.empty(dataset.shape, dataset.dtype)
        if dataset.size:
            dataset.read_direct(raw)
        half = np.ascontiguousarray(raw).view(np.uint16)
        return (half.astype(np.uint32) << 16).view(np.float32)
    return np.asarray(dataset[()])


def open_link(group, path):
    """The object at a path below a group.

    Raises:
        UnsafeFileError: if a step of the path is a soft or external link.
        KeyError: if there is none.
    """
    import h5py

    here = group
    for part in path.split("/"):
        link = here.get(part, getlink=True) if isinstance(here, h5py.Group) else None
        if link is None:
            raise KeyError(path)
        if not isinstance(link, h5py.HardLink):
            raise UnsafeFileError(
                f"weights: expected data of the file itself at {path!r}. Received: a {type(link).__name__} "
                f"(at {here.name!r}), which points elsewhere. It was not followed."
            )
        here = here[part]
    return here


def check_dataset(dataset, limit):
    """Refuses data that lies in other files, or is larger than `limit` bytes once read."""
    import h5py

    if not isinstance(dataset, h5py.Dataset):
        raise UnsafeFileError(
            f"weights: expected an array at {dataset.name!r}. Received: a {type(dataset).__name__}"
        )
    if dataset.is_virtual or dataset.external:
        raise UnsafeFileError(
            f"weights: expected data of the file itself at {dataset.name!r}. Received: data of another file "
            "(virtual or external). It was not read."
        )
    if dataset.dtype.kind not in "biufV" or dataset.dtype.hasobject or dataset.dtype.fields:
        raise UnsafeFileError(
            f"weights: expected numbers at {dataset.name!r}. Received: dtype {dataset.dtype}"
        )
    if dataset.compression not in _FILTERS:
        raise UnsafeFileError(
            f"weights: expected a filter of HDF5 itself at {dataset.name!r}. Received: {dataset.compression}"
        )
    size = dataset.dtype.itemsize
    for d in dataset.shape or ():
        size *= int(d)
    if limit is not None and size > limit:
        raise UnsafeFileError(
            f"weights: expected at most {limit} bytes at {dataset.name!r}, as its object holds no more. Received: shape "
            f"{dataset.shape}, {size} bytes. It was not read. Hint: is it the file of another model?"
        )


def write_state(model, file):
    """Writes the state of a model and everything in it into an open HDF5 file."""
    for obj, path in walk(model):
        group = file.require_group(f"{path}/vars" if path else "vars")
        if isinstance(getattr(obj, "name", None), str):
            group.attrs["name"] = obj.name
        obj.save_own_variables(Store(group))


def read_state(model, file, skip_mismatch=False):
    """Reads the state of a model and everything in it from an open HDF5 file.

    Raises:
        ValueError: if objects and file do not fit (with `skip_mismatch`: a warning, and the others are read).
        UnsafeFileError: for links, external data and data larger than the objects.
    """
    failed = []
    for obj, path in walk(model):
        try:
            group = open_link(file, f"{path}/vars" if path else "vars")
        except KeyError:
            group = None
        try:
            obj.load_own_variables(Store(group, _limit(obj)))
        except UnsafeFileError:
            raise
        except Exception as error:
            failed.append((obj, path, error))
    if not failed:
        return
    names = ", ".join(
        f"{type(o).__name__} {getattr(o, 'name', '')!r} at {p or '/'!r}" for o, p, _ in failed[:10]
    )
    message = (
        f"load_weights: expected the weights of this model. Received: a file that does not fit {len(failed)} of its "
        f"objects: {names}. The first error: {failed[0][2]}"
    )
    if not skip_mismatch:
        raise ValueError(message) from failed[0][2]
    import warnings

    warnings.warn(message, stacklevel=3)


def _limit(obj):
    """The largest array in bytes that this object may read: all its variables, in float64."""
    variables = getattr(obj, "variables", None) or []
    elements = (
        sum(v.size for v in variables() if v) if callable(variables) else sum(v.size for v in variables)
    )
    return 8 * elements + _SLACK_BYTES


def open_file(source):
    """An HDF5 file open for reading; `source` is a path or an open binary file.

    Raises:
        ValueError: if it is no HDF5 file, or a damaged one.
    """
    import h5py

    try:
        return h5py.File(source, "r")
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise ValueError(
            f"weights: expected an HDF5 file. Received: one that HDF5 cannot open ({error})"
        ) from error


def save_weights(model, filepath, overwrite=True, max_shard_size=None, **kwargs):
    """Writes the weights of a model, and the state of its optimizer, to a `.weights.h5` file.

    Args:
        model: a built model.
        filepath: a path that ends in ".weights.h5".
        overwrite: whether a file that exists is replaced without asking.
        max_shard_size: only None; files are not split.

    Raises:
        ValueError: for another ending.
    """
    path = os.fspath(filepath)
    if kwargs:
        raise ValueError(f"save_weights: expected arguments that it knows. Received: {list(kwargs)}")
    if max_shard_size is not None:
        raise NotImplementedError(
            "save_weights: expected max_shard_size=None. Received: a size; files are not split"
        )
    if not path.endswith(".weights.h5"):
        raise ValueError(f'save_weights: expected a path that ends in ".weights.h5". Received: {path!r}')
    if not may_write(path, overwrite):
        return
    replace_file(path, lambda f: f.write(state_bytes(model)))


def state_bytes(model):
    """The state of a model as the bytes of an HDF5 file."""
    import io

    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        write_state(model, file)
    return buffer.getbuffer()


def load_weights(model, filepath, skip_mismatch=False, **kwargs):
    """Reads weights from a `.weights.h5` or `.keras` file into a built model.

    Args:
        model: a built model of the same structure.
        filepath: the file.
        skip_mismatch: whether objects that do not fit are left as they are, with a warning.

    Raises:
        ValueError: if model and file do not fit, or the model is not built.
    """
    path = os.fspath(filepath)
    if kwargs:
        raise ValueError(f"load_weights: expected arguments that it knows. Received: {list(kwargs)}")
    if not path.endswith((".weights.h5", ".keras")):
        raise ValueError(
            f'load_weights: expected a path that ends in ".weights.h5" or ".keras". Received: {path!r}'
        )
    if not os.path.isfile(path):
        raise FileNotFoundError(f"load_weights: expected an existing file. Received: {path!r}")
    if not model.built:
        raise ValueError(
            f"load_weights: expected a built model. Received: {model.name!r}, which has no weights yet. Hint: call it on data, "
            "or build it, first."
        )
    if path.endswith(".keras"):
        from rkeras.saving.archive import Archive

        with Archive(path) as archive, open_file(archive.weights(model)) as file:
            read_state(model, file, skip_mismatch)
        return
    with open_file(path) as file:
        read_state(model, file, skip_mismatch)
