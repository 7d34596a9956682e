"""Attention of many heads."""

import string

from rkeras import constraints, initializers, ops, random, regularizers
from rkeras._core.tensor import get_keras_mask, set_keras_mask
from rkeras.layers.activation import Softmax
from rkeras.layers.attention import attention_mask_of, causal_mask
from rkeras.layers.einsum_dense import EinsumDense
from rkeras.layers.input_spec import who
from rkeras.layers.layer import Layer, config_value
from rkeras.layers.regularization import Dropout
from rkeras.ops.normalization import fused_attention


class unmasked:
    """A context in which tensors have no mask: the projections inside need not hand masks on."""

    def __init__(self, *tensors):
        self._masks = {id(t): (t, get_keras_mask(t)) for t in tensors if t is not None}

    def __enter__(self):
        for t, mask in self._masks.values():
            if mask is not None:
                set_keras_mask(t, None)

    def __exit__(self, *_):
        for t, mask in self._masks.values():
            if mask is not None:
                set_keras_mask(t, mask)


class HeadsBase(Layer):
    """What attentions of many heads share: the arguments of the projections and the mask."""

    def _store(
        self, dropout, use_bias, sliding_window, flash_attention, use_gate, seed, kernel_initializer,
        bias_initializer, kernel_regularizer, bias_regularizer, activity_regularizer, kernel_constraint,
        bias_constraint,
    ):  # fmt: skip
        name = type(self).__name__
        if sliding_window is not None and (not isinstance(sliding_window, int) or sliding_window <= 0):
            raise ValueError(
                f"{name}: expected sliding_window as a positive integer or None. Received: {sliding_window!r}"
            )
        if flash_attention and dropout > 0.0:
            raise ValueError(
                f"{name}: expected dropout=0 where flash_attention is asked for. Received: {dropout}"
            )
        self.supports_masking = True
        self.dropout = dropout
        self.use_bias = use_bias
        self.use_gate = use_gate
        self.seed = seed
        self._sliding_window = sliding_window
        self._flash_attention = bool(flash_attention)
        self._kernel_initializer = initializers.get(kernel_initializer)
        self._bias_initializer = initializers.get(bias_initializer)
        self._kernel_regularizer = regularizers.get(kernel_regularizer)
        self._bias_regularizer = regularizers.get(bias_regularizer)
        # A penalty on the outputs of the projections, not on that of the whole.
        self._activity_regularizer = regularizers.get(activity_regularizer)
        self._kernel_constraint = constraints.get(kernel_constraint)
        self._bias_constraint = constraints.get(bias_constraint)

    def _projection(self, equation, output_shape, bias_axes, name, activation=None):
        """A dense layer with initializers of its own, as one object would draw the same values again."""
        again = [
            type(i).from_config(i.get_config()) for i in (self._kernel_initializer, self._bias_initializer)
        ]
        return EinsumDense(
            equation, output_shape, activation=activation, bias_axes=bias_axes if self.use_bias else None, name=name,
            kernel_initializer=again[0], bias_initializer=again[1],
            kernel_regularizer=self._kernel_regularizer, bias_regularizer=self._bias_regularizer,
            activity_regularizer=self._activity_regularizer, kernel_constraint=self._kernel_constraint,
            bias_constraint=self._bias_constraint, dtype=self.dtype_policy,
        )  # fmt: skip

    def _shared_config(self):
        names = (
            "kernel_initializer", "bias_initializer", "kernel_regularizer", "bias_regularizer",
            "activity_regularizer", "kernel_constraint", "bias_constraint",
        )  # fmt: skip
        return {
            "dropout": self.dropout,
            "use_bias": self.use_bias,
            "use_gate": self.use_gate,
            "sliding_window": self._sliding_window,
            **{n: config_value(getattr(self, f"_{n}")) for n in names},
            "seed": self.seed,
        }

    def _check_key(self, value_shape, key_shape):
        if tuple(value_shape[1:-1]) != tuple(key_shape[1:-1]):
            raise ValueError(
                f"{who(self)}: expected value and key of the same sizes but the last. Received: value of shape "
                f"{tuple(value_shape)}, key of shape {tuple(key_shape)}"
            )

    def _run(self, query, value, key, masks, return_attention_scores, training, use_causal_mask):
        """Masks, projections, attention, output projection; `masks` are those of query, value, key, and pairs."""
        causal_only = use_causal_mask and self._sliding_window is None and all(m is None for m in masks)
        attention_mask = None
        if not causal_only:
            attention_mask = self._compute_attention_mask(
                query, value, query_mask=masks[0], value_mask=masks[1], key_mask=masks[2],
                attention_mask=masks[3], use_causal_mask=use_causal_mask,
            )  # fmt: skip
        with unmasked(query, value, key):
            gate = self._gate_dense(query) if self.use_gate else None
            q, k, v = self._query_dense(query), self._key_dense(key), self._value_dense(value)
        more = {"use_causal_mask": True} if causal_only else {}
        y, scores = self._compute_attention(
            q, k, v, attention_mask, training, return_attention_scores, **more
        )
        y = self._output_dense(y if gate is None else ops.multiply(y, gate))
        return (y, scores) if return_attention_scores else y

    def _compute_attention_mask(
        self, query, value, query_mask=None, value_mask=None, key_mask=None, attention_mask=None,
        use_causal_mask=False,
    ):  # fmt: skip
        return attention_mask_of(
            self._sliding_window,
            query,
            value,
            query_mask,
            value_mask,
            key_mask,
            attention_mask,
            use_causal_mask,
        )

    def _fused(self, q, k, v, mask, training, use_causal_mask, scale):
        """The attention without its scores, with dropout in training."""
        if mask is not None:
            for _ in range(4 - len(mask.shape)):
                mask = ops.expand_dims(mask, -3)
        causal = use_causal_mask and mask is None
        if not self.dropout:
            return ops.dot_product_attention(q, k, v, mask=mask, scale=scale, is_causal=causal)
        if training:
            state, home = random.draw_seed(self._dropout_layer.seed_generator)
            y, after = fused_attention(q, k, v, None, mask, scale, causal, self.dropout, state)
            home.assign(after)
        else:
            y = fused_attention(q, k, v, None, mask, scale, causal)
        if mask is None:
            return y
        # With dropout Keras gives zeros where everything is masked, without it the mean of the values.
        seen = ops.transpose(ops.any(ops.cast(mask, "bool"), axis=-1), (0, 2, 1))
        return ops.where(ops.expand_dims(seen, -1), y, 0.0)

    def _no_scores(self, return_attention_scores):
        if self._flash_attention and return_attention_scores:
            raise ValueError(
                f"{who(self)}: expected return_attention_scores=False where flash_attention is asked for. "
                "Received: True"
            )


class MultiHeadAttention(HeadsBase):
    """The attentions of several heads, each in a projection of its own, projected back together.

    head = softmax(q kᵀ / sqrt(key_dim)) v with q = query Wq + bq, k = key Wk + bk, v = value Wv + bv;
    output = heads Wo + bo.

    Args:
        num_heads: the number of heads.
        key_dim: the size of a head's queries and keys.
        value_dim: the size of a head's values; key_dim if None.
        dropout: the probability that a weight is dropped, in training.
        use_bias: whether the projections have biases.
        output_shape: the last sizes of the output; those of the query if None.
        attention_axes: the axes that are attended over; all but the first and the last if None.
        sliding_window: positions this far apart or farther do not see each other; no limit if None.
        flash_attention: a hint that is not needed here; it forbids dropout and scores, as in Keras.
        kernel_initializer, bias_initializer: the first values of the projections.
        kernel_regularizer, bias_regularizer, activity_regularizer: penalties.
        kernel_constraint, bias_constraint: what weights are brought back to after updates.
        use_gate: whether heads are multiplied with a sigmoid of a projection of the query.
        seed: an integer, or None.

    Returns:
        Tensor of shape (batch, T, dim) for a query (batch, T, dim); with `return_attention_scores` also the
        weights (batch, heads, T, S).

    Raises:
        ValueError: for sizes that are not positive, and for values and keys of different lengths.

    Example:
        >>> x = keras.ops.ones((2, 5, 8))
        >>> keras.layers.MultiHeadAttention(num_heads=2, key_dim=4)(x, x).shape
        (2, 5, 8)

    Source: Vaswani et al., 2017.
    """

    def __init__(
        self, num_heads, key_dim, value_dim=None, dropout=0.0, use_bias=True, output_shape=None,
        attention_axes=None, sliding_window=None, flash_attention=None, kernel_initializer="glorot_uniform",
        bias_initializer="zeros", kernel_regularizer=None, bias_regularizer=None, activity_regularizer=None,
        kernel_constraint=None, bias_constraint=None, use_gate=False, seed=None, **kwargs,
    ):  # fmt: skip
        for name, size in (("num_heads", num_heads), ("key_dim", key_dim), ("value_dim", value_dim)):
            if name == "value_dim" and size is None:
                continue
            if isinstance(size, bool) or not isinstance(size, int) or size <= 0:
                raise ValueError(
                    f"MultiHeadAttention: expected {name} as a positive integer. Received: {name}={size!r}"
                )
        super().__init__(**kwargs)
        self._store(
            dropout, use_bias, sliding_window, flash_attention, use_gate, seed, kernel_initializer,
            bias_initializer, kernel_regularizer, bias_regularizer, activity_regularizer, kernel_constraint,
            bias_constraint,
        )  # fmt: skip
        self.num_heads = num_heads
        self.key_dim = key_dim
        self.value_dim = value_dim or key_dim
        if output_shape:
            output_shape = (output_shape,) if isinstance(output_shape, int) else tuple(output_shape)
        self._output_shape = output_shape
        if isinstance(attention_axes, int):
            attention_axes = (attention_axes,)
        elif attention_axes and not isinstance(attention_axes, (list, tuple)):
            raise ValueError(
                f"MultiHeadAttention: expected attention_axes as integers. Received: {attention_axes!r}"
            )
        self._attention_axes = attention_axes and tuple(attention_axes)

    @property
    def attention_axes(self):
        """The axes that are attended over."""
        return self._attention_axes

    @property
    def query_dense(self):
        """The projection of the query."""
        return self._query_dense

    @property
    def key_dense(self):
        """The projection of the key."""
        return self._key_dense

    @property
    def value_dense(self):
        """The projection of the value."""
        return self._value_dense

    @property
    def output_dense(self):
        """The projection of the heads."""
        return self._output_dense

    def build(self, query_shape, value_shape, key_shape=None):
        """Makes the projections."""
        key_shape = value_shape if key_shape is None else key_shape
        self._check_key(value_shape, key_shape)
        self._query_dense = self._heads(query_shape, self.key_dim, "query")
        self._key_dense = self._heads(key_shape, self.key_dim, "key")
        if self.use_gate:
            self._gate_dense = self._heads(query_shape, self.value_dim, "gate", "sigmoid")
        self._value_dense = self._heads(value_shape, self.value_dim, "value")
        self._build_attention(len(value_shape) + 1)
        sizes = self._output_shape or (query_shape[-1],)
        free, last = string.ascii_lowercase[: len(query_shape) - 1], string.ascii_uppercase[: len(sizes)]
        self._output_dense = self._projection(
            f"{free}yz,yz{last}->{free}{last}", (*[None] * (len(free) - 1), *sizes), last, "attention_output"
        )
        self._output_dense.build((*query_shape[:-1], self.num_heads, self.value_dim))

    def _heads(self, shape, size, name, activation=None):
        free = string.ascii_lowercase[: len(shape) - 1]
        dense = self._projection(
            f"{free}x,xyz->{free}yz",
            (*[None] * (len(free) - 1), self.num_heads, size),
            "yz",
            name,
            activation,
        )
        dense.build(shape)
        return dense

    def _build_attention(self, rank):
        """The equations over the axes attended; `rank` is that of projected tensors."""
        if self._attention_axes is None:
            axes = tuple(range(1, rank - 2))
        else:
            axes = tuple(a if a >= 0 else rank - 1 + a for a in self._attention_axes)
        self._attention_axes = axes
        target = string.ascii_lowercase[:rank]
        source = "".join(c.upper() if i in axes else c for i, c in enumerate(target))
        batch = "".join(c for i, c in enumerate(target) if i not in axes and i != rank - 1)
        scores = batch + "".join(target[a] for a in axes) + "".join(source[a] for a in axes)
        self._dot_product_equation = f"{source},{target}->{scores}"
        self._combine_equation = f"{scores},{source}->{target}"
        self._softmax = Softmax(
            axis=tuple(range(len(scores) - len(axes), len(scores))), dtype=self.dtype_policy
        )
        self._dropout_layer = Dropout(self.dropout, seed=self.seed, dtype=self.dtype_policy)

    def call(
        self, query, value, key=None, query_mask=None, value_mask=None, key_mask=None, attention_mask=None,
        return_attention_scores=False, training=None, use_causal_mask=False,
    ):  # fmt: skip
        """The projected heads."""
        # As in Keras the mask of the query is the one it carries; an argument does not count.
        query_mask = get_keras_mask(query)
        return self._run(
            query, value, value if key is None else key, (query_mask, value_mask, key_mask, attention_mask),
            return_attention_scores, training, use_causal_mask,
        )  # fmt: skip

    def _masked_softmax(self, attention_scores, attention_mask=None):
        if attention_mask is not None:
            for _ in range(len(attention_scores.shape) - len(attention_mask.shape)):
                attention_mask = ops.expand_dims(attention_mask, -2 * len(self._attention_axes) - 1)
        return self._softmax(attention_scores, mask=attention_mask)

    def _compute_attention(
        self, query, key, value, attention_mask=None, training=None, return_attention_scores=False,
        use_causal_mask=False,
    ):  # fmt: skip
        """The heads, and the weights where they are asked for or needed."""
        self._no_scores(return_attention_scores)
        scale = self.key_dim**-0.5
        if not return_attention_scores and len(query.shape) == 4 and self.dropout < 1.0:
            return self._fused(query, key, value, attention_mask, training, use_causal_mask, scale), None
        if use_causal_mask:
            causal = causal_mask(query, value)
            attention_mask = causal if attention_mask is None else ops.logical_and(attention_mask, causal)
        scores = ops.einsum(self._dot_product_equation, key, query * scale)
        scores = self._masked_softmax(scores, attention_mask)
        dropped = self._dropout_layer(scores, training=training) if self.dropout > 0.0 else scores
        return ops.einsum(self._combine_equation, dropped, value), scores

    def get_config(self):
        """What `from_config` needs."""
        return {
            **super().get_config(), "num_heads": self.num_heads, "key_dim": self.key_dim,
            "value_dim": self.value_dim, "output_shape": self._output_shape,
            "attention_axes": self._attention_axes, **self._shared_config(),
        }  # fmt: skip

    _config_omit = (
        "activity_regularizer", "output_shape", "attention_axes", "sliding_window", "flash_attention",
        "kernel_initializer", "bias_initializer", "kernel_regularizer", "bias_regularizer",
        "kernel_constraint", "bias_constraint",
    )  # fmt: skip
