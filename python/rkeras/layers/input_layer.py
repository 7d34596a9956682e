"""Where a model's inputs enter the layer graph."""

from rkeras._core.symbolic import KerasTensor, Node
from rkeras._core.tensor import standardize_dtype
from rkeras._core.variable import standardize_shape
from rkeras.layers.layer import Layer


class InputLayer(Layer):
    """The layer that stands for an input; see `Input`.

    Args:
        shape: sizes without the batch.
        batch_size: the size of the batch, if it is fixed.
        dtype: the dtype.
        sparse, ragged: only False.
        batch_shape: sizes with the batch, instead of `shape` and `batch_size`.
        input_tensor: a KerasTensor to use.
        optional: whether None may be passed.
        name: a name.
    """

    def __init__(
        self, shape=None, batch_size=None, dtype=None, sparse=None, ragged=None, batch_shape=None,
        input_tensor=None,
        optional=False, name=None, **kwargs,
    ):  # fmt: skip
        super().__init__(name=name)
        shape = kwargs.pop("input_shape", shape)
        batch_shape = kwargs.pop("batch_input_shape", batch_shape)
        if kwargs:
            raise ValueError(f"InputLayer: expected arguments that it knows. Received: {', '.join(kwargs)}")
        if sparse or ragged:
            raise NotImplementedError("InputLayer: expected a dense input. Received: sparse or ragged")
        if input_tensor is not None:
            if not isinstance(input_tensor, KerasTensor):
                raise ValueError(
                    f"InputLayer: expected input_tensor as a KerasTensor. Received: {input_tensor!r}"
                )
            shape = None
            batch_shape = input_tensor.shape
            dtype = input_tensor.dtype
        if batch_shape is None:
            if shape is None:
                raise ValueError(
                    "InputLayer: expected a shape. Received: none. Hint: keras.Input(shape=(features,))"
                )
            batch_shape = (batch_size, *standardize_shape(shape))
        elif shape is not None or batch_size is not None:
            raise ValueError(
                "InputLayer: expected either batch_shape, or shape and batch_size. Received: both"
            )
        self._batch_shape = standardize_shape(batch_shape)
        self._dtype = standardize_dtype(dtype)
        self.sparse = False
        self.ragged = False
        self.optional = optional
        self.built = True
        tensor = (
            input_tensor
            if input_tensor is not None
            else KerasTensor(self._batch_shape, self._dtype, name=self.name)
        )
        Node(self, outputs=tensor)

    def call(self, *args, **kwargs):
        """An InputLayer is not called."""
        raise NotImplementedError(
            f'InputLayer "{self.name}": expected its output to be used. Received: a call'
        )

    @property
    def batch_shape(self):
        """Sizes with the batch."""
        return self._batch_shape

    @property
    def dtype(self):
        """The dtype of the input."""
        return self._dtype

    def get_config(self):
        """What `from_config` needs."""
        return {
            "batch_shape": self.batch_shape, "dtype": self.dtype, "sparse": False, "ragged": False, "name":
            self.name,
            "optional": self.optional,
        }  # fmt: skip


def Input(
    shape=None, batch_size=None, dtype=None, sparse=None, ragged=None, batch_shape=None, name=None,
    tensor=None,
    optional=False,
):  # fmt: skip
    """A KerasTensor for an input of a model.

    Args:
        shape: sizes without the batch, None where they vary.
        batch_size: the size of the batch, if it is fixed.
        dtype: the dtype; `floatx` if None.
        sparse, ragged: only None or False.
        batch_shape: sizes with the batch, instead of `shape` and `batch_size`.
        name: a name.
        tensor: a KerasTensor to use.
        optional: whether None may be passed.

    Returns:
        A KerasTensor of shape (batch, *shape).

    Example:
        >>> x = keras.Input((3,))
        >>> keras.Model(x, keras.layers.Dense(1)(x)).output_shape
        (None, 1)
    """
    layer = InputLayer(
        shape=shape, batch_size=batch_size, dtype=dtype, sparse=sparse, ragged=ragged,
        batch_shape=batch_shape, name=name,
        input_tensor=tensor, optional=optional,
    )  # fmt: skip
    return layer.output
