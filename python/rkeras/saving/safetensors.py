"""Weights in safetensors: a JSON header of names, dtypes, shapes and places, then the bytes of all arrays.

Names are the paths of the `.weights.h5` layout without the optimizer: `layers/dense/vars/0`. The format is small enough
to need no package. Source: the format's description at https://github.com/huggingface/safetensors.
"""

import os

from rkeras.saving import hdf5
from rkeras.saving.files import OversizeError, UnsafeFileError, replace_file
from rkeras.saving.state import walk

_MAX_HEADER_BYTES = 64 << 20
_DTYPES = {
    "bool": "BOOL", "uint8": "U8", "int8": "I8", "uint16": "U16", "int16": "I16", "uint32": "U32", "int32": "I32",
    "uint64": "U64", "int64": "I64", "float16": "F16", "float32": "F32", "float64": "F64",
}  # fmt: skip
_NAMES = {v: k for k, v in _DTYPES.items()}


class _Collected(dict):
    """A store that keeps what is written into it."""

    def __setitem__(self, name, value):
        super().__setitem__(name, hdf5.to_array(value))


def _objects(model):
    """Pairs (object, path) of what is stored: all but optimizers and metrics."""
    from rkeras.layers.layer import Layer

    optimizer = getattr(model, "optimizer", None)
    for obj, path in walk(model):
        if obj is not optimizer and (isinstance(obj, Layer) or not hasattr(obj, "update_state")):
            yield obj, path


def save_safetensors(model, path):
    """Writes the weights of a model, without the optimizer."""
    arrays = {}
    for obj, place in _objects(model):
        store = _Collected()
        obj.save_own_variables(store)
        for name, value in store.items():
            arrays[f"{place}/vars/{name}" if place else f"vars/{name}"] = value
    write_tensors(path, arrays)


def write_tensors(path, arrays):
    """Writes a dict of name to (array, is it bfloat16?) to a safetensors file."""
    import json

    import numpy as np

    header, offset, parts = {"__metadata__": {"format": "rkeras"}}, 0, []
    # Wide elements first, so that every array is aligned.
    for name in sorted(arrays, key=lambda n: (-arrays[n][0].dtype.itemsize, n)):
        array, is_bfloat16 = arrays[name]
        dtype = "BF16" if is_bfloat16 else _DTYPES.get(array.dtype.name)
        if dtype is None:
            raise ValueError(f"save_weights: expected numbers for {name!r}. Received: dtype {array.dtype}")
        data = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
        header[name] = {
            "dtype": dtype, "shape": list(array.shape), "data_offsets": [offset, offset + data.nbytes]
        }  # fmt: skip
        offset += data.nbytes
        parts.append(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)

    def write(file):
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for data in parts:
            file.write(data.tobytes())

    replace_file(path, write)


class SafetensorsSource:
    """The stored state in a safetensors file, open for reading; the header is checked whole before anything is read.

    Args:
        path: the file.

    Raises:
        UnsafeFileError: for a header too large, places that overlap, leave gaps or do not fit the shapes, bytes after
            the last array.
        ValueError: if it is no safetensors file.
    """

    def __init__(self, path):
        size = os.path.getsize(path)
        self._file = open(path, "rb")  # noqa: SIM115  closed by __exit__
        try:
            self._entries, self._start = _header(self._file, size)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._file.close()

    def names(self):
        """The names of the arrays."""
        return list(self._entries)

    def has(self, path):
        """Is there anything at that path?"""
        return any(k.startswith(f"{path}/") for k in self._entries)

    def store(self, path, limit):
        """The arrays of the object at a path."""
        prefix = f"{path}/vars/" if path else "vars/"
        return _Arrays(self, [k for k in self._entries if k.startswith(prefix)], prefix, limit)

    def read(self, name, limit=None):
        """One array by its name in the file."""
        import numpy as np

        dtype, shape, begin, end = self._entries[name]
        if limit is not None and end - begin > limit:
            raise OversizeError(
                f"load_weights: expected at most {limit} bytes at {name!r}, as its object holds no more. Received: shape "
                f"{shape}, {end - begin} bytes. It was not read. Hint: is it the file of another model?"
            )
        self._file.seek(self._start + begin)
        data = self._file.read(end - begin)
        if dtype == "BF16":
            half = np.frombuffer(data, "<u2")
            return (half.astype(np.uint32) << 16).view(np.float32).reshape(shape)
        kind = np.dtype(_NAMES[dtype]).newbyteorder("<")
        return np.frombuffer(data, kind).reshape(shape).astype(_NAMES[dtype], copy=False)


class _Arrays:
    """The arrays of one object by name."""

    def __init__(self, source, names, prefix, limit):
        self._source, self._limit = source, limit
        self._names = {n.removeprefix(prefix): n for n in names}

    def keys(self):
        """The names."""
        return list(self._names)

    def __len__(self):
        return len(self._names)

    def __iter__(self):
        return iter(self._names)

    def __contains__(self, name):
        return name in self._names

    def items(self):
        """Pairs of name and array."""
        return [(k, self[k]) for k in self._names]

    def values(self):
        """The arrays."""
        return [self[k] for k in self._names]

    def __getitem__(self, name):
        return self._source.read(self._names[name], self._limit)


def _header(file, size):
    """(entries by name, where the arrays start) of a file of that size."""
    import json

    if size < 8:
        raise ValueError(f"load_weights: expected a safetensors file. Received: {size} bytes")
    length = int.from_bytes(file.read(8), "little")
    if length > min(size - 8, _MAX_HEADER_BYTES):
        raise UnsafeFileError(
            f"load_weights: expected a header of at most {min(size - 8, _MAX_HEADER_BYTES)} bytes. Received: {length}. It was "
            "not read."
        )
    try:
        header = json.loads(file.read(length).decode("utf-8"), object_pairs_hook=_unique)
    except (UnicodeDecodeError, RecursionError, json.JSONDecodeError) as error:
        raise ValueError(f"load_weights: expected a safetensors header. Received: {error}") from error
    if not isinstance(header, dict):
        raise ValueError(f"load_weights: expected a safetensors header. Received: {type(header).__name__}")
    header.pop("__metadata__", None)
    entries = {name: _entry(name, entry) for name, entry in header.items()}
    at = 0
    for name, (_, _, begin, end) in sorted(entries.items(), key=lambda e: (e[1][2], e[1][3])):
        if begin != at:
            raise UnsafeFileError(
                f"load_weights: expected arrays one after the other. Received: {name!r} at byte {begin}, where {at} is due"
            )
        at = end
    if 8 + length + at != size:
        raise UnsafeFileError(
            f"load_weights: expected a file of {8 + length + at} bytes, as its header says. Received: {size}"
        )
    return entries, 8 + length


def _entry(name, entry):
    ok = isinstance(entry, dict) and set(entry) == {"dtype", "shape", "data_offsets"}
    if ok:
        dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
        ok = (
            (dtype == "BF16" or dtype in _NAMES)
            and isinstance(shape, list)
            and len(shape) <= 32
            and isinstance(offsets, list)
            and len(offsets) == 2
            and all(type(n) is int and 0 <= n < 1 << 63 for n in (*shape, *offsets))
        )
    if ok:
        import math

        import numpy as np

        width = 2 if dtype == "BF16" else np.dtype(_NAMES[dtype]).itemsize
        ok = offsets[1] - offsets[0] == width * math.prod(shape)
    if not ok:
        raise UnsafeFileError(
            f"load_weights: expected a known dtype, a shape, and the place of as many bytes for {name!r}. Received: {entry!r:.200}"
        )
    return dtype, tuple(shape), offsets[0], offsets[1]


def _unique(pairs):
    found = dict(pairs)
    if len(found) != len(pairs):
        raise UnsafeFileError("load_weights: expected every name once in the header. Received: one twice")
    return found


def skipped_objects(model):
    """What a safetensors file does not hold: the optimizer and the metrics."""
    kept = {id(o) for o, _ in _objects(model)}
    return [o for o, _ in walk(model) if id(o) not in kept]
