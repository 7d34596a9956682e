"""What the data sets share: finding a file, reading arrays without running anything that it says."""

import os

HOST = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"


def locate(path, origin, file_hash):
    """The file at `path` if there is one, used as it is; else the download of `origin`, kept under that name."""
    path = os.fspath(path)
    if os.path.isfile(path):
        return path
    from rkeras.utils.download import get_file

    return get_file(path, origin=origin, file_hash=file_hash)


def arrays(path, names):
    """Arrays of numbers of an .npz file, by name."""
    import numpy as np

    with np.load(path, allow_pickle=False) as f:
        return [f[name] for name in names]


def object_arrays(path, names):
    """Arrays of an .npz file, of numbers or of lists of numbers."""
    import io
    import zipfile

    import numpy as np

    out = []
    with zipfile.ZipFile(path) as archive:
        for name in names:
            data = io.BytesIO(archive.read(f"{name}.npy"))
            version = np.lib.format.read_magic(data)
            read = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, _, dtype = read(data)
            if dtype.hasobject:
                value = plain_objects(data)
                out.append(value.reshape(shape))
            else:
                data.seek(0)
                out.append(np.lib.format.read_array(data, allow_pickle=False))
    return out


def plain_objects(stream, encoding="ASCII"):
    """What a pickle says, as long as that is numbers, text, lists, dicts and arrays of them.

    Pickles can name functions to call. Here four names are known, those by which NumPy writes arrays, and they stand for
    the classes below, not for what they name; any other name is refused. So nothing in the file is imported or run.

    Raises:
        ValueError: for anything else.
    """
    import pickle

    class Reader(pickle.Unpickler):
        def find_class(self, module, name):
            if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
                return _new_array
            if module == "numpy" and name == "ndarray":
                return _Array
            if module == "numpy" and name == "dtype":
                return _DType
            if module == "_codecs" and name == "encode":
                return _bytes
            raise ValueError(
                f"data set: expected arrays of numbers. Received: a file that names {module}.{name}. It was not read."
            )

        def persistent_load(self, key):
            raise ValueError(
                "data set: expected arrays of numbers. Received: a reference to something else. It was not read."
            )

    try:
        return _plain(Reader(stream, encoding=encoding).load())
    except (pickle.UnpicklingError, EOFError, AttributeError, TypeError, KeyError, IndexError) as error:
        raise ValueError(
            f"data set: expected arrays of numbers. Received: a damaged file ({error})"
        ) from error


def _text(value):
    return value.decode("ascii") if isinstance(value, bytes) else str(value)


class _DType:
    """The dtype of a pickled array: its name is kept, nothing else."""

    def __init__(self, name="f4", *_):
        self.name = _text(name)
        self.order = "|"

    def __setstate__(self, state):
        self.order = _text(state[1])


class _Array:
    """A pickled array, while it is read."""

    def __setstate__(self, state):
        _, self.shape, self.dtype, self.fortran, self.data = state


def _bytes(text, *_):
    """Bytes, as old pickles of Python 3 spell them."""
    return text.encode("latin1")


def _new_array(*_):
    return _Array()


def _plain(value):
    import numpy as np

    if isinstance(value, _Array):
        name = value.dtype.name
        if name.startswith("O"):
            out = np.empty(len(value.data), dtype=object)
            for i, item in enumerate(value.data):
                out[i] = _plain(item)
            return out.reshape(value.shape)
        if name[:1] not in "biuf":
            raise ValueError(f"data set: expected arrays of numbers. Received: dtype {name!r}")
        order = value.dtype.order if value.dtype.order in "<>" else "="
        data = value.data.encode("latin1") if isinstance(value.data, str) else value.data
        flat = np.frombuffer(data, dtype=np.dtype(name).newbyteorder(order))
        return flat.reshape(value.shape, order="F" if value.fortran else "C").copy()
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return value


def split(x, y, test_split, seed):
    """((x_train, y_train), (x_test, y_test)) of rows shuffled by seed."""
    import numpy as np

    if not 0 <= test_split < 1:
        raise ValueError(f"load_data: expected test_split in [0, 1). Received: {test_split!r}")
    order = np.arange(len(x))
    np.random.RandomState(seed).shuffle(order)
    x, y = x[order], y[order]
    n = int(len(x) * (1 - test_split))
    return (x[:n], y[:n]), (x[n:], y[n:])
