"""HDF5 files that are not trusted: every step of a path, every dataset and every attribute is checked before it is read.

Only hard links are followed, data of other files (external, virtual) is refused, and nothing is read that is larger
than what it is for, so that a small file can neither reach other files nor ask for much memory.
"""

from rkeras.saving.files import OversizeError, UnsafeFileError

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_FILTERS = {"gzip", "lzf", "szip", None}
_MAX_ATTRIBUTE_BYTES = 64 << 20
# HDF5 keeps at most this many bytes in the header of an object; longer attributes are split.
HEADER_BYTES = 64512


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
            f"load: expected an HDF5 file. Received: one that HDF5 cannot open ({error})"
        ) from error


class reading:
    """Context in which what a damaged file leads to becomes one kind of error.

    Args:
        path: the file, for the message.
    """

    def __init__(self, path):
        self.path = path

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind is not None and issubclass(
            kind, (KeyError, IndexError, AttributeError, OSError, RuntimeError, UnicodeError, OverflowError)
        ):
            if issubclass(kind, NotImplementedError):
                return
            raise ValueError(
                f"load: expected a sound file. Received: {self.path!r}, which fails with {kind.__name__}: {error}"
            ) from error


def open_link(group, path):
    """The object at a path below a group.

    Raises:
        UnsafeFileError: if a step of the path is a soft or external link.
        KeyError: if there is none.
    """
    import h5py

    here = group
    for part in path.split("/"):
        link = here.get(part, getlink=True) if part and isinstance(here, h5py.Group) else None
        if link is None:
            raise KeyError(path)
        if not isinstance(link, h5py.HardLink):
            raise UnsafeFileError(
                f"load: expected data of the file itself at {path!r}. Received: a {type(link).__name__} "
                f"(at {here.name!r}), which points elsewhere. It was not followed."
            )
        try:
            here = here[part]
        except (OSError, RuntimeError, ValueError) as error:
            raise ValueError(
                f"load: expected a sound object at {path!r}. Received: a damaged one ({error})"
            ) from error
    return here


def open_group(group, path):
    """The group at a path below a group; as `open_link`, but a dataset in its place is refused."""
    import h5py

    found = open_link(group, path)
    if not isinstance(found, h5py.Group):
        raise UnsafeFileError(f"load: expected a group at {found.name!r}. Received: a {type(found).__name__}")
    return found


def exists(group, path):
    """Is there something at that path, reached by hard links?"""
    try:
        open_link(group, path)
    except KeyError:
        return False
    return True


def check_dataset(dataset, limit):
    """Refuses data that lies in other files, or is larger than `limit` bytes once read."""
    import h5py

    if not isinstance(dataset, h5py.Dataset):
        raise UnsafeFileError(
            f"load: expected an array at {dataset.name!r}. Received: a {type(dataset).__name__}"
        )
    if dataset.is_virtual or dataset.external:
        raise UnsafeFileError(
            f"load: expected data of the file itself at {dataset.name!r}. Received: data of another file "
            "(virtual or external). It was not read."
        )
    if dataset.dtype.kind not in "biufV" or dataset.dtype.hasobject or dataset.dtype.fields:
        raise UnsafeFileError(f"load: expected numbers at {dataset.name!r}. Received: dtype {dataset.dtype}")
    if dataset.compression not in _FILTERS:
        raise UnsafeFileError(
            f"load: expected a filter of HDF5 itself at {dataset.name!r}. Received: {dataset.compression}"
        )
    if dataset.shape is None:
        raise UnsafeFileError(f"load: expected an array at {dataset.name!r}. Received: an empty dataspace")
    size = dataset.dtype.itemsize
    for d in dataset.shape:
        size *= int(d)
    if limit is not None and size > limit:
        raise OversizeError(
            f"load: expected at most {limit} bytes at {dataset.name!r}, as its object holds no more. Received: shape "
            f"{dataset.shape}, {size} bytes. It was not read. Hint: is it the file of another model?"
        )


def read_dataset(group, name, limit):
    """The array at a path below a group, checked.

    Raises:
        KeyError: if there is none.
        UnsafeFileError: if it is refused.
        ValueError: if it is damaged.
    """
    dataset = open_link(group, name)
    check_dataset(dataset, limit)
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

    try:
        if dataset.attrs.get("dtype") == "bfloat16" and dataset.dtype.itemsize == 2:
            raw = np.empty(dataset.shape, dataset.dtype)
            if dataset.size:
                dataset.read_direct(raw)
            half = np.ascontiguousarray(raw).view(np.uint16)
            return (half.astype(np.uint32) << 16).view(np.float32)
        return np.asarray(dataset[()])
    except (OSError, RuntimeError) as error:
        raise ValueError(
            f"load: expected a sound array at {dataset.name!r}. Received: a damaged one ({error})"
        ) from error


def write_dataset(group, name, value):
    """Writes an array under a name, which may be a path."""
    array, is_bfloat16 = to_array(value)
    dataset = group.create_dataset(name, data=array)
    if is_bfloat16:
        dataset.attrs["dtype"] = "bfloat16"


def read_attribute(obj, name):
    """The value of an attribute, or None if there is none.

    Raises:
        UnsafeFileError: if it is larger than any real one.
    """
    import h5py

    if name not in obj.attrs:
        return None
    attribute = obj.attrs.get_id(name)
    size = attribute.dtype.itemsize
    for d in attribute.shape or ():
        size *= int(d)
    if size > _MAX_ATTRIBUTE_BYTES:
        raise UnsafeFileError(
            f"load: expected at most {_MAX_ATTRIBUTE_BYTES} bytes in attribute {name!r}. Received: {size}. It was not read."
        )
    value = obj.attrs[name]
    return None if isinstance(value, h5py.Empty) else value


def read_text(obj, name):
    """An attribute as text, or None."""
    value = read_attribute(obj, name)
    if isinstance(value, bytes):
        value = value.decode("utf-8")
    return None if value is None else str(value)


def read_texts(obj, name):
    """A list of texts in an attribute, or in several numbered ones where it was too long for one."""
    values = read_attribute(obj, name)
    if values is None:
        parts, n = [], 0
        while (part := read_attribute(obj, f"{name}{n}")) is not None:
            parts.extend(part)
            n += 1
        values = parts
    return [v.decode("utf-8") if isinstance(v, bytes) else str(v) for v in values]


def write_texts(obj, name, texts):
    """Writes a list of texts as an attribute, or as several numbered ones where it is too long for one."""
    import numpy as np

    encoded = [t.encode("utf-8") for t in texts]
    longest = max([len(t) for t in encoded], default=0)
    if longest > HEADER_BYTES:
        raise ValueError(f"save: expected names of at most {HEADER_BYTES} bytes. Received: one of {longest}")
    if longest * len(encoded) <= HEADER_BYTES:
        obj.attrs[name] = encoded
        return
    per_chunk = max(HEADER_BYTES // longest, 1)
    for n, start in enumerate(range(0, len(encoded), per_chunk)):
        obj.attrs[f"{name}{n}"] = np.asarray(encoded[start : start + per_chunk])
