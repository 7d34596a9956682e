"""Data sets: elements one after the other, and pipelines of them (`tf.data.Dataset`)."""

import itertools

import numpy as np

from rkeras import ops
from rkeras import random as _random
from rkeras._core import scopes as _scopes
from rkeras.tf.data import elements as E
from rkeras.tf.shapes import TensorSpec

AUTOTUNE = -1
INFINITE_CARDINALITY = -1
UNKNOWN_CARDINALITY = -2


class Options:
    """Options of a data set, accepted: pipelines here run in order, so that the same seed gives the same elements."""

    def __init__(self):
        self.deterministic = True
        self.experimental_deterministic = True
        self.threading = self.autotune = self.experimental_distribute = self.experimental_optimization = (
            _Anything()
        )


class _Anything:
    """Takes any attribute."""


def _seed(seed):
    """A seed for a data set that is not told one: it follows `tf.random.set_seed`."""
    return int(_random.make_default_seed() if seed is None else seed) % 2**63


class Dataset:
    """Elements (tensors, or tuples and dicts of them) one after the other.

    Datasets are made by `from_tensor_slices`, `from_generator`, `range` ... and changed by methods that return new ones.
    Batches are made when they are asked for, by the thread that asks; where the pipeline only reorders rows of arrays
    before it batches them, positions travel through it instead of rows.

    Example:
        >>> import rkeras.tf as tf
        >>> data = tf.data.Dataset.range(5).map(lambda x: x * x).batch(2)
        >>> [batch.numpy().tolist() for batch in data]
        [[0, 1], [4, 9], [16]]
    """

    def __init__(self, iterate=None, cardinality=UNKNOWN_CARDINALITY, spec=None, rows=None, kind=None):
        if iterate is None:
            raise TypeError(
                "Dataset: expected from_tensor_slices, from_generator, range ... Received: a plain call"
            )
        self._iterate_items = (
            iterate  # a function that gives an iterator of elements, or of positions into `rows`
        )
        self._cardinality = cardinality
        self._spec = spec  # a function that gives the spec; None: that of the first element
        self._rows = rows
        self._kind = kind

    # Making.

    @staticmethod
    def from_tensors(tensors, name=None):
        """One element."""
        element = E.map_parts(E.to_array, tensors)
        return Dataset(lambda: iter([element]), 1, lambda: E.map_parts(E.spec_of, element))

    @staticmethod
    def from_tensor_slices(tensors, name=None):
        """The slices of arrays along their first axis.

        Args:
            tensors: arrays of equally many rows, in tuples and dicts.

        Example:
            >>> import rkeras.tf as tf
            >>> [int(x) for x in tf.data.Dataset.from_tensor_slices([1, 2, 3])]
            [1, 2, 3]
        """
        rows = E.map_parts(E.to_array, tensors)
        flat = E.parts(rows)
        if any(not p.ndim for p in flat):
            raise ValueError("Dataset.from_tensor_slices: expected arrays of rows. Received: a single number")
        counts = {len(p) for p in flat}
        if len(counts) != 1:
            raise ValueError(
                f"Dataset.from_tensor_slices: expected equally many rows. Received: {[p.shape for p in flat]}"
            )
        count = counts.pop()

        def spec():
            return E.map_parts(lambda p: TensorSpec(p.shape[1:], E.spec_of(p).dtype), rows)

        return Dataset(lambda: iter(range(count)), count, spec, rows=rows)

    @staticmethod
    def range(*args, output_type="int64", name=None):
        """The numbers of Python's range, as int64."""
        return Dataset.from_tensor_slices(np.arange(*(int(a) for a in args)).astype(str(output_type)))

    @staticmethod
    def from_generator(
        generator, output_types=None, output_shapes=None, args=None, output_signature=None, name=None
    ):
        """What a generator function yields.

        Args:
            generator: a function that returns an iterable.
            output_signature: TensorSpecs in the structure of elements.
            output_types, output_shapes: the same in TensorFlow's old form.
            args: arguments of the function.
        """
        from rkeras.tf.data import sources

        return sources.from_generator(generator, output_types, output_shapes, args, output_signature)

    @staticmethod
    def list_files(file_pattern, shuffle=None, seed=None, name=None):
        """The paths that fit a pattern (or several), in random order unless `shuffle=False`."""
        from rkeras.tf.data import sources

        return sources.list_files(file_pattern, shuffle, seed)

    @staticmethod
    def zip(*args, datasets=None, name=None):
        """Pairs (or more) of the elements of several data sets, given as a tuple or dict."""
        given = (
            datasets
            if datasets is not None
            else args[0]
            if len(args) == 1 and not isinstance(args[0], Dataset)
            else args
        )
        given = tuple(given) if isinstance(given, list) else given
        flat = E.parts(given)
        sizes = [d._cardinality for d in flat]
        finite = [n for n in sizes if n >= 0]
        count = (
            UNKNOWN_CARDINALITY
            if UNKNOWN_CARDINALITY in sizes
            else min(finite)
            if finite
            else INFINITE_CARDINALITY
        )

        def iterate():
            for values in zip(*(d._elements() for d in flat)):
                yield E.like(given, values)

        return Dataset(iterate, count, lambda: E.map_parts(lambda d: d.element_spec, given))

    @staticmethod
    def sample_from_datasets(
        datasets, weights=None, seed=None, stop_on_empty_dataset=False, rerandomize_each_iteration=None
    ):
        """Elements of data sets drawn at random."""
        from rkeras.tf.data import sources

        return sources.sample(datasets, weights, seed, stop_on_empty_dataset)

    # Iterating.

    def _elements(self):
        """An iterator of elements, of NumPy arrays and text."""
        items = self._iterate_items()
        if self._rows is None:
            return items
        flat = E.parts(self._rows)
        return (E.like(self._rows, [E._row(p, i) for p in flat]) for i in items)

    def __iter__(self):
        if _scopes.mode() == "graph":
            # Unrolled, its elements would be constants of the program, the same at every call.
            raise TypeError(
                "Dataset: expected iteration at run time. Received: a loop in a traced function, whose values are symbolic. Hint: "
                "put tf.function around the step inside the loop"
            )
        return (E.map_parts(E.to_tensor, e) for e in self._elements())

    def as_numpy_iterator(self):
        """An iterator of elements as NumPy arrays and numbers, text as bytes."""

        def plain(p):
            if hasattr(p, "values") and not isinstance(p, np.ndarray):
                return p.numpy()
            return p[()] if isinstance(p, np.ndarray) and p.ndim == 0 else p

        return (E.map_parts(plain, e) for e in self._elements())

    def __len__(self):
        if self._cardinality < 0:
            word = "infinite" if self._cardinality == INFINITE_CARDINALITY else "unknown"
            raise TypeError(
                f"len(dataset): expected a known number of elements. Received: {word}. Hint: count them"
            )
        return self._cardinality

    def __bool__(self):
        return True

    def cardinality(self, name=None):
        """The number of elements; -1 if there is no end, -2 if it is not known."""
        return ops.convert_to_tensor(self._cardinality, "int64")

    @property
    def element_spec(self):
        """The TensorSpec of each part. After `map` it is that of the first element, so no size is None."""
        if self._spec is None:
            first = next(iter(self._elements()), None)
            if first is None:
                raise ValueError("Dataset.element_spec: expected an element. Received: an empty data set")
            spec = E.map_parts(lambda p: p if isinstance(p, Dataset) else E.spec_of(p), first)
            self._spec = lambda: spec
        return self._spec()

    def get_single_element(self, name=None):
        """The only element."""
        found = list(itertools.islice(iter(self), 2))
        if len(found) != 1:
            raise ValueError(
                f"Dataset.get_single_element: expected one element. Received: {len(found) or 'none'}"
            )
        return found[0]

    def reduce(self, initial_state, reduce_func, name=None):
        """`reduce_func(state, element)` over all elements; returns the last state."""
        state = E.map_parts(lambda p: E.to_tensor(E.to_array(p)), initial_state)
        for element in self:
            state = reduce_func(state, element)
        return state

    def __repr__(self):
        return f"<Dataset element_spec={self._spec() if self._spec is not None else '...'}>"

    # Order and number of elements: these work on positions as well as on elements.

    def _reordered(self, iterate, cardinality):
        return Dataset(iterate, cardinality, self._spec and (lambda: self.element_spec), rows=self._rows)

    def _with_cardinality(self, n):
        return self._reordered(self._iterate_items, n)

    def shuffle(self, buffer_size, seed=None, reshuffle_each_iteration=True, name=None):
        """Elements in random order: each is drawn from a buffer that is filled up again.

        Args:
            buffer_size: elements in the buffer; the number of elements or more mixes all of them evenly.
            seed: an integer; a random one if None.
            reshuffle_each_iteration: another order at every iteration.
        """
        size, seed, epoch = int(buffer_size), _seed(seed), itertools.count()
        if size == AUTOTUNE or (self._cardinality >= 0 and self._cardinality < size):
            size = max(self._cardinality, 1)
        if size < 1:
            raise ValueError(
                f"Dataset.shuffle: expected a buffer_size of at least 1. Received: {buffer_size}"
            )
        reshuffle = reshuffle_each_iteration is not False

        def iterate():
            rng = np.random.default_rng([seed, next(epoch) if reshuffle else 0])
            if 0 <= self._cardinality <= size:
                items = list(self._iterate_items())
                return map(items.__getitem__, rng.permutation(len(items)).tolist())
            return _through_buffer(self._iterate_items(), size, rng)

        return self._reordered(iterate, self._cardinality)

    def repeat(self, count=None, name=None):
        """All elements again, so many times; without end if None or -1."""
        forever = count is None or int(count) < 0
        if self._cardinality == 0 or (not forever and int(count) == 0):
            return self._reordered(lambda: iter(()), 0)
        n = self._cardinality
        cardinality = (
            (INFINITE_CARDINALITY if n != UNKNOWN_CARDINALITY else n)
            if forever
            else n
            if n < 0
            else n * int(count)
        )

        def iterate():
            for _ in itertools.count() if forever else range(int(count)):
                empty = True
                for item in self._iterate_items():
                    empty = False
                    yield item
                if empty:
                    return

        return self._reordered(iterate, INFINITE_CARDINALITY if forever else cardinality)

    def take(self, count, name=None):
        """The first elements; all if -1."""
        count = int(count)
        if count < 0:
            return self
        n = self._cardinality
        known = count if n == INFINITE_CARDINALITY else n if n < 0 else min(n, count)
        return self._reordered(lambda: itertools.islice(self._iterate_items(), count), known)

    def skip(self, count, name=None):
        """All but the first elements; none if -1."""
        count, n = int(count), self._cardinality
        if count < 0:
            return self.take(0)
        return self._reordered(
            lambda: itertools.islice(self._iterate_items(), count, None), n if n < 0 else max(n - count, 0)
        )

    def shard(self, num_shards, index, name=None):
        """Every `num_shards`-th element, from `index` on."""
        k, i, n = int(num_shards), int(index), self._cardinality
        known = n if n < 0 else max(0, -(-(n - i) // k))
        return self._reordered(lambda: itertools.islice(self._iterate_items(), i, None, k), known)

    def cache(self, filename="", name=None):
        """Keeps the elements in memory the first time, so that what made them runs once."""
        if filename:
            raise NotImplementedError(
                "Dataset.cache: expected no filename: elements are kept in memory. Hint: .cache()"
            )
        kept = []

        def iterate():
            if kept:
                return iter(kept[0])
            return fill()

        def fill():
            new = []
            for item in self._iterate_items():
                new.append(item)
                yield item
            if not kept:
                kept.append(new)

        return self._reordered(iterate, self._cardinality)

    def prefetch(self, buffer_size, name=None):
        """Accepted: elements are made when they are asked for."""
        return self._reordered(self._iterate_items, self._cardinality)

    def with_options(self, options, name=None):
        """Accepted; see `Options`."""
        return self

    def options(self):
        """The options."""
        return Options()

    def apply(self, transformation_func, name=None):
        """`transformation_func(dataset)`."""
        return transformation_func(self)

    # Batches.

    def batch(self, batch_size, drop_remainder=False, num_parallel_calls=None, deterministic=None, name=None):
        """Elements in groups, stacked along a new first axis.

        Args:
            batch_size: elements per batch.
            drop_remainder: leave out a last batch with fewer.
            num_parallel_calls, deterministic: accepted.
        """
        size = int(batch_size)
        if size < 1:
            raise ValueError(f"Dataset.batch: expected a batch_size of at least 1. Received: {batch_size}")
        rows = self._rows

        def iterate():
            items = self._iterate_items()
            flat = None if rows is None else E.parts(rows)
            while True:
                group = list(itertools.islice(items, size))
                if not group or (drop_remainder and len(group) < size):
                    return
                if flat is None:
                    yield E.stack(group)
                else:
                    first, last = group[0], group[-1]
                    if last - first == len(group) - 1 and group == list(range(first, last + 1)):
                        positions = slice(first, last + 1)  # in order: no copy
                    else:
                        positions = np.array(group)
                    yield E.like(rows, [E.take(p, positions) for p in flat])

        n = self._cardinality
        count = n if n < 0 else n // size if drop_remainder else -(-n // size)

        def spec():
            first = size if drop_remainder else None
            return E.map_parts(
                lambda s: s if isinstance(s, Dataset) else TensorSpec((first, *s.shape), s.dtype),
                self.element_spec,
            )

        return Dataset(iterate, count, spec)

    def padded_batch(
        self, batch_size, padded_shapes=None, padding_values=None, drop_remainder=False, name=None
    ):
        """Elements of different sizes in groups, filled up to the largest of the group (or to given sizes)."""
        size = int(batch_size)

        def iterate():
            items = self._elements()
            while group := list(itertools.islice(items, size)):
                if drop_remainder and len(group) < size:
                    return
                yield E.pad_and_stack(group, padded_shapes, padding_values)

        n = self._cardinality

        def spec():
            first = size if drop_remainder else None
            return E.map_parts(
                lambda s: TensorSpec((first, *[None] * len(s.shape)), s.dtype), self.element_spec
            )

        return Dataset(iterate, n if n < 0 else n // size if drop_remainder else -(-n // size), spec)

    def unbatch(self, name=None):
        """The rows of batches, one by one."""

        def spec():
            return E.map_parts(lambda s: TensorSpec(s.shape[1:], s.dtype), self.element_spec)

        return Dataset(lambda: (row for e in self._elements() for row in E.rows_of(e)), spec=spec)

    def rebatch(self, batch_size, drop_remainder=False, name=None):
        """Batches of another size."""
        return self.unbatch().batch(batch_size, drop_remainder)

    # Functions of elements.

    def map(self, map_func, num_parallel_calls=None, deterministic=None, synchronous=None, name=None):
        """`map_func(element)`, or of the parts of a tuple, for every element.

        The function is traced and compiled as by `tf.function`; one that looks at values runs as Python.
        """
        from rkeras.tf.data import functions

        return functions.map(self, map_func)

    def filter(self, predicate, name=None):
        """The elements for which a function holds."""
        from rkeras.tf.data import functions

        return functions.filter(self, predicate)

    def take_while(self, predicate, name=None):
        """The elements before the first for which a function does not hold."""
        from rkeras.tf.data import functions

        return functions.take_while(self, predicate)

    def flat_map(self, map_func, name=None):
        """The elements of the data sets that a function gives, one data set after the other."""
        return self.interleave(map_func, cycle_length=1)

    def interleave(
        self,
        map_func,
        cycle_length=None,
        block_length=None,
        num_parallel_calls=None,
        deterministic=None,
        name=None,
    ):
        """The elements of the data sets that a function gives, `block_length` of each of `cycle_length` in turn."""
        from rkeras.tf.data import functions

        return functions.interleave(self, map_func, cycle_length, block_length)

    def scan(self, initial_state, scan_func, name=None):
        """`scan_func(state, element)` gives the next state and an element."""
        from rkeras.tf.data import functions

        return functions.scan(self, initial_state, scan_func)

    def window(self, size, shift=None, stride=1, drop_remainder=False, name=None):
        """Data sets of `size` elements, `stride` apart, the next one beginning `shift` later."""
        from rkeras.tf.data import functions

        return functions.window(self, size, shift, stride, drop_remainder)

    def enumerate(self, start=0, name=None):
        """Pairs of a number and an element."""

        def iterate():
            for i, element in enumerate(self._elements(), int(start)):
                yield np.asarray(i, "int64"), element

        return Dataset(iterate, self._cardinality, lambda: (TensorSpec((), "int64"), self.element_spec))

    def concatenate(self, dataset, name=None):
        """The elements of this data set, then those of another."""
        a, b = self._cardinality, dataset._cardinality
        known = (
            a + b
            if a >= 0 and b >= 0
            else INFINITE_CARDINALITY
            if INFINITE_CARDINALITY in (a, b)
            else UNKNOWN_CARDINALITY
        )
        return Dataset(
            lambda: itertools.chain(self._elements(), dataset._elements()), known, lambda: self.element_spec
        )

    def unique(self, name=None):
        """Each element once."""

        def iterate():
            seen = set()
            for element in self._elements():
                key = tuple(
                    (p.shape, np.asarray(p).tobytes()) if isinstance(p, np.ndarray) else bytes(p)
                    for p in E.parts(element)
                )
                if key not in seen:
                    seen.add(key)
                    yield element

        return Dataset(iterate, spec=lambda: self.element_spec)

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        from rkeras.tf.hints import absent

        raise absent("tf.data.Dataset", name)


def _through_buffer(items, size, rng):
    """Items drawn at random from a buffer."""
    buffer = list(itertools.islice(items, size))
    draws = iter(())
    for item in items:
        at = next(draws, None)
        if at is None:
            draws = iter(rng.integers(0, len(buffer), 4096).tolist())
            at = next(draws)
        yield buffer[at]
        buffer[at] = item
    for at in rng.permutation(len(buffer)).tolist():
        yield buffer[at]
