"""Sequences; see `rkeras.utils`."""

from rkeras._training.data import PyDataset as _PyDataset
from rkeras.utils.arrays import pad_sequences as pad_sequences


class TimeseriesGenerator(_PyDataset):
    """Batches of windows over a series and the targets that follow them (of tf.keras 2).

    Args:
        data: array whose first axis is time.
        targets: array of equally many targets.
        length: moments before a target that its window reaches back.
        sampling_rate: moments between those of a window.
        stride: moments between windows.
        start_index, end_index: the part of the series that is used.
        shuffle: draw windows at random.
        reverse: the latest moment first.
        batch_size: windows per batch.

    Example:
        >>> x, y = keras.preprocessing.sequence.TimeseriesGenerator(np.arange(6), np.arange(6), 3, batch_size=2)[0]
        >>> x.tolist(), y.tolist()
        ([[0, 1, 2], [1, 2, 3]], [3, 4])
    """

    def __init__(
        self, data, targets, length, sampling_rate=1, stride=1, start_index=0, end_index=None, shuffle=False, reverse=False,
        batch_size=128,
    ):  # fmt: skip
        super().__init__()
        import numpy as np

        if len(data) != len(targets):
            raise ValueError(
                f"TimeseriesGenerator: expected equally many data and targets. Received: {len(data)} and {len(targets)}"
            )
        self.data, self.targets = np.asarray(data), np.asarray(targets)
        self.length, self.sampling_rate, self.stride = length, sampling_rate, stride
        self.start_index, self.end_index = (
            start_index + length,
            len(data) - 1 if end_index is None else end_index,
        )
        self.shuffle, self.reverse, self.batch_size = shuffle, reverse, batch_size
        if self.start_index > self.end_index:
            raise ValueError(
                f"TimeseriesGenerator: expected windows of at most {self.end_index - start_index} moments. Received: {length}"
            )

    def __len__(self):
        return -(-(self.end_index - self.start_index + 1) // (self.batch_size * self.stride))

    def __getitem__(self, index):
        import numpy as np

        if self.shuffle:
            rows = np.random.randint(self.start_index, self.end_index + 1, size=self.batch_size)
        else:
            first = self.start_index + self.batch_size * self.stride * index
            rows = np.arange(
                first, min(first + self.batch_size * self.stride, self.end_index + 1), self.stride
            )
        windows = np.array([self.data[r - self.length : r : self.sampling_rate] for r in rows])
        return windows[:, ::-1] if self.reverse else windows, self.targets[rows]
