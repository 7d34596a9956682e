"""Cells on top of each other."""

from rkeras import ops
from rkeras._core import registry, tree
from rkeras.layers.layer import Layer


class StackedRNNCells(Layer):
    """Cells on top of each other as one cell.

    Args:
        cells: a list of cells.

    Example:
        >>> cells = keras.layers.StackedRNNCells([keras.layers.LSTMCell(4), keras.layers.GRUCell(3)])
        >>> keras.layers.RNN(cells)(keras.ops.ones((2, 5, 3))).shape
        (2, 3)
    """

    def __init__(self, cells, **kwargs):
        super().__init__(**kwargs)
        for cell in cells:
            for name in ("call", "state_size"):
                if name not in dir(cell):
                    raise ValueError(
                        f"StackedRNNCells: expected cells with {name}. Received: {cell!r} without it"
                    )
        self.cells = list(cells)

    @property
    def state_size(self):
        """The sizes of the states of every cell."""
        return [c.state_size for c in self.cells]

    @property
    def output_size(self):
        """The size of the output of the last cell."""
        return _output_size(self.cells[-1])

    def get_initial_state(self, batch_size=None):
        """The states before the first step, per cell."""
        out = []
        for cell in self.cells:
            make = getattr(cell, "get_initial_state", None)
            if make is not None:
                out.append(make(batch_size=batch_size))
            elif isinstance(cell.state_size, int):
                out.append(ops.zeros((batch_size, cell.state_size), dtype=self.compute_dtype))
            else:
                out.append([ops.zeros((batch_size, n), dtype=self.compute_dtype) for n in cell.state_size])
        return out

    def build(self, input_shape):
        """Builds the cells, each on the output of the one before."""
        for cell in self.cells:
            if isinstance(cell, Layer) and not cell.built:
                cell.build(input_shape)
                cell.built = True
            input_shape = (tree.flatten(input_shape)[0], _output_size(cell))

    def call(self, inputs, states, training=False, **kwargs):
        """(output of the last cell, new states of all)."""
        new_states = []
        for cell, old in zip(self.cells, states, strict=False):
            single = not tree.is_nested(old)
            more = dict(kwargs)
            if getattr(cell, "_call_has_training_arg", False):
                more["training"] = training
            run = cell if callable(cell) else cell.call
            inputs, new = run(inputs, [old] if single else list(old), **more)
            if single and tree.is_nested(new) and len(new) == 1:
                new = new[0]
            new_states.append(new)
        return inputs, new_states

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The cells of that config."""
        config = dict(config)
        cells = [registry.deserialize_keras_object(c, custom_objects) for c in config.pop("cells")]
        return cls(cells, **config)


def _output_size(cell):
    if getattr(cell, "output_size", None) is not None:
        return cell.output_size
    return cell.state_size[0] if isinstance(cell.state_size, (list, tuple)) else cell.state_size
