"""What user's functions do to data sets: map, filter, interleave, scan, window."""

import itertools

import numpy as np

from rkeras import ops
from rkeras._training.function import TracedFunction
from rkeras.tf.data import elements as E
from rkeras.tf.data.dataset import UNKNOWN_CARDINALITY, Dataset


def _traced(function):
    """The user's function on parts of an element, compiled where it can be; text goes around compilation."""
    if isinstance(function, TracedFunction):
        return function
    return TracedFunction(function, name=getattr(function, "__name__", "map"), quiet=True)


def _call(traced, element):
    """The function of an element; tuples are passed as several arguments."""
    element = E.map_parts(E.to_tensor, element)
    return traced(*element) if type(element) is tuple else traced(element)


def _checked(result):
    """The parts as arrays; lists stand for tensors."""
    if result is None:
        raise TypeError("Dataset.map: expected the function to return tensors. Received: None")
    return E.map_parts(lambda p: p if isinstance(p, Dataset) else E.to_array(p), result)


def map(dataset, function):
    """See `Dataset.map`."""
    traced = _traced(function)
    return Dataset(lambda: (_checked(_call(traced, e)) for e in dataset._elements()), dataset._cardinality)


def filter(dataset, predicate):
    """See `Dataset.filter`."""
    traced = _traced(predicate)

    def iterate():
        for e in dataset._elements():
            if bool(np.asarray(ops.convert_to_tensor(_call(traced, e)))):
                yield e

    return Dataset(iterate, UNKNOWN_CARDINALITY, lambda: dataset.element_spec)


def take_while(dataset, predicate):
    """See `Dataset.take_while`."""
    traced = _traced(predicate)
    return Dataset(
        lambda: itertools.takewhile(
            lambda e: bool(np.asarray(ops.convert_to_tensor(_call(traced, e)))), dataset._elements()
        ),
        UNKNOWN_CARDINALITY,
        lambda: dataset.element_spec,
    )


def interleave(dataset, function, cycle_length, block_length):
    """See `Dataset.interleave`."""
    cycle = 1 if cycle_length is None else max(int(cycle_length), 1)
    block = 1 if block_length is None else int(block_length)

    def open_next(sources):
        for element in sources:
            element = E.map_parts(E.to_tensor, element)
            inner = function(*element) if type(element) is tuple else function(element)
            if not isinstance(inner, Dataset):
                raise TypeError(
                    f"Dataset.interleave: expected a Dataset from the function. Received: {type(inner).__name__}"
                )
            return inner._elements()
        return None

    def iterate():
        sources = dataset._elements()
        slots = [open_next(sources) for _ in range(cycle)]
        at = 0
        while any(s is not None for s in slots):
            if slots[at] is not None:
                for _ in range(block):
                    try:
                        element = next(slots[at])
                    except StopIteration:
                        slots[at] = open_next(sources)
                        break
                    yield element
            at = (at + 1) % cycle

    return Dataset(iterate)


def scan(dataset, initial_state, function):
    """See `Dataset.scan`."""

    def iterate():
        state = E.map_parts(lambda p: E.to_tensor(E.to_array(p)), initial_state)
        for element in dataset:
            state, out = function(state, element)
            yield _checked(out)

    return Dataset(iterate, dataset._cardinality)


def window(dataset, size, shift, stride, drop_remainder):
    """See `Dataset.window`."""
    size, stride = int(size), int(stride)
    shift = size if shift is None else int(shift)
    if min(size, shift, stride) < 1:
        raise ValueError(
            f"Dataset.window: expected positive numbers. Received: size={size}, shift={shift}, stride={stride}"
        )
    reach = (size - 1) * stride + 1

    def iterate():
        items, buffer = dataset._elements(), []
        while True:
            buffer.extend(itertools.islice(items, max(0, reach - len(buffer))))
            if not buffer or (drop_remainder and len(buffer) < reach):
                return
            yield _window_of(buffer[:reach:stride])
            if len(buffer) >= shift:
                del buffer[:shift]
            else:
                gap = shift - len(buffer)
                buffer.clear()
                next(itertools.islice(items, gap - 1, gap), None)

    n = dataset._cardinality
    if n >= 0:
        n = max(0, (n - reach) // shift + 1) if drop_remainder else -(-n // shift)
    return Dataset(iterate, n)


def _window_of(items):
    """A window: a structure of data sets, one per part."""
    columns = list(zip(*(E.parts(e) for e in items), strict=True))
    return E.like(items[0], [_column(list(c)) for c in columns])


def _column(values):
    spec = E.spec_of(values[0])
    return Dataset(lambda: iter(values), len(values), lambda: spec)
