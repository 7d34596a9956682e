"""Normalisation over groups of channels; kernels of norm one."""

from rkeras import constraints, initializers, ops, regularizers
from rkeras.layers.input_spec import InputSpec, who
from rkeras.layers.layer import Layer
from rkeras.layers.wrappers import Wrapper
from rkeras.ops.views import reshape


class GroupNormalization(Layer):
    """gamma (x - mean) / sqrt(variance + epsilon) + beta, mean and variance over a group of channels of an example.

    Args:
        groups: into how many groups the channels are cut; -1 for one channel each.
        axis: the axis of channels.
        epsilon: added to the variance.
        center: whether beta is added.
        scale: whether gamma multiplies.
        beta_initializer, gamma_initializer: the first values.
        beta_regularizer, gamma_regularizer: penalties.
        beta_constraint, gamma_constraint: what they are brought back to after updates.

    Raises:
        ValueError: if the groups do not divide the channels.

    Example:
        >>> keras.layers.GroupNormalization(groups=2)(keras.ops.ones((1, 3, 4))).numpy().max().item()
        0.0

    Source: Wu and He, 2018.
    """

    def __init__(
        self, groups=32, axis=-1, epsilon=1e-3, center=True, scale=True, beta_initializer="zeros",
        gamma_initializer="ones", beta_regularizer=None, gamma_regularizer=None, beta_constraint=None,
        gamma_constraint=None, **kwargs,
    ):  # fmt: skip
        if isinstance(groups, bool) or not isinstance(groups, int) or (groups <= 0 and groups != -1):
            raise ValueError(
                f"GroupNormalization: expected groups as a positive integer or -1. Received: {groups!r}"
            )
        super().__init__(**kwargs)
        self.groups = groups
        self.axis = axis
        self.epsilon = epsilon
        self.center = center
        self.scale = scale
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.beta_constraint = constraints.get(beta_constraint)
        self.gamma_constraint = constraints.get(gamma_constraint)
        self.supports_masking = True
        self.autocast = False

    def build(self, input_shape):
        """Makes gamma and beta, of the size of the axis."""
        n = input_shape[self.axis]
        if n is None:
            raise ValueError(
                f"{who(self)}: expected a known size along axis {self.axis}. Received: input shape "
                f"{tuple(input_shape)}"
            )
        if self.groups == -1:
            self.groups = n
        if n % self.groups:
            raise ValueError(
                f"{who(self)}: expected groups that divide {n} channels. Received: {self.groups}"
            )
        self.input_spec = InputSpec(ndim=len(input_shape), axes={self.axis: n})
        self.gamma = self.beta = None
        if self.scale:
            self.gamma = self.add_weight(
                (n,), self.gamma_initializer, regularizer=self.gamma_regularizer,
                constraint=self.gamma_constraint, autocast=False, name="gamma",
            )  # fmt: skip
        if self.center:
            self.beta = self.add_weight(
                (n,), self.beta_initializer, regularizer=self.beta_regularizer,
                constraint=self.beta_constraint, autocast=False, name="beta",
            )  # fmt: skip

    def call(self, inputs):
        """The normalised inputs."""
        shape = tuple(inputs.shape)
        axis = self.axis % len(shape)
        # Half precision would overflow.
        x = ops.cast(inputs, "float32") if inputs.dtype in ("float16", "bfloat16") else inputs
        size = shape[axis] // self.groups
        x = reshape(x, (*shape[:axis], self.groups, size, *shape[axis + 1 :]))
        axes = [a for a in range(1, len(shape) + 1) if a != axis]
        mean, variance = ops.moments(x, axes=axes, keepdims=True)
        factor = ops.rsqrt(variance + self.epsilon)
        over = [1] * len(shape)
        over[axis : axis + 1] = [self.groups, size]
        if self.gamma is not None:
            factor = factor * ops.cast(ops.reshape(self.gamma, over), x.dtype)
        shift = -mean * factor
        if self.beta is not None:
            shift = shift + ops.cast(ops.reshape(self.beta, over), x.dtype)
        return ops.cast(reshape(x * factor + shift, shape), self.compute_dtype)


class SpectralNormalization(Wrapper):
    """A layer whose kernel is divided by its largest singular value, as power iteration finds it, in training.

    Args:
        layer: the layer inside, with a kernel or embeddings.
        power_iterations: steps of the iteration per call.

    Raises:
        ValueError: for a layer without a kernel.

    Example:
        >>> layer = keras.layers.SpectralNormalization(keras.layers.Dense(2))
        >>> layer(keras.ops.ones((1, 3))).shape
        (1, 2)

    Source: Miyato et al., 2018.
    """

    def __init__(self, layer, power_iterations=1, **kwargs):
        super().__init__(layer, **kwargs)
        if power_iterations <= 0:
            raise ValueError(
                f"SpectralNormalization: expected power_iterations of at least 1. Received: {power_iterations!r}"
            )
        self.power_iterations = power_iterations

    def build(self, input_shape=None):
        """Builds the layer inside and makes the vector of the iteration."""
        super().build(input_shape)
        self.input_spec = InputSpec(min_ndim=1, axes={-1: input_shape[-1]})
        kernel = getattr(self.layer, "kernel", None)
        kernel = getattr(self.layer, "embeddings", None) if kernel is None else kernel
        if kernel is None:
            raise ValueError(
                f"{who(self)}: expected a layer with a kernel or embeddings. Received: "
                f"{type(self.layer).__name__}"
            )
        self.kernel = kernel
        self.vector_u = self.add_weight(
            (1, kernel.shape[-1]), initializers.TruncatedNormal(stddev=0.02), dtype=kernel.dtype,
            trainable=False, name="vector_u",
        )  # fmt: skip

    def call(self, inputs, training=False):
        """The outputs of the layer inside; in training its kernel is normalised first."""
        if training:
            u, kernel = self.normalized_weights()
            # A kernel of zeros stays as it is.
            empty = ops.all(ops.equal(self.kernel, 0.0))
            self.vector_u.assign(ops.where(empty, self.vector_u, u))
            self.kernel.assign(ops.where(empty, self.kernel, kernel))
        return ops.cast(self.layer(inputs), inputs.dtype)

    def normalized_weights(self):
        """The next vector of the iteration, and the kernel divided by the singular value."""
        weights = ops.reshape(self.kernel, (-1, self.kernel.shape[-1]))
        u = self.vector_u
        for _ in range(self.power_iterations):
            v = _unit(ops.matmul(u, ops.transpose(weights)))
            u = _unit(ops.matmul(v, weights))
        u, v = ops.stop_gradient(u), ops.stop_gradient(v)
        value = ops.matmul(ops.matmul(v, weights), ops.transpose(u))
        kernel = ops.reshape(self.kernel / value, self.kernel.shape)
        return ops.cast(u, self.vector_u.dtype), ops.cast(kernel, self.kernel.dtype)


def _unit(x):
    return x * ops.rsqrt(ops.maximum(ops.sum(ops.square(x)), 1e-12))
