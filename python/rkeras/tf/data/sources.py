"""Where elements come from beside arrays: generators, folders, lines of text, other data sets."""

import numpy as np

from rkeras import ops
from rkeras.tf.data import elements as E
from rkeras.tf.data.dataset import UNKNOWN_CARDINALITY, Dataset, _seed
from rkeras.tf.dtypes import as_dtype
from rkeras.tf.shapes import TensorSpec
from rkeras.tf.text import StringTensor


def from_generator(generator, output_types, output_shapes, args, output_signature):
    """See `Dataset.from_generator`."""
    if not callable(generator):
        raise TypeError(
            f"Dataset.from_generator: expected a function that returns an iterable. Received: {type(generator).__name__}. "
            "Hint: lambda: iterable"
        )
    if output_signature is None and output_types is None:
        raise TypeError(
            "Dataset.from_generator: expected output_signature (or output_types). Received: neither"
        )
    if output_signature is None:
        types = tuple(output_types) if isinstance(output_types, list) else output_types
        flat = E.parts(types)
        shapes = [None] * len(flat) if output_shapes is None else _flat_shapes(output_shapes, len(flat))
        wanted = [(as_dtype(t), None if s is None else tuple(s)) for t, s in zip(flat, shapes, strict=True)]
        structure = types
    else:
        structure = tuple(output_signature) if isinstance(output_signature, list) else output_signature
        wanted = [(s.dtype, tuple(s.shape)) for s in E.parts(structure)]

    def convert(value, dtype, shape):
        if dtype == "string":
            array = StringTensor(value)
        else:
            array = np.asarray(E.to_array(value)) if not isinstance(value, np.ndarray) else value
            array = (
                np.asarray(ops.convert_to_tensor(array, str(dtype))) if str(array.dtype) != dtype else array
            )
        if shape is not None:
            fits = len(array.shape) == len(shape) and all(
                w is None or w == h for w, h in zip(shape, array.shape, strict=True)
            )
            if not fits:
                raise TypeError(
                    f"Dataset.from_generator: expected parts of shape {shape}. Received: {array.shape}"
                )
        return array

    extra = tuple(
        ops.convert_to_tensor(a).numpy() if not isinstance(a, str) else a.encode() for a in args or ()
    )

    def iterate():
        for element in generator(*extra):
            if isinstance(structure, tuple) and isinstance(element, list):
                element = tuple(element)
            try:
                flat = _parts_like(structure, element)
            except (TypeError, KeyError, ValueError) as error:
                raise TypeError(
                    f"Dataset.from_generator: expected elements of the structure {structure}. Received: {element!r}"
                ) from error
            yield E.like(structure, [convert(v, t, s) for v, (t, s) in zip(flat, wanted, strict=True)])

    spec = None
    if all(s is not None for _, s in wanted):
        found = E.like(structure, [TensorSpec(s, t) for t, s in wanted])
        spec = lambda: found
    return Dataset(iterate, UNKNOWN_CARDINALITY, spec)


def _flat_shapes(shapes, count):
    if count == 1 and not isinstance(shapes, dict):
        one = (
            shapes[0]
            if isinstance(shapes, tuple) and len(shapes) == 1 and not isinstance(shapes[0], (int, type(None)))
            else shapes
        )
        return [one]
    if isinstance(shapes, dict):
        return [shapes[k] for k in sorted(shapes)]
    return list(shapes)


def _parts_like(structure, element):
    """The parts of an element that follows a structure; whatever stands at a leaf is one part."""
    if isinstance(structure, dict):
        return [p for k in sorted(structure) for p in _parts_like(structure[k], element[k])]
    if isinstance(structure, tuple):
        return [p for s, v in zip(structure, element, strict=True) for p in _parts_like(s, v)]
    return [element]


def list_files(file_pattern, shuffle, seed):
    """See `Dataset.list_files`."""
    from rkeras.tf.io import gfile

    patterns = file_pattern
    if isinstance(patterns, StringTensor):
        patterns = [p.decode() for p in patterns.values.reshape(-1)]
    files = sorted(set(gfile.glob(patterns)))
    if not files:
        raise ValueError(f"Dataset.list_files: expected files that fit {file_pattern!r}. Received: none")
    found = Dataset.from_tensor_slices(StringTensor(files))
    return found if shuffle is False else found.shuffle(len(files), seed)


def TextLineDataset(filenames, compression_type=None, buffer_size=None, num_parallel_reads=None, name=None):
    """The lines of text files, one file after the other.

    Args:
        filenames: a path, or several.
        compression_type: None or "GZIP".
    """
    import gzip

    names = filenames
    if isinstance(names, Dataset):
        names = [bytes(n).decode() for n in names.as_numpy_iterator()]
    names = StringTensor(names).values.reshape(-1)
    opener = gzip.open if compression_type == "GZIP" else open

    def iterate():
        for path in names:
            with opener(path.decode(), "rb") as file:
                for line in file:
                    yield StringTensor(line.rstrip(b"\r\n"))

    from rkeras.tf.dtypes import string

    return Dataset(iterate, spec=lambda: TensorSpec((), string))


def sample(datasets, weights, seed, stop_on_empty):
    """See `Dataset.sample_from_datasets`."""
    datasets, seed = list(datasets), _seed(seed)
    weights = np.ones(len(datasets)) if weights is None else np.asarray(weights, "float64")

    def iterate():
        rng = np.random.default_rng(seed)
        sources, w = [d._elements() for d in datasets], weights.copy()
        while w.sum() > 0:
            i = int(rng.choice(len(sources), p=w / w.sum()))
            try:
                element = next(sources[i])
            except StopIteration:
                if stop_on_empty:
                    return
                w[i] = 0
                continue
            yield element

    return Dataset(iterate, spec=lambda: datasets[0].element_spec)
