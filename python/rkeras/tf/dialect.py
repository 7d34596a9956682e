"""What importing `rkeras.tf` adds to tensors: TensorFlow's methods of shapes and tensors."""

from rkeras._core.symbolic import KerasTensor
from rkeras._core.tensor import Tensor
from rkeras._core.variable import Variable
from rkeras.tf.shapes import TensorShape

ADDED = frozenset(["device", "get_shape", "set_shape"])  # the attributes that tensors get


def install():
    """Lets `x.shape` be a TensorShape, for tensors, KerasTensors and variables; once."""
    if isinstance(Tensor.__dict__["shape"], property):
        return
    # Shapes are asked for at every call of a layer: they are made without looking at them.
    new = tuple.__new__
    of_tensor = Tensor.shape.__get__  # type: ignore[attr-defined]
    Tensor.shape = property(lambda self: new(TensorShape, of_tensor(self)), doc="The sizes.")  # type: ignore[misc]
    of_variable = Variable.shape.__get__  # type: ignore[attr-defined]
    Variable.shape = property(lambda self: new(TensorShape, of_variable(self)), doc="The sizes.")  # type: ignore[misc]

    def shape(self):
        return new(TensorShape, self.__dict__["shape"])

    def set_plain(self, value):
        self.__dict__["shape"] = value

    KerasTensor.shape = property(shape, set_plain, doc="The sizes, None where unknown.")  # type: ignore[misc]
    for kind in (Tensor, KerasTensor):
        kind.get_shape = _get_shape
        kind.set_shape = _set_shape
    Tensor.device = property(lambda self: "CPU:0", doc="Where it is.")  # type: ignore[attr-defined]


def _get_shape(self):
    """The sizes."""
    return self.shape


def _set_shape(self, shape):
    """Checks the sizes: they are known already."""
    self.shape.assert_is_compatible_with(shape)
