"""Attention of one head, from scores: products, or sums through tanh."""

from rkeras import ops, random
from rkeras.layers.input_spec import who
from rkeras.layers.layer import Layer


class Attention(Layer):
    """softmax(scores) V with scores = Q Kᵀ, or w Σ tanh(Q + K) for every pair.

    Called on a list [query, value] or [query, value, key] of shapes (batch, Tq, dim), (batch, Tv, dim) and
    (batch, Tv, dim); masks are a list [query_mask, value_mask].

    Args:
        use_scale: whether scores are multiplied with a trained number.
        score_mode: "dot" for products, "concat" for sums through tanh.
        dropout: the probability that a weight is dropped, in training.
        seed: an integer, or None.

    Returns:
        Tensor of shape (batch, Tq, dim); with `return_attention_scores` also the weights (batch, Tq, Tv).

    Raises:
        ValueError: for inputs that are not such a list.

    Example:
        >>> q, v = keras.ops.ones((1, 2, 3)), keras.ops.ones((1, 4, 3))
        >>> keras.layers.Attention()([q, v]).shape
        (1, 2, 3)

    Source: Luong et al., 2015.
    """

    def __init__(self, use_scale=False, score_mode="dot", dropout=0.0, seed=None, **kwargs):
        super().__init__(**kwargs)
        if score_mode not in ("dot", "concat"):
            raise ValueError(
                f'{type(self).__name__}: expected score_mode "dot" or "concat". Received: {score_mode!r}'
            )
        self.use_scale = use_scale
        self.score_mode = score_mode
        self.dropout = dropout
        self.seed = seed
        if dropout > 0:
            self.seed_generator = random.SeedGenerator(seed)

    def build(self, input_shape):
        """Makes the numbers of the scores."""
        self._check(input_shape)
        self.scale = self.concat_score_weight = None
        if self.use_scale:
            self.scale = self.add_weight((), "ones", name="scale")
        if self.score_mode == "concat":
            self.concat_score_weight = self.add_weight((), "ones", name="concat_score_weight")

    def _calculate_scores(self, query, key):
        """The scores (batch, Tq, Tv)."""
        if self.score_mode == "dot":
            scores = ops.matmul(query, ops.swapaxes(key, -2, -1))
            return scores if self.scale is None else scores * self.scale
        total = ops.expand_dims(query, -2) + ops.expand_dims(key, -3)
        if self.scale is not None:
            total = total * self.scale
        return self.concat_score_weight * ops.sum(ops.tanh(total), axis=-1)

    def call(self, inputs, mask=None, training=False, return_attention_scores=False, use_causal_mask=False):
        """The weighted values."""
        self._check(inputs, mask)
        query, value = inputs[0], inputs[1]
        key = inputs[2] if len(inputs) > 2 else value
        query_mask, value_mask = (mask[0], mask[1]) if mask else (None, None)
        scores = self._calculate_scores(query, key)
        keep = None
        if value_mask is not None:
            keep = ops.expand_dims(ops.cast(value_mask, "bool"), -2)
        if use_causal_mask:
            causal = causal_mask(query, value)
            keep = causal if keep is None else ops.logical_and(keep, causal)
        if keep is not None:
            # Less by a number beyond all scores; float16 ends at 65504.
            low = 65504.0 if scores.dtype == "float16" else 1.0e9
            scores = ops.where(keep, scores, scores - low)
        weights = ops.softmax(scores, axis=-1)
        dropped = weights
        if training and self.dropout > 0:
            dropped = random.dropout(weights, self.dropout, seed=self.seed_generator)
        y = ops.matmul(dropped, value)
        if query_mask is not None:
            y = ops.where(ops.expand_dims(ops.cast(query_mask, "bool"), -1), y, 0.0)
        return (y, dropped) if return_attention_scores else y

    def compute_mask(self, inputs, mask=None):
        """The mask of the query."""
        return None if mask is None else mask[0]

    def _set_masks(self, spec, outputs, masks):
        # The output has the query's mask, whether or not other layers may hand masks on.
        if not isinstance(masks, (list, tuple)) or masks[0] is None:
            return
        from rkeras._core.tensor import set_keras_mask

        set_keras_mask(outputs[0] if isinstance(outputs, (list, tuple)) else outputs, masks[0])

    def _check(self, inputs, mask=None):
        if not isinstance(inputs, list) or len(inputs) not in (2, 3):
            raise ValueError(
                f"{who(self)}: expected a list [query, value] or [query, value, key]. Received: {inputs}"
            )
        if mask is not None and (not isinstance(mask, list) or len(mask) not in (2, 3)):
            raise ValueError(f"{who(self)}: expected a list [query_mask, value_mask]. Received: mask={mask}")


class AdditiveAttention(Attention):
    """softmax(scores) V with scores Σ s tanh(Q + K) for every pair; s is a trained vector.

    Called on lists like `Attention`.

    Args:
        use_scale: whether s is trained; 1 otherwise.
        dropout: the probability that a weight is dropped, in training.

    Example:
        >>> q, v = keras.ops.ones((1, 2, 3)), keras.ops.ones((1, 4, 3))
        >>> keras.layers.AdditiveAttention()([q, v]).shape
        (1, 2, 3)

    Source: Bahdanau et al., 2014.
    """

    def __init__(self, use_scale=True, dropout=0.0, **kwargs):
        super().__init__(use_scale=use_scale, dropout=dropout, **kwargs)

    def build(self, input_shape):
        """Makes the vector of the scores."""
        self._check(input_shape)
        self.scale = None
        if self.use_scale:
            self.scale = self.add_weight((input_shape[0][-1],), "glorot_uniform", name="scale")

    def _calculate_scores(self, query, key):
        scores = ops.tanh(ops.expand_dims(query, -2) + ops.expand_dims(key, -3))
        return ops.sum(scores if self.scale is None else scores * self.scale, axis=-1)

    def get_config(self):
        """What `from_config` needs."""
        return {**super().get_config(), "seed": self.seed}


def positions(x):
    """0, 1 … along the second axis of x, as a tensor (1, length)."""
    if x.shape[1] is not None:
        return ops.expand_dims(ops.arange(x.shape[1], dtype="int32"), 0)
    line = (
        ops.reshape(x[:1], (1, -1))
        if len(x.shape) < 3
        else x[(slice(0, 1), slice(None), *[0] * (len(x.shape) - 2))]
    )
    return ops.cumsum(ops.ones_like(line, dtype="int32"), axis=1) - 1


def causal_mask(query, value):
    """True (1, Tq, Tv) where a position of the query is not before that of the value."""
    return ops.greater_equal(ops.expand_dims(positions(query), 2), ops.expand_dims(positions(value), 1))


def sliding_window_mask(query, value, width):
    """True (1, Tq, Tv) where positions are less than `width` apart."""
    apart = ops.expand_dims(positions(query), 2) - ops.expand_dims(positions(value), 1)
    return ops.less(ops.abs(apart), width)


def attention_mask_of(
    layer_window, query, value, query_mask, value_mask, key_mask, attention_mask, use_causal_mask
):
    """All masks of an attention as one, true where attention is allowed; None if there is none."""
    found = []
    if query_mask is not None:
        found.append(ops.expand_dims(ops.cast(query_mask, "bool"), -1))
    for mask in (value_mask, key_mask):
        if mask is not None:
            found.append(ops.expand_dims(ops.cast(mask, "bool"), -2))
    if use_causal_mask:
        found.append(causal_mask(query, value))
    if layer_window is not None:
        found.append(sliding_window_mask(query, value, layer_window))
    if attention_mask is not None:
        found.append(ops.cast(attention_mask, "bool"))
    total = None
    for mask in found:
        total = mask if total is None else ops.logical_and(total, mask)
    return total
