"""Layers of several inputs: sums, products, joins."""

from rkeras import ops
from rkeras.layers.input_spec import who
from rkeras.layers.layer import Layer


class Merge(Layer):
    """What layers that combine inputs element by element share."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def _merge_function(self, inputs):
        raise NotImplementedError

    def build(self, input_shape):
        """Checks that the shapes fit together."""
        if (
            not isinstance(input_shape, (list, tuple))
            or not input_shape
            or not isinstance(input_shape[0], (list, tuple))
        ):
            raise ValueError(f"{who(self)}: expected a list of inputs. Received: input shape {input_shape}")
        if len(input_shape) < 1:
            raise ValueError(f"{who(self)}: expected at least one input. Received: none")
        batches = {s[0] for s in input_shape if s} - {None}
        if len(batches) > 1:
            raise ValueError(
                f"{who(self)}: expected inputs of the same batch size. Received: {sorted(batches)}"
            )
        rest = [s[1:] for s in input_shape]
        sizes = list(rest[0])
        for other in rest[1:]:
            longer, shorter = (sizes, list(other)) if len(sizes) >= len(other) else (list(other), sizes)
            shift = len(longer) - len(shorter)
            for i, d in enumerate(shorter):
                e = longer[shift + i]
                if e is None or d is None:
                    longer[shift + i] = (
                        None if e in (None, 1) and d in (None, 1) else max(e or 0, d or 0) or None
                    )
                elif e != d and 1 not in (e, d):
                    raise ValueError(
                        f"{who(self)}: expected inputs whose shapes broadcast. Received: "
                        f"{[tuple(s) for s in input_shape]}"
                    )
                else:
                    longer[shift + i] = max(e, d)
            sizes = longer

    def call(self, inputs):
        """The combination of the inputs."""
        if not isinstance(inputs, (list, tuple)):
            raise ValueError(f"{who(self)}: expected a list of inputs. Received: {type(inputs).__name__}")
        rank = max(len(x.shape) for x in inputs)
        # Axes of size 1 come after the batch.
        aligned = []
        for x in inputs:
            for _ in range(rank - len(x.shape)):
                x = ops.expand_dims(x, 1)
            aligned.append(x)
        return self._merge_function(aligned)

    def compute_mask(self, inputs, mask=None):
        """True where all masks are."""
        if mask is None:
            return None
        masks = [m for m in mask if m is not None]
        if not masks:
            return None
        result = masks[0]
        for m in masks[1:]:
            result = ops.logical_and(result, m)
        return result


class Add(Merge):
    """The sum of the inputs.

    Example:
        >>> keras.layers.Add()([keras.ops.ones((2,)), keras.ops.ones((2,))]).numpy().tolist()
        [2.0, 2.0]
    """

    def _merge_function(self, inputs):
        total = inputs[0]
        for x in inputs[1:]:
            total = ops.add(total, x)
        return total


class Subtract(Merge):
    """The first input minus the second."""

    def build(self, input_shape):
        """Checks that there are two inputs."""
        super().build(input_shape)
        if len(input_shape) != 2:
            raise ValueError(f"{who(self)}: expected 2 inputs. Received: {len(input_shape)}")

    def _merge_function(self, inputs):
        if len(inputs) != 2:
            raise ValueError(f"{who(self)}: expected 2 inputs. Received: {len(inputs)}")
        return ops.subtract(inputs[0], inputs[1])


class Multiply(Merge):
    """The product of the inputs."""

    def _merge_function(self, inputs):
        product = inputs[0]
        for x in inputs[1:]:
            product = ops.multiply(product, x)
        return product


class Average(Merge):
    """The mean of the inputs."""

    def _merge_function(self, inputs):
        total = inputs[0]
        for x in inputs[1:]:
            total = ops.add(total, x)
        return ops.divide(total, len(inputs))


class Maximum(Merge):
    """The largest of the inputs, element by element."""

    def _merge_function(self, inputs):
        largest = inputs[0]
        for x in inputs[1:]:
            largest = ops.maximum(largest, x)
        return largest


class Minimum(Merge):
    """The smallest of the inputs, element by element."""

    def _merge_function(self, inputs):
        smallest = inputs[0]
        for x in inputs[1:]:
            smallest = ops.minimum(smallest, x)
        return smallest


class Concatenate(Merge):
    """The inputs one after the other along an axis.

    Args:
        axis: the axis.

    Example:
        >>> keras.layers.Concatenate()([keras.ops.ones((2, 1)), keras.ops.ones((2, 3))]).shape
        (2, 4)
    """

    def __init__(self, axis=-1, **kwargs):
        super().__init__(**kwargs)
        self.axis = axis

    def build(self, input_shape):
        """Checks that the shapes agree but for the axis."""
        if (
            not isinstance(input_shape, (list, tuple))
            or not input_shape
            or not isinstance(input_shape[0], (list, tuple))
        ):
            raise ValueError(f"{who(self)}: expected a list of inputs. Received: input shape {input_shape}")
        shapes = [tuple(s) for s in input_shape]
        ranks = {len(s) for s in shapes}
        if len(ranks) != 1:
            raise ValueError(f"{who(self)}: expected inputs of the same rank. Received: {shapes}")
        rank = ranks.pop()
        if not -rank <= self.axis < rank:
            raise ValueError(f"{who(self)}: expected an axis of rank {rank}. Received: axis={self.axis}")
        for i in range(rank):
            if i != self.axis % rank and len({s[i] for s in shapes} - {None}) > 1:
                raise ValueError(
                    f"{who(self)}: expected inputs whose shapes differ along axis {self.axis} only. "
                    f"Received: {shapes}"
                )

    def call(self, inputs):
        """The joined inputs."""
        if not isinstance(inputs, (list, tuple)):
            raise ValueError(f"{who(self)}: expected a list of inputs. Received: {type(inputs).__name__}")
        return ops.concatenate(list(inputs), axis=self.axis)

    def compute_mask(self, inputs, mask=None):
        """The joined masks; True for inputs without one."""
        if mask is None or all(m is None for m in mask):
            return None
        rank = len(inputs[0].shape)
        parts = []
        for x, m in zip(inputs, mask, strict=True):
            if m is None:
                m = ops.ones_like(x, dtype="bool")
            else:
                while len(m.shape) < rank:
                    m = ops.expand_dims(m, -1)
                m = ops.logical_and(m, ops.ones_like(x, dtype="bool"))
            parts.append(m)
        return ops.any(ops.concatenate(parts, axis=self.axis), axis=-1)


class Dot(Merge):
    """The sum product of two inputs over an axis of each, per example.

    Args:
        axes: an axis, or one for each input.
        normalize: whether both are brought to norm 1 first (which gives the cosine).

    Example:
        >>> keras.layers.Dot(axes=1)([keras.ops.ones((2, 3)), keras.ops.ones((2, 3))]).numpy().tolist()
        [[3.0], [3.0]]
    """

    def __init__(self, axes, normalize=False, **kwargs):
        super().__init__(**kwargs)
        pair = isinstance(axes, (list, tuple)) and len(axes) == 2 and all(isinstance(a, int) for a in axes)
        if not isinstance(axes, int) and not pair:
            raise TypeError(f"Dot: expected axes as an integer or two. Received: {axes!r}")
        self.axes = axes
        self.normalize = normalize

    def build(self, input_shape):
        """Checks that there are two inputs whose axes have the same size."""
        if not isinstance(input_shape, (list, tuple)) or len(input_shape) != 2:
            raise ValueError(f"{who(self)}: expected 2 inputs. Received: input shape {input_shape}")
        a, b = self._axes_of(*input_shape)
        if None not in (input_shape[0][a], input_shape[1][b]) and input_shape[0][a] != input_shape[1][b]:
            raise ValueError(
                f"{who(self)}: expected the same size along axes {self.axes}. Received: {input_shape}"
            )

    def _axes_of(self, shape1, shape2):
        a, b = (self.axes, self.axes) if isinstance(self.axes, int) else self.axes
        return a % len(shape1), b % len(shape2)

    def call(self, inputs):
        """The products."""
        x, y = inputs
        a, b = self._axes_of(x.shape, y.shape)
        if self.normalize:
            x, y = ops.normalize(x, axis=a), ops.normalize(y, axis=b)
        x = ops.moveaxis(x, a, -1)
        y = ops.moveaxis(y, b, 1)
        flat_x, flat_y = len(x.shape) == 2, len(y.shape) == 2
        letters = "cdefghij"
        left = letters[: len(x.shape) - 2]
        right = letters[len(left) : len(left) + len(y.shape) - 2]
        z = ops.einsum(f"a{left}b,ab{right}->a{left}{right}", x, y)
        return ops.expand_dims(z, -1) if flat_x and flat_y else z

    def compute_mask(self, inputs, mask=None):
        """No mask is left."""
        return None


def add(inputs, **kwargs):
    """The sum of the inputs; see `Add`."""
    return Add(**kwargs)(inputs)


def subtract(inputs, **kwargs):
    """The first input minus the second; see `Subtract`."""
    return Subtract(**kwargs)(inputs)


def multiply(inputs, **kwargs):
    """The product of the inputs; see `Multiply`."""
    return Multiply(**kwargs)(inputs)


def average(inputs, **kwargs):
    """The mean of the inputs; see `Average`."""
    return Average(**kwargs)(inputs)


def maximum(inputs, **kwargs):
    """The largest of the inputs; see `Maximum`."""
    return Maximum(**kwargs)(inputs)


def minimum(inputs, **kwargs):
    """The smallest of the inputs; see `Minimum`."""
    return Minimum(**kwargs)(inputs)


def concatenate(inputs, axis=-1, **kwargs):
    """The inputs one after the other along an axis; see `Concatenate`."""
    return Concatenate(axis=axis, **kwargs)(inputs)


def dot(inputs, axes=-1, **kwargs):
    """The sum product of two inputs; see `Dot`."""
    return Dot(axes=axes, **kwargs)(inputs)
