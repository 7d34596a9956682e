"""The dense layer whose product is an Einstein sum."""

import re

from rkeras import activations, constraints, initializers, ops, regularizers
from rkeras.initializers import VarianceScaling
from rkeras.layers.input_spec import InputSpec, who
from rkeras.layers.layer import Layer
from rkeras.ops.views import reshape

# Input, kernel and output labels; dots at most on one side, and on the same one of input and output.
_FORM = re.compile(
    r"(?P<left>\.\.\.)?(?P<x>[a-zA-Z]+)(?P<right>\.\.\.)?,(?P<w>[a-zA-Z]+)->"
    r"(?P<left_y>\.\.\.)?(?P<y>[a-zA-Z]+)(?P<right_y>\.\.\.)?"
)


class EinsumDense(Layer):
    """activation(einsum(equation, x, W) + b).

    Args:
        equation: the labels, e.g. "abc,cd->abd"; "..." may stand for axes left or right of the labels.
        output_shape: sizes of the output without the batch (and without axes that dots stand for).
        activation: a function or its name; none if None.
        bias_axes: labels of the output that the bias has; no bias if None.
        kernel_initializer, bias_initializer: the first values of W and b.
        kernel_regularizer, bias_regularizer: penalties on them.
        kernel_constraint, bias_constraint: what they are brought back to after updates.
        lora_rank, lora_alpha, gptq_unpacked_column_size, quantization_config: only None.

    Raises:
        ValueError: for an equation of another form, and for sizes that contradict each other.

    Example:
        >>> layer = keras.layers.EinsumDense("abc,cd->abd", output_shape=(None, 4), bias_axes="d")
        >>> layer(keras.ops.ones((2, 5, 3))).shape
        (2, 5, 4)
    """

    _config_omit = (
        "output_shape",
        "lora_rank",
        "lora_alpha",
        "gptq_unpacked_column_size",
    )

    def __init__(
        self, equation, output_shape, activation=None, bias_axes=None, kernel_initializer="glorot_uniform",
        bias_initializer="zeros", kernel_regularizer=None, bias_regularizer=None, kernel_constraint=None,
        bias_constraint=None, lora_rank=None, lora_alpha=None, gptq_unpacked_column_size=None,
        quantization_config=None, **kwargs,
    ):  # fmt: skip
        super().__init__(**kwargs)
        if lora_rank is not None or gptq_unpacked_column_size is not None or quantization_config is not None:
            raise NotImplementedError(
                "EinsumDense: expected lora_rank, gptq_unpacked_column_size and quantization_config as None. "
                "Received: others"
            )
        self.equation = equation
        self.partial_output_shape = (output_shape,) if isinstance(output_shape, int) else tuple(output_shape)
        self.bias_axes = bias_axes
        self.activation = activations.get(activation)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.quantization_config = quantization_config

    def build(self, input_shape):
        """Makes kernel and bias; their sizes follow from equation, input and output shape."""
        x, w, y = self._labels(len(input_shape))
        sizes = dict(zip(x, input_shape, strict=True))
        for label, size in zip(y, self._output_sizes(x, y, input_shape), strict=True):
            known = sizes.setdefault(label, size)
            if size is not None and known is not None and size != known:
                raise ValueError(
                    f"{who(self)}: expected one size for axis {label!r} of {self.equation!r}. Received: {known} "
                    f"in the input and {size} in output_shape"
                )
        for label in w:
            if sizes.get(label) is None:
                raise ValueError(
                    f"{who(self)}: expected a known size for axis {label!r} of the kernel. Received: input shape "
                    f"{tuple(input_shape)}, output_shape {self.partial_output_shape}"
                )
        self.input_spec = InputSpec(ndim=len(input_shape))
        self.kernel = self.add_weight(
            tuple(sizes[label] for label in w), self._initializer(w, y),
            regularizer=self.kernel_regularizer, constraint=self.kernel_constraint, name="kernel",
        )  # fmt: skip
        self.bias = None
        if self.bias_axes is not None:
            self.bias = self.add_weight(
                self._bias_shape(y, sizes), self.bias_initializer, regularizer=self.bias_regularizer,
                constraint=self.bias_constraint, name="bias",
            )  # fmt: skip

    def _labels(self, rank):
        """The labels of input, kernel and output; tuples of an index for axes behind dots."""
        form = _FORM.fullmatch(self.equation.replace(" ", ""))
        if (
            form is None
            or bool(form["left"]) != bool(form["left_y"])
            or bool(form["right"]) != bool(form["right_y"])
            or (form["left"] and form["right"])
        ):
            raise ValueError(
                f"{who(self)}: expected an equation X,W->Y, ...X,W->...Y or X...,W->Y... . Received: {self.equation!r}"
            )
        dotted = bool(form["left"] or form["right"])
        hidden = [(i,) for i in range(rank - len(form["x"]))]
        if rank < len(form["x"]) or (hidden and not dotted):
            raise ValueError(
                f"{who(self)}: expected {len(form['x'])} axes as in {self.equation!r}. Received: {rank}"
            )
        before, after = (hidden, []) if form["left"] else ([], hidden)
        x, w, y = [*before, *form["x"], *after], list(form["w"]), [*before, *form["y"], *after]
        for label in y:
            if label not in x and label not in w:
                raise ValueError(
                    f"{who(self)}: expected axis {label!r} of the output in the input or the kernel. Received: "
                    f"{self.equation!r}"
                )
        for label in w:
            if label not in x and label not in y:
                raise ValueError(
                    f"{who(self)}: expected axis {label!r} of the kernel in the input or the output. Received: "
                    f"{self.equation!r}"
                )
        return x, w, y

    def _output_sizes(self, x, y, input_shape):
        """Sizes of the output: the batch and what dots stand for from the input, the others as given."""
        hidden = {label: size for label, size in zip(x, input_shape, strict=True) if isinstance(label, tuple)}
        given = [input_shape[0], *self.partial_output_shape]
        if y[0] in hidden:  # the batch is among the axes that dots stand for
            given = given[1:]
        given = iter(given)
        sizes = [hidden[label] if label in hidden else next(given, -1) for label in y]
        if -1 in sizes or next(given, -1) != -1:
            raise ValueError(
                f"{who(self)}: expected output_shape with the sizes of all axes of {self.equation!r} but the batch. "
                f"Received: {self.partial_output_shape}"
            )
        return sizes

    def _initializer(self, w, y):
        # The fans of the kernel follow from the equation.
        initializer = self.kernel_initializer
        if isinstance(initializer, VarianceScaling) and (
            initializer.input_axes is None or initializer.output_axes is None
        ):
            config = initializer.get_config()
            config["seed"] = initializer.seed
            config["input_axes"] = [i for i, label in enumerate(w) if label not in y]
            config["output_axes"] = [i for i, label in enumerate(w) if label in y]
            initializer = type(initializer).from_config(config)
        return initializer

    def _bias_shape(self, y, sizes):
        missing = [label for label in self.bias_axes if label not in y]
        if missing:
            raise ValueError(
                f"{who(self)}: expected bias_axes among the axes of the output of {self.equation!r}. Received: "
                f"{self.bias_axes!r}"
            )
        first = min(y.index(label) for label in self.bias_axes)
        return tuple(sizes[label] if label in tuple(self.bias_axes) else 1 for label in y[first:])

    def call(self, inputs, training=None):
        """activation(einsum(equation, inputs, W) + b)."""
        y = self._product(inputs)
        if y is None:
            y = ops.einsum(self.equation, inputs, self.kernel)
            if self.bias is not None:
                y = ops.add(y, self.bias)
        return self.activation(y)

    def _product(self, inputs):
        """The sum as one product of matrices with the bias added to its rows; None where it is not one."""
        x, w, y = self._labels(len(inputs.shape))
        summed = [label for label in w if label not in y]
        rest = w[len(summed) :]
        k = len(summed)
        free = x[: len(x) - k]
        if w[:k] != summed or x[len(x) - k :] != summed or y != free + rest or not k:
            return None
        if self.bias is not None and y[len(y) - len(self.bias.shape) :] != rest:
            return None
        shape = self.kernel.shape
        rows, columns = _size(shape[:k]), _size(shape[k:])
        if k > 1:
            inputs = reshape(inputs, (*inputs.shape[: len(free)], rows))
        kernel = reshape(self.kernel, (rows, columns)) if len(shape) > 2 else self.kernel
        z = ops.matmul(inputs, kernel)
        if self.bias is not None:
            z = ops.add(z, reshape(self.bias, (columns,)) if len(rest) > 1 else self.bias)
        return z if len(rest) == 1 else reshape(z, (*inputs.shape[: len(free)], *shape[k:]))

    def get_config(self):
        """What `from_config` needs."""
        config = super().get_config()
        regularizer = config.get("activity_regularizer")
        return {**config, "output_shape": self.partial_output_shape, "activity_regularizer": regularizer}


def _size(sizes):
    n = 1
    for d in sizes:
        n *= d
    return n
