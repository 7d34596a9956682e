"""Numbers into range, into bins, into rows of zeros and ones."""

import math

import numpy as np

from rkeras import config, ops
from rkeras._core.tensor import Tensor
from rkeras.layers.input_spec import who
from rkeras.layers.layer import Layer
from rkeras.ops.views import reshape


def _batches(data, layer):
    """The batches of what `adapt` is given: an array is one, a pair stands for its inputs."""
    if isinstance(data, (np.ndarray, Tensor)):
        yield np.asarray(data)
        return
    if not hasattr(data, "__iter__"):
        if not hasattr(data, "__getitem__") or not hasattr(data, "__len__"):
            raise TypeError(
                f"{who(layer)}: expected an array or batches for adapt. Received: {type(data).__name__}"
            )
        data = (data[i] for i in range(len(data)))
    for batch in data:
        yield np.asarray(batch[0] if isinstance(batch, tuple) else batch)


class Normalization(Layer):
    """(x - mean) / sqrt(variance), with mean and variance of data seen before.

    Args:
        axis: the axes that have a mean and variance of their own for every index; None for one pair in all.
        mean, variance: their values; found by `adapt` if None.
        invert: whether the way back is taken: x sqrt(variance) + mean.

    Raises:
        ValueError: if only one of mean and variance is given, or an axis has no known size.

    Example:
        >>> layer = keras.layers.Normalization(axis=None)
        >>> layer.adapt(np.array([1.0, 3.0], "float32"))
        >>> layer(np.array([1.0, 3.0], "float32")).numpy().tolist()
        [-1.0, 1.0]
    """

    def __init__(self, axis=-1, mean=None, variance=None, invert=False, **kwargs):
        super().__init__(**kwargs)
        self.axis = () if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
        if (mean is None) != (variance is None) or np.shape(mean) != np.shape(variance):
            raise ValueError(
                "Normalization: expected mean and variance of one shape, or neither. Received: "
                f"mean={mean}, variance={variance}"
            )
        if np.ndim(mean) > len(self.axis):
            raise ValueError(
                f"Normalization: expected a mean of at most {len(self.axis)} axes. Received: shape {np.shape(mean)}"
            )
        self.input_mean = mean
        self.input_variance = variance
        self.invert = invert
        self.supports_masking = True

    _config_omit = ("mean", "variance", "activity_regularizer")

    def build(self, input_shape):
        """Makes mean, variance and count where they are not given."""
        rank = len(input_shape)
        if any(not -rank <= a < rank for a in self.axis):
            raise ValueError(f"{who(self)}: expected axes in [{-rank}, {rank}). Received: axis={self.axis}")
        kept = sorted(a % rank for a in self.axis)
        if any(input_shape[a] is None for a in kept):
            raise ValueError(
                f"{who(self)}: expected known sizes along axis {self.axis}. Received: input shape {tuple(input_shape)}"
            )
        self._kept = tuple(kept)
        self._over = tuple(input_shape[a] if a in kept else 1 for a in range(rank))
        self._built_for = tuple(input_shape)
        if self.input_mean is None:
            shape = tuple(input_shape[a] for a in kept)
            self.adapt_mean = self.add_weight(shape, "zeros", trainable=False, name="mean")
            self.adapt_variance = self.add_weight(shape, "ones", trainable=False, name="variance")
            self.count = self.add_weight((), "zeros", dtype="int32", trainable=False, name="count")

    def adapt(self, data):
        """Finds mean and variance.

        Args:
            data: an array, or batches: a list, a generator, a dataset, a PyDataset.
        """
        if self.input_mean is not None:
            raise ValueError(f"{who(self)}: expected no mean of its own for adapt. Received: one was given")
        total = mean = variance = None
        for batch in _batches(data, self):
            if not self.built:
                self.build(batch.shape)
            shape = batch.shape
            if len(shape) != len(self._built_for) or any(shape[a] != self._built_for[a] for a in self._kept):
                raise ValueError(
                    f"{who(self)}: expected data like {self._built_for}. Received: a batch of shape {shape}"
                )
            axes = tuple(a for a in range(len(shape)) if a not in self._kept)
            n = math.prod(shape[a] for a in axes)
            batch = batch.astype("float64")
            m, v = batch.mean(axis=axes), batch.var(axis=axes)
            if total is None:
                total, mean, variance = n, m, v
                continue
            # The variance of both parts, and that of their means.
            share = n / (total + n)
            middle = mean * (1 - share) + m * share
            variance = (variance + (mean - middle) ** 2) * (1 - share) + (v + (m - middle) ** 2) * share
            total, mean = total + n, middle
        if total is None:
            raise ValueError(f"{who(self)}: expected at least one batch for adapt. Received: none")
        self.adapt_mean.assign(mean.astype("float32"))
        self.adapt_variance.assign(variance.astype("float32"))

    def _statistics(self):
        if self.input_mean is None:
            return (ops.reshape(v, self._over) for v in (self.adapt_mean, self.adapt_variance))
        shape = [1] * len(self._over)
        given = np.shape(self.input_mean)
        for i in range(1, len(given) + 1):
            shape[self._kept[-i]] = given[-i]
        return (np.asarray(v, "float32").reshape(shape) for v in (self.input_mean, self.input_variance))

    def call(self, inputs):
        """The normalised inputs."""
        mean, variance = (ops.cast(v, self.compute_dtype) for v in self._statistics())
        x = ops.cast(inputs, self.compute_dtype)
        deviation = ops.maximum(ops.sqrt(variance), config.epsilon())
        return x * deviation + mean if self.invert else (x - mean) / deviation

    def get_config(self):
        """What `from_config` needs."""
        given = {"mean": self.input_mean, "variance": self.input_variance}
        return {**super().get_config(), **{k: np.array(v).tolist() for k, v in given.items()}}


def encode(x, mode, depth, dtype, count_weights=None):
    """Integers as rows of `depth` numbers, by mode "one_hot", "multi_hot" or "count"."""
    x = ops.convert_to_tensor(x)
    if len(x.shape) == 0:
        x = ops.expand_dims(x, -1)
    x = ops.cast(x, "int32")
    if mode == "multi_hot":
        return ops.multi_hot(x, depth, dtype=dtype)
    if mode == "one_hot":
        if len(x.shape) > 1 and x.shape[-1] == 1:
            x = reshape(x, x.shape[:-1])
        return ops.one_hot(x, depth, dtype=dtype)
    rows = ops.one_hot(x, depth, dtype=dtype if count_weights is None else count_weights.dtype)
    if count_weights is not None:
        rows = rows * ops.expand_dims(count_weights, -1)
    return ops.sum(rows, axis=1 if len(x.shape) > 1 else 0)


def _dense_only(layer, sparse):
    if sparse:
        raise NotImplementedError(f"{type(layer).__name__}: expected sparse=False. Received: True")


class CategoryEncoding(Layer):
    """Integers as rows of zeros and ones, or of counts.

    Args:
        num_tokens: the number of classes, the last size of the output.
        output_mode: "one_hot" (a row per integer), "multi_hot" (a row per sample) or "count" (how often each is there).
        sparse: only False.

    Raises:
        ValueError: for another mode, or weights where nothing is counted.

    Example:
        >>> layer = keras.layers.CategoryEncoding(4)
        >>> layer(np.array([[0, 2], [3, 3]])).numpy().tolist()
        [[1.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
    """

    _config_omit = ("sparse", "activity_regularizer")

    def __init__(self, num_tokens=None, output_mode="multi_hot", sparse=False, **kwargs):
        super().__init__(**kwargs)
        _dense_only(self, sparse)
        output_mode = "multi_hot" if output_mode == "binary" else output_mode
        if output_mode not in ("count", "one_hot", "multi_hot"):
            raise ValueError(
                f'CategoryEncoding: expected output_mode "count", "one_hot" or "multi_hot". Received: {output_mode!r}'
            )
        if num_tokens is None or num_tokens < 1:
            raise ValueError(
                f"CategoryEncoding: expected num_tokens as a positive integer. Received: {num_tokens!r}"
            )
        self.num_tokens = num_tokens
        self.output_mode = output_mode
        self.sparse = sparse
        self._allow_non_tensor_positional_args = True
        self._convert_input_args = False

    def call(self, inputs, count_weights=None):
        """The rows."""
        if count_weights is not None:
            if self.output_mode != "count":
                raise ValueError(
                    f'{who(self)}: expected count_weights only with output_mode "count". Received: {self.output_mode!r}'
                )
            count_weights = ops.cast(ops.convert_to_tensor(count_weights), self.compute_dtype)
        return encode(inputs, self.output_mode, self.num_tokens, self.compute_dtype, count_weights)


class Discretization(Layer):
    """The number of the bin that each number falls into.

    Args:
        bin_boundaries: the boundaries between bins, in order; a boundary belongs to the bin above it.
        num_bins: how many bins `adapt` makes, each with as many numbers as the others.
        epsilon: how exactly `adapt` finds the boundaries, as a share of the data.
        output_mode: "int", or "one_hot", "multi_hot", "count" as in `CategoryEncoding`.
        sparse: only False.
        dtype: a dtype policy or its name.
        name: a name.

    Raises:
        ValueError: if not exactly one of bin_boundaries and num_bins is given.

    Example:
        >>> layer = keras.layers.Discretization(bin_boundaries=[0.0, 1.0, 2.0])
        >>> layer(np.array([-1.5, 1.0, 3.4])).numpy().tolist()
        [0, 2, 3]
    """

    def __init__(
        self, bin_boundaries=None, num_bins=None, epsilon=0.01, output_mode="int", sparse=False, dtype=None, name=None
    ):  # fmt: skip
        super().__init__(name=name, dtype=dtype)
        _dense_only(self, sparse)
        if output_mode not in ("int", "one_hot", "multi_hot", "count"):
            raise ValueError(
                f'Discretization: expected output_mode "int", "one_hot", "multi_hot" or "count". Received: {output_mode!r}'
            )
        if (num_bins is None) == (bin_boundaries is None) or (num_bins is not None and num_bins < 0):
            raise ValueError(
                "Discretization: expected either bin_boundaries or num_bins of at least 0. Received: "
                f"bin_boundaries={bin_boundaries}, num_bins={num_bins}"
            )
        self.bin_boundaries = bin_boundaries
        self.num_bins = num_bins
        self.epsilon = epsilon
        self.output_mode = output_mode
        self.sparse = sparse
        self.built = True

    def adapt(self, data, steps=None):
        """Finds the boundaries from the quantiles of data.

        Args:
            data: an array, or batches.
            steps: how many batches are looked at; all if None.
        """
        if self.num_bins is None:
            raise ValueError(
                f"{who(self)}: expected num_bins for adapt. Received: bin_boundaries, which are fixed"
            )
        summary = np.zeros((2, 0), "float32")
        for i, batch in enumerate(_batches(data, self)):
            if steps is not None and i >= steps:
                break
            both = np.concatenate([_summary(batch, self.epsilon), summary], axis=1)
            summary = _compressed(both[:, np.argsort(both[0])], self.epsilon)
        self.bin_boundaries = _compressed(summary, 1.0 / self.num_bins)[0, :-1].tolist()

    def call(self, inputs):
        """The numbers of the bins, or rows of them."""
        if self.bin_boundaries is None:
            raise ValueError(f"{who(self)}: expected bin_boundaries. Received: none. Hint: call adapt(data).")
        bins = ops.digitize(inputs, list(self.bin_boundaries))
        if self.output_mode == "int":
            return ops.cast(bins, "int32")
        return encode(bins, self.output_mode, len(self.bin_boundaries) + 1, self.compute_dtype)

    def get_config(self):
        """What `from_config` needs."""
        config = super().get_config()
        config.pop("trainable", None)
        return {**config, "dtype": self.dtype}

    @classmethod
    def from_config(cls, config):
        """The layer of that config; boundaries that adapt found come beside num_bins."""
        config = dict(config)
        found = config.pop("bin_boundaries") if config.get("num_bins") is not None else None
        layer = cls(**config)
        if found is not None:
            layer.bin_boundaries = found
        return layer


def _summary(values, epsilon):
    """Numbers at even steps through the sorted values, and how many each stands for."""
    values = np.sort(np.asarray(values, "float32").reshape(-1))
    step = max(len(values) * epsilon, 1)
    taken = values[int(step - 1) :: int(step)]
    return np.stack([taken, np.full_like(taken, step)])


def _compressed(summary, epsilon):
    """The summary at even steps of `epsilon` of its weight, by interpolation."""
    if summary.shape[1] * epsilon < 1:
        return summary
    at = epsilon + np.arange(0.0, 1.0, epsilon)
    weight = summary[1].cumsum()
    share = weight / weight[-1]
    weight_at = np.interp(at, share, weight)
    new = np.stack([np.interp(at, share, summary[0]), np.diff(weight_at, prepend=0.0)])
    return new.astype("float32")
