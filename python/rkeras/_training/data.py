"""What `fit`, `evaluate` and `predict` accept: arrays, generators, data sets, loaders."""

import numpy as np

from rkeras import _rkeras
from rkeras._core import tree

Tensor = _rkeras.Tensor


def is_array_like(x):
    """Is it an array, a tensor, or a plain list of numbers?"""
    return (
        isinstance(x, (np.ndarray, Tensor, _rkeras.Variable))
        or hasattr(x, "__array__")
        or hasattr(x, "__dlpack__")
    )


def to_array(x, floatx="float32"):
    """An array of `x` whose dtype the core reads; float64 becomes floatx, as in Keras."""
    if isinstance(x, Tensor):
        return x
    if isinstance(x, _rkeras.Variable):
        return x.tensor()
    if hasattr(x, "to_numpy") and not isinstance(x, np.ndarray):
        x = x.to_numpy()
    x = np.asarray(x)
    if x.dtype == np.float64 or (x.dtype == np.float16 and floatx != "float16"):
        x = x.astype(floatx)
    elif x.dtype == object or x.dtype.kind in "USO":
        raise ValueError(
            f"data: expected numbers. Received: an array of dtype {x.dtype}. Hint: rows of different length have to be padded "
            "first; text has to become numbers"
        )
    return np.ascontiguousarray(x)


def unpack_x_y_sample_weight(data):
    """(x, y, sample_weight) of what a data set yields: x, (x,), (x, y) or (x, y, sample_weight).

    Example:
        >>> keras.utils.unpack_x_y_sample_weight((1, 2))
        (1, 2, None)
    """
    if isinstance(data, list):
        data = tuple(data)
    if not isinstance(data, tuple):
        return data, None, None
    if len(data) > 3:
        raise ValueError(
            f"data: expected x, (x, y) or (x, y, sample_weight). Received: a tuple of {len(data)}"
        )
    return (*data, None, None)[:3]


def pack_x_y_sample_weight(x, y=None, sample_weight=None):
    """The inverse of `unpack_x_y_sample_weight`."""
    if y is None:
        return (x,) if isinstance(x, (list, tuple)) else x
    return (x, y) if sample_weight is None else (x, y, sample_weight)


class ArrayData:
    """Rows of arrays in memory.

    Args:
        x, y, sample_weight: arrays, nested; y and sample_weight may be None.
    """

    def __init__(self, x, y=None, sample_weight=None, floatx="float32"):
        def convert(v):
            return None if v is None else to_array(_plain(v), floatx)

        self.x = _map(convert, x)
        self.y = _map(convert, y)
        self.sample_weight = _map(convert, sample_weight)
        self.flat = [
            a for part in (self.x, self.y, self.sample_weight) for a in tree.flatten(part) if a is not None
        ]
        if not self.flat:
            raise ValueError("data: expected at least one array. Received: none")
        counts = [a.shape[0] if len(a.shape) else None for a in self.flat]
        if None in counts:
            raise ValueError("data: expected arrays with a batch axis. Received: a scalar")
        if len(set(counts)) > 1:
            raise ValueError(
                f"data: expected arrays with the same number of rows. Received: shapes {[tuple(a.shape) for a in self.flat]} "
                f"({', '.join(map(str, counts))} rows)"
            )
        self.rows = counts[0]

    def structure(self):
        """(x, y, sample_weight) with the positions of their arrays in place of them."""
        number = iter(range(len(self.flat)))

        def position(a):
            return None if a is None else next(number)

        return tuple(_map(position, part) for part in (self.x, self.y, self.sample_weight))

    def slice(self, start, stop):
        """Rows `start` to `stop`."""

        def rows(a):
            return None if a is None else a[start:stop]

        out = object.__new__(ArrayData)
        out.x, out.y, out.sample_weight = (_map(rows, part) for part in (self.x, self.y, self.sample_weight))
        out.flat = [
            a for part in (out.x, out.y, out.sample_weight) for a in tree.flatten(part) if a is not None
        ]
        out.rows = out.flat[0].shape[0]
        return out

    def loader(self, batch_size, shuffle, seed):
        """A loader of its batches."""
        return _rkeras.Loader(self.flat, batch_size, shuffle=shuffle, seed=seed)


def _plain(v):
    """A list of numbers as an array; anything else as it is."""
    return np.asarray(v) if isinstance(v, (list, tuple)) else v


def _map(f, structure):
    """`f` of every array; lists of numbers are arrays, lists of arrays are structures."""
    if isinstance(structure, dict):
        # In the order in which `tree.flatten` goes through it, as positions are counted along.
        done = {k: _map(f, structure[k]) for k in tree._keys(structure)}
        return {k: done[k] for k in structure}
    if isinstance(structure, (list, tuple)) and any(
        is_array_like(v) or isinstance(v, dict) or v is None for v in structure
    ):
        items = [_map(f, v) for v in structure]
        return tuple(items) if isinstance(structure, tuple) else items
    return f(structure)


def class_weights_to_sample_weights(y, class_weight):
    """A weight per sample from a weight per class."""
    y = np.asarray(y)
    if y.ndim > 1 and y.shape[-1] > 1:
        y = y.argmax(-1)
    y = y.reshape(len(y), -1)[:, 0] if y.ndim > 1 else y
    weights = np.ones(len(y), "float32")
    for c, w in class_weight.items():
        weights[np.round(y).astype("int64") == int(c)] = w
    return weights


class PyDataset:
    """A data set of batches by index: subclasses define `__len__` and `__getitem__(index)`.

    Args:
        workers, use_multiprocessing, max_queue_size: accepted for compatibility; batches are made in order by the
            calling thread.
    """

    def __init__(self, workers=1, use_multiprocessing=False, max_queue_size=10):
        self.workers, self.use_multiprocessing, self.max_queue_size = (
            workers,
            use_multiprocessing,
            max_queue_size,
        )

    def __getitem__(self, index):
        raise NotImplementedError(
            f"{type(self).__name__}: expected a method __getitem__(index). Received: none"
        )

    @property
    def num_batches(self):
        """The number of batches, None if it is not known."""
        return len(self) if hasattr(type(self), "__len__") else None

    def on_epoch_begin(self):
        """Called before each epoch."""

    def on_epoch_end(self):
        """Called after each epoch."""


class BatchData:
    """Batches made by Python: a generator, an iterable, a PyDataset, a torch DataLoader."""

    def __init__(self, source, shuffle=False, class_weight=None):
        self.source = source
        self.shuffle = shuffle
        self.class_weight = class_weight
        self.one_shot = hasattr(source, "__next__")
        self.iterator = iter(source) if self.one_shot else None

    @property
    def num_batches(self):
        """The number of batches per epoch, None if it is not known."""
        if isinstance(self.source, PyDataset):
            return self.source.num_batches
        cardinality = getattr(self.source, "cardinality", None)
        if callable(cardinality):
            n = int(cardinality())
            return n if n >= 0 else None
        try:
            return len(self.source)
        except TypeError:
            return None

    @property
    def infinite(self):
        """Does it say that it has no end?"""
        cardinality = getattr(self.source, "cardinality", None)
        return callable(cardinality) and int(cardinality()) == -1

    def batches(self):
        """One epoch of (x, y, sample_weight)."""
        if self.class_weight is None:
            yield from self._batches()
            return
        for x, y, weight in self._batches():
            if y is None or tree.is_nested(y):
                raise ValueError("class_weight: expected a model with one target. Received: several or none")
            by_class = class_weights_to_sample_weights(y, self.class_weight)
            yield x, y, by_class if weight is None else np.asarray(weight) * by_class

    def _batches(self):
        if isinstance(self.source, PyDataset):
            self.source.on_epoch_begin()
            order = range(len(self.source))
            if self.shuffle:
                order = np.random.permutation(len(self.source))
            for i in order:
                yield unpack_x_y_sample_weight(self.source[int(i)])
            self.source.on_epoch_end()
            return
        for batch in self.iterator if self.one_shot else self.source:
            yield unpack_x_y_sample_weight(batch)


def make_data(x, y=None, sample_weight=None, class_weight=None, shuffle=False, floatx="float32"):
    """The data that the arguments of `fit` mean."""
    nested = isinstance(x, (list, tuple, dict))
    if x is not None and not is_array_like(x) and not nested and hasattr(x, "__iter__"):
        if y is not None:
            raise ValueError(
                "data: expected no y beside a data set or generator, which yields (x, y). Received: y"
            )
        if isinstance(x, str):
            raise ValueError(f"data: expected arrays. Received: {x!r}")
        return BatchData(x, shuffle, class_weight)
    if isinstance(x, PyDataset):
        return BatchData(x, shuffle, class_weight)
    if class_weight is not None:
        if y is None or (
            isinstance(y, (list, tuple, dict))
            and any(is_array_like(v) for v in tree.flatten(y))
            and tree.is_nested(y)
        ):
            raise ValueError("class_weight: expected a model with one target. Received: several or none")
        weights = class_weights_to_sample_weights(y, class_weight)
        sample_weight = weights if sample_weight is None else np.asarray(sample_weight) * weights
    return ArrayData(x, y, sample_weight, floatx)


def train_validation_split(arrays, validation_split):
    """The rows in front and the last fraction of them, set apart."""
    if not 0 < validation_split < 1:
        raise ValueError(f"validation_split: expected a fraction in (0, 1). Received: {validation_split}")
    cut = int(arrays.rows * (1.0 - validation_split))
    if cut in (0, arrays.rows):
        raise ValueError(
            f"validation_split: expected rows on both sides. Received: {validation_split} of {arrays.rows} rows"
        )
    return arrays.slice(0, cut), arrays.slice(cut, arrays.rows)
