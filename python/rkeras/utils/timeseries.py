"""Windows over time series, and parts of data sets."""

import numpy as np


def timeseries_dataset_from_array(
    data, targets, sequence_length, sequence_stride=1, sampling_rate=1, batch_size=128, shuffle=False, seed=None,
    start_index=None, end_index=None, format="tf",
):  # fmt: skip
    """A data set of windows over a series.

    Window k holds data[k s], data[k s + r] ... (`sequence_length` of them; s the stride, r the sampling rate) and the
    target targets[k s].

    Args:
        data: array whose first axis is time.
        targets: array of a target per window start, or None.
        sequence_length: moments per window.
        sequence_stride: moments between the starts of windows.
        sampling_rate: moments between those of a window.
        batch_size: windows per batch; None for single windows.
        shuffle, seed: whether they come in random order.
        start_index, end_index: the part of the series that is used.
        format: "tf".

    Returns:
        A `tf.data.Dataset` of windows, or of (windows, targets).

    Raises:
        ValueError: for numbers out of range.

    Example:
        >>> data = keras.utils.timeseries_dataset_from_array(np.arange(6), None, sequence_length=3)
        >>> next(iter(data)).numpy().tolist()
        [[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5]]
    """
    from rkeras.tf.data import Dataset  # upward on purpose: data sets are those of `rkeras.tf`

    who = "timeseries_dataset_from_array"
    data = np.asarray(data)
    if format != "tf":
        raise ValueError(f'{who}: expected format "tf". Received: {format!r}')
    for name, value in (
        ("sequence_length", sequence_length), ("sequence_stride", sequence_stride), ("sampling_rate", sampling_rate)
    ):  # fmt: skip
        if not 1 <= value < max(len(data), 2):
            raise ValueError(
                f"{who}: expected {name} from 1 to below {len(data)}, the length of the data. Received: {value}"
            )
    for name, value in (("start_index", start_index), ("end_index", end_index)):
        if value is not None and (value < 0 or (name == "start_index" and value >= len(data))):
            raise ValueError(f"{who}: expected {name} within the data. Received: {value}")
    start, end = start_index or 0, len(data) if end_index is None else end_index
    if start_index and end_index is not None and end_index <= start_index:
        raise ValueError(
            f"{who}: expected start_index below end_index. Received: {start_index} and {end_index}"
        )
    last = end - start - (sequence_length - 1) * sampling_rate
    if targets is not None:
        last = min(last, len(targets))
        targets = np.asarray(targets)
    starts = np.arange(0, max(last, 0), sequence_stride)
    if shuffle:
        np.random.RandomState(np.random.randint(10**6) if seed is None else seed).shuffle(starts)
    steps = np.arange(sequence_length) * sampling_rate
    size = 1 if batch_size is None else int(batch_size)

    def batches():
        for i in range(0, len(starts), size):
            chosen = starts[i : i + size]
            windows = data[start + chosen[:, None] + steps]
            yield (
                windows
                if targets is None
                else (windows, targets[start + chosen] if start else targets[chosen])
            )

    found = Dataset(batches, -(-len(starts) // size))
    return found.unbatch()._with_cardinality(len(starts)) if batch_size is None else found


def split_dataset(dataset, left_size=None, right_size=None, shuffle=False, seed=None, preferred_backend=None):
    """Two parts of a data set.

    Args:
        dataset: a `tf.data.Dataset`, or arrays (nested) of equally many rows, or a list of elements.
        left_size, right_size: numbers of elements, or fractions; one may be None.
        shuffle, seed: whether elements are mixed first.
        preferred_backend: accepted for compatibility.

    Returns:
        A pair of `tf.data.Dataset`.

    Raises:
        ValueError: for sizes that do not fit.

    Example:
        >>> left, right = keras.utils.split_dataset(np.arange(10), left_size=0.8)
        >>> int(left.cardinality()), int(right.cardinality())
        (8, 2)
    """
    from rkeras.tf.data import Dataset  # upward on purpose: data sets are those of `rkeras.tf`

    if left_size is None and right_size is None:
        raise ValueError("split_dataset: expected left_size or right_size. Received: neither")
    if not isinstance(dataset, Dataset):
        dataset = Dataset.from_tensor_slices(tuple(dataset) if isinstance(dataset, tuple) else dataset)
    elements = list(dataset._elements())
    total = len(elements)
    if shuffle:
        order = np.random.RandomState(np.random.randint(10**6) if seed is None else seed).permutation(total)
        elements = [elements[i] for i in order]

    def count(name, size):
        if size is None:
            return None
        if isinstance(size, bool) or not isinstance(size, (int, float)):
            raise TypeError(f"split_dataset: expected {name} as a number. Received: {size!r}")
        if (
            not size > 0
            or (isinstance(size, float) and size >= 1)
            or (isinstance(size, int) and size >= total)
        ):
            raise ValueError(
                f"split_dataset: expected {name} below {total} or a fraction in (0, 1). Received: {size}"
            )
        return size if isinstance(size, int) else round(size * total)

    left, right = count("left_size", left_size), count("right_size", right_size)
    left = total - right if left is None else left
    right = total - left if right is None else right
    if left + right > total:
        raise ValueError(
            f"split_dataset: expected sizes that add up to {total} at most. Received: {left} and {right}"
        )
    if not left or not right:
        raise ValueError(
            f"split_dataset: expected elements on both sides. Received: {left} and {right} of {total}"
        )

    def part(items):
        return Dataset(lambda: iter(items), len(items), dataset._spec)

    return part(elements[:left]), part(elements[total - right :])
