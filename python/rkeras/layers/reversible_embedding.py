"""An embedding that also goes back: from vectors to scores of all rows."""

from rkeras import ops
from rkeras._core.tensor import set_keras_mask
from rkeras.layers.embedding import Embedding


class ReversibleEmbedding(Embedding):
    """`Embedding`; called with reverse=True, x Eᵀ with the same table E (or with one of its own).

    Args:
        input_dim: the number of rows.
        output_dim: the size of a row.
        tie_weights: whether the way back uses the table itself.
        embeddings_initializer: the first values.
        embeddings_regularizer: a penalty.
        embeddings_constraint: what the table is brought back to after updates.
        mask_zero: whether 0 stands for padding and is masked.
        reverse_dtype: the dtype of the product on the way back; that of the inputs if None.
        logit_soft_cap: c in c tanh(scores / c), on the way back; no cap if None.

    Example:
        >>> layer = keras.layers.ReversibleEmbedding(10, 4)
        >>> x = layer(keras.ops.convert_to_tensor([[1, 2, 3]]))
        >>> x.shape, layer(x, reverse=True).shape
        ((1, 3, 4), (1, 3, 10))

    Source: Press and Wolf, 2017.
    """

    def __init__(
        self, input_dim, output_dim, tie_weights=True, embeddings_initializer="uniform",
        embeddings_regularizer=None, embeddings_constraint=None, mask_zero=False, reverse_dtype=None,
        logit_soft_cap=None, **kwargs,
    ):  # fmt: skip
        super().__init__(
            input_dim, output_dim, embeddings_initializer=embeddings_initializer,
            embeddings_regularizer=embeddings_regularizer, embeddings_constraint=embeddings_constraint,
            mask_zero=mask_zero, **kwargs,
        )  # fmt: skip
        self.tie_weights = tie_weights
        self.reverse_dtype = reverse_dtype
        self.logit_soft_cap = logit_soft_cap
        self.supports_masking = False

    def build(self, input_shape=None):
        """Makes the table, and the one of the way back where it is another."""
        if self.built:
            return
        super().build(input_shape)
        if not self.tie_weights:
            self.reverse_embeddings = self.add_weight(
                (self.output_dim, self.input_dim), self.embeddings_initializer, name="reverse_embeddings"
            )

    def call(self, inputs, reverse=False):
        """The rows, or the scores of all rows."""
        if not reverse:
            y = super().call(inputs)
            if self.mask_zero:
                set_keras_mask(y, ops.not_equal(inputs, 0))
            return y
        table = ops.transpose(self.embeddings) if self.tie_weights else self.reverse_embeddings
        dtype = self.reverse_dtype or inputs.dtype
        y = ops.matmul(ops.cast(inputs, dtype), ops.cast(table, dtype))
        if self.logit_soft_cap is not None:
            y = ops.tanh(y / self.logit_soft_cap) * self.logit_soft_cap
        return y

    def compute_mask(self, inputs, mask=None):
        """None: `call` gives the rows their mask."""
        return None

    def get_config(self):
        """What `from_config` needs."""
        return {**super().get_config(), "quantization_config": self.quantization_config}
