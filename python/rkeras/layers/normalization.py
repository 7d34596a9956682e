"""Normalisation over the batch, over features, by the root of the mean square."""

from rkeras import constraints, initializers, ops, regularizers
from rkeras.layers.input_spec import InputSpec, who
from rkeras.layers.layer import Layer
from rkeras.ops.normalization import batch_moments_and_norm


class BatchNormalization(Layer):
    """gamma (x - mean) / sqrt(variance + epsilon) + beta, per channel.

    In training mean and variance are those of the batch, and running averages of them are kept:
    moving = moving momentum + batch (1 - momentum). Otherwise the running averages are used.

    Args:
        axis: the axis of channels.
        momentum: of the running averages.
        epsilon: added to the variance.
        center: whether beta is added.
        scale: whether gamma multiplies.
        beta_initializer, gamma_initializer: the first values.
        moving_mean_initializer, moving_variance_initializer: the first running averages.
        beta_regularizer, gamma_regularizer: penalties.
        beta_constraint, gamma_constraint: what they are brought back to after updates.
        renorm, renorm_clipping, renorm_momentum: renorm has to be False.
        synchronized: accepted for compatibility (one device).

    Example:
        >>> keras.layers.BatchNormalization()(keras.ops.ones((2, 3)), training=True).numpy().tolist()
        [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]

    Source: Ioffe and Szegedy, 2015.
    """

    def __init__(
        self, axis=-1, momentum=0.99, epsilon=1e-3, center=True, scale=True, beta_initializer="zeros",
        gamma_initializer="ones", moving_mean_initializer="zeros", moving_variance_initializer="ones",
        beta_regularizer=None, gamma_regularizer=None, beta_constraint=None, gamma_constraint=None,
        renorm=False,
        renorm_clipping=None, renorm_momentum=0.99, synchronized=False, **kwargs,
    ):  # fmt: skip
        super().__init__(**kwargs)
        if renorm:
            raise NotImplementedError("BatchNormalization: expected renorm=False. Received: True")
        if not isinstance(axis, int):
            raise TypeError(f"BatchNormalization: expected axis as an integer. Received: {axis!r}")
        self.axis = axis
        self.momentum = float(momentum)
        self.epsilon = float(epsilon)
        self.center = center
        self.scale = scale
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.beta_constraint = constraints.get(beta_constraint)
        self.gamma_constraint = constraints.get(gamma_constraint)
        self.renorm = False
        self.renorm_clipping = renorm_clipping
        self.renorm_momentum = renorm_momentum
        self.synchronized = synchronized
        self.supports_masking = True

    def build(self, input_shape):
        """Makes gamma, beta and the running averages, all of the size of the axis."""
        rank = len(input_shape)
        if not -rank <= self.axis < rank or input_shape[self.axis] is None:
            raise ValueError(
                f"{who(self)}: expected a known size along axis {self.axis}. Received: input shape "
                f"{tuple(input_shape)}"
            )
        n = input_shape[self.axis]
        self.gamma = self.beta = None
        if self.scale:
            self.gamma = self.add_weight(
                (n,), self.gamma_initializer, regularizer=self.gamma_regularizer,
                constraint=self.gamma_constraint,
                autocast=False, name="gamma",
            )  # fmt: skip
        if self.center:
            self.beta = self.add_weight(
                (n,), self.beta_initializer, regularizer=self.beta_regularizer,
                constraint=self.beta_constraint,
                autocast=False, name="beta",
            )  # fmt: skip
        self.moving_mean = self.add_weight(
            (n,), self.moving_mean_initializer, trainable=False, autocast=False, name="moving_mean"
        )
        self.moving_variance = self.add_weight(
            (n,), self.moving_variance_initializer, trainable=False, autocast=False, name="moving_variance"
        )
        self.input_spec = InputSpec(ndim=rank, axes={self.axis: n})
        self._reduction_axes = [a for a in range(rank) if a != self.axis % rank]

    def call(self, inputs, training=None, mask=None):
        """The normalised inputs; in training the running averages move."""
        if mask is not None and len(mask.shape) != len(inputs.shape) - 1:
            raise ValueError(
                f"{who(self)}: expected a mask of one axis less than the input. Received: {mask.shape}"
            )
        dtype = inputs.dtype
        # Moments of half precision would overflow.
        x = ops.cast(inputs, "float32") if dtype in ("float16", "bfloat16") else inputs
        if not (training and self.trainable):
            y = ops.batch_normalization(
                x, self.moving_mean, self.moving_variance, self.axis, self.beta, self.gamma, self.epsilon
            )
            return ops.cast(y, self.compute_dtype)
        if mask is None:
            y, mean, variance = batch_moments_and_norm(x, self.axis, self.beta, self.gamma, self.epsilon)
        else:
            mean, variance = self._masked_moments(x, mask)
            y = ops.batch_normalization(x, mean, variance, self.axis, self.beta, self.gamma, self.epsilon)
        for moving, now in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + ops.cast(now, moving.dtype) * (1.0 - self.momentum))
        return ops.cast(y, self.compute_dtype)

    def _masked_moments(self, x, mask):
        # Only the elements that the mask keeps count.
        weights = ops.expand_dims(ops.cast(mask, x.dtype), -1)
        axes = self._reduction_axes
        total = ops.sum(weights * ops.ones_like(x[..., :1]), axis=axes)
        mean = ops.sum(x * weights, axis=axes) / (total + 1e-7)
        shape = [1] * len(x.shape)
        shape[self.axis] = -1
        deviation = ops.square(x - ops.reshape(mean, shape)) * weights
        return mean, ops.sum(deviation, axis=axes) / (total + 1e-7)


class LayerNormalization(Layer):
    """gamma (x - mean) / sqrt(variance + epsilon) + beta, mean and variance over the axes of each example.

    Args:
        axis: an axis or several.
        epsilon: added to the variance.
        center: whether beta is added.
        scale: whether gamma multiplies.
        beta_initializer, gamma_initializer: the first values.
        beta_regularizer, gamma_regularizer: penalties.
        beta_constraint, gamma_constraint: what they are brought back to after updates.

    Example:
        >>> x = keras.ops.convert_to_tensor([[0.0, 2.0]])
        >>> keras.layers.LayerNormalization()(x).numpy().astype(float).round(2).tolist()
        [[-1.0, 1.0]]

    Source: Ba et al., 2016.
    """

    def __init__(
        self, axis=-1, epsilon=1e-3, center=True, scale=True, beta_initializer="zeros",
        gamma_initializer="ones",
        beta_regularizer=None, gamma_regularizer=None, beta_constraint=None, gamma_constraint=None, **kwargs,
    ):  # fmt: skip
        rms_scaling = kwargs.pop("rms_scaling", False)
        super().__init__(**kwargs)
        self.rms_scaling = rms_scaling
        if isinstance(axis, (list, tuple)):
            self.axis = list(axis)
        elif isinstance(axis, int):
            self.axis = axis
        else:
            raise TypeError(f"LayerNormalization: expected axis as an integer or several. Received: {axis!r}")
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

    def build(self, input_shape):
        """Makes gamma and beta of the sizes of the axes."""
        self.axis = self.axis if isinstance(self.axis, list) else [self.axis]
        shape = tuple(input_shape[a] for a in self.axis)
        self.gamma = self.beta = None
        if self.scale:
            self.gamma = self.add_weight(
                shape, self.gamma_initializer, regularizer=self.gamma_regularizer,
                constraint=self.gamma_constraint,
                autocast=False, name="gamma",
            )  # fmt: skip
        if self.center:
            self.beta = self.add_weight(
                shape, self.beta_initializer, regularizer=self.beta_regularizer,
                constraint=self.beta_constraint,
                autocast=False, name="beta",
            )  # fmt: skip

    def call(self, inputs):
        """The normalised inputs."""
        extra = {"rms_scaling": True} if self.rms_scaling else {}
        y = ops.layer_normalization(inputs, self.gamma, self.beta, self.axis, self.epsilon, **extra)
        return ops.cast(y, self.compute_dtype)

    def get_config(self):
        """What `from_config` needs."""
        return {**super().get_config(), "rms_scaling": self.rms_scaling}


class RMSNormalization(Layer):
    """scale x / sqrt(mean(x²) + epsilon), the mean over the axes of each example.

    Args:
        axis: an axis or several.
        epsilon: added to the mean square.

    Example:
        >>> x = keras.ops.convert_to_tensor([[3.0, 3.0]])
        >>> keras.layers.RMSNormalization()(x).numpy().astype(float).round(4).tolist()
        [[1.0, 1.0]]

    Source: Zhang and Sennrich, 2019.
    """

    def __init__(self, axis=-1, epsilon=1e-6, **kwargs):
        super().__init__(**kwargs)
        self.axis = axis
        self.epsilon = epsilon
        self.supports_masking = True

    def build(self, input_shape):
        """Makes scale, of the sizes of the axes."""
        axes = [self.axis] if isinstance(self.axis, int) else self.axis
        self.scale = self.add_weight(
            tuple(input_shape[a] for a in axes), "ones", autocast=False, name="scale"
        )

    def call(self, inputs):
        """The normalised inputs."""
        return ops.cast(
            ops.rms_normalization(inputs, self.scale, self.axis, self.epsilon), self.compute_dtype
        )


class UnitNormalization(Layer):
    """x divided by its norm over the axes.

    Args:
        axis: an axis or several.

    Example:
        >>> x = keras.ops.convert_to_tensor([[3.0, 4.0]])
        >>> keras.layers.UnitNormalization()(x).numpy().astype(float).round(4).tolist()
        [[0.6, 0.8]]
    """

    def __init__(self, axis=-1, **kwargs):
        super().__init__(**kwargs)
        if isinstance(axis, (list, tuple)):
            self.axis = list(axis)
        elif isinstance(axis, int):
            self.axis = axis
        else:
            raise TypeError(f"UnitNormalization: expected axis as an integer or several. Received: {axis!r}")
        self.supports_masking = True
        self.built = True

    def call(self, inputs):
        """The inputs with norm 1."""
        total = ops.sum(ops.square(inputs), axis=self.axis, keepdims=True)
        return inputs * ops.rsqrt(ops.maximum(total, 1e-12))
