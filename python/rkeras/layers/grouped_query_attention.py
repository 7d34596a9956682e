"""Attention in which several heads of the query share a head of keys and values."""

from rkeras import ops
from rkeras.layers.activation import Softmax
from rkeras.layers.attention import causal_mask
from rkeras.layers.input_spec import who
from rkeras.layers.multi_head_attention import HeadsBase
from rkeras.layers.regularization import Dropout


class GroupedQueryAttention(HeadsBase):
    """`MultiHeadAttention` with fewer heads of keys and values than of queries.

    Args:
        head_dim: the size of a head.
        num_query_heads: the number of heads of the query.
        num_key_value_heads: the number of heads of keys and values; it divides the other.
        dropout: the probability that a weight is dropped, in training.
        use_bias: whether the projections have biases.
        sliding_window: positions this far apart or farther do not see each other; no limit if None.
        flash_attention: a hint that is not needed here; it forbids dropout and scores, as in Keras.
        kernel_initializer, bias_initializer: the first values of the projections.
        kernel_regularizer, bias_regularizer, activity_regularizer: penalties.
        kernel_constraint, bias_constraint: what weights are brought back to after updates.
        use_gate: whether heads are multiplied with a sigmoid of a projection of the query.
        seed: an integer, or None.

    Returns:
        Tensor of shape (batch, T, dim) for a query (batch, T, dim); with `return_attention_scores` also the
        weights (batch, query heads, T, S).

    Raises:
        ValueError: if the numbers of heads do not fit.

    Example:
        >>> x = keras.ops.ones((2, 5, 8))
        >>> keras.layers.GroupQueryAttention(head_dim=4, num_query_heads=4, num_key_value_heads=2)(x, x).shape
        (2, 5, 8)

    Source: Ainslie et al., 2023.
    """

    _config_omit = (
        "activity_regularizer", "sliding_window", "flash_attention", "kernel_initializer", "bias_initializer",
        "kernel_regularizer", "bias_regularizer", "kernel_constraint", "bias_constraint",
    )  # fmt: skip

    def __init__(
        self, head_dim, num_query_heads, num_key_value_heads, dropout=0.0, use_bias=True, sliding_window=None,
        flash_attention=None, kernel_initializer="glorot_uniform", bias_initializer="zeros",
        kernel_regularizer=None, bias_regularizer=None, activity_regularizer=None, kernel_constraint=None,
        bias_constraint=None, use_gate=False, seed=None, **kwargs,
    ):  # fmt: skip
        super().__init__(**kwargs)
        if num_query_heads % num_key_value_heads:
            raise ValueError(
                f"GroupedQueryAttention: expected num_key_value_heads that divides num_query_heads={num_query_heads}. "
                f"Received: {num_key_value_heads}"
            )
        self._store(
            dropout, use_bias, sliding_window, flash_attention, use_gate, seed, kernel_initializer,
            bias_initializer, kernel_regularizer, bias_regularizer, activity_regularizer, kernel_constraint,
            bias_constraint,
        )  # fmt: skip
        self.head_dim = head_dim
        self.num_query_heads = num_query_heads
        self.num_key_value_heads = num_key_value_heads
        self.num_repeats = num_query_heads // num_key_value_heads

    def build(self, query_shape, value_shape, key_shape=None):
        """Makes the projections."""
        key_shape = value_shape if key_shape is None else key_shape
        self._check_key(value_shape, key_shape)
        if query_shape[-1] != value_shape[-1]:
            raise ValueError(
                f"{who(self)}: expected query and value of the same last size. Received: query of shape "
                f"{tuple(query_shape)}, value of shape {tuple(value_shape)}"
            )
        own, shared = (
            (None, self.num_query_heads, self.head_dim),
            (None, self.num_key_value_heads, self.head_dim),
        )
        self._query_dense = self._built("bqm,muh->bquh", own, "uh", "query", query_shape)
        self._key_dense = self._built("bkm,mvh->bkvh", shared, "vh", "key", key_shape)
        if self.use_gate:
            self._gate_dense = self._built("bqm,muh->bquh", own, "uh", "gate", query_shape, "sigmoid")
        self._value_dense = self._built("bkm,mvh->bkvh", shared, "vh", "value", value_shape)
        self._softmax = Softmax(axis=-1, dtype=self.dtype_policy)
        self._dropout_layer = Dropout(self.dropout, seed=self.seed, dtype=self.dtype_policy)
        self._output_dense = self._built(
            "bquh,uhm->bqm", (None, query_shape[-1]), "m", "attention_output",
            (None, None, self.num_query_heads, self.head_dim),
        )  # fmt: skip

    def _built(self, equation, output_shape, bias_axes, name, shape, activation=None):
        dense = self._projection(equation, output_shape, bias_axes, name, activation)
        dense.build(shape)
        return dense

    def call(
        self, query, value, key=None, query_mask=None, value_mask=None, key_mask=None, attention_mask=None,
        return_attention_scores=False, training=None, use_causal_mask=False,
    ):  # fmt: skip
        """The projected heads."""
        return self._run(
            query, value, value if key is None else key, (query_mask, value_mask, key_mask, attention_mask),
            return_attention_scores, training, use_causal_mask,
        )  # fmt: skip

    def _compute_attention(
        self, query, key, value, attention_mask=None, training=None, return_attention_scores=False,
        use_causal_mask=False,
    ):  # fmt: skip
        """The heads, and the weights where they are asked for or needed."""
        self._no_scores(return_attention_scores)
        scale = self.head_dim**-0.5
        if not return_attention_scores and self.dropout < 1.0:
            return self._fused(query, key, value, attention_mask, training, use_causal_mask, scale), None
        if use_causal_mask:
            causal = causal_mask(query, value)
            attention_mask = causal if attention_mask is None else ops.logical_and(attention_mask, causal)
        if self.num_repeats > 1:
            key, value = (ops.repeat(v, self.num_repeats, axis=2) for v in (key, value))
        scores = ops.einsum("bquh,bkuh->buqk", query * scale, key)
        if attention_mask is not None:
            for _ in range(4 - len(attention_mask.shape)):
                attention_mask = ops.expand_dims(attention_mask, -3)
        scores = self._softmax(scores, mask=attention_mask)
        dropped = self._dropout_layer(scores, training=training) if self.dropout > 0.0 else scores
        return ops.einsum("buqk,bkuh->bquh", dropped, value), scores

    def get_config(self):
        """What `from_config` needs."""
        return {**super().get_config(), **self._shared_config()}
