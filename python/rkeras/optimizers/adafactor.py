"""Adafactor."""

from rkeras import ops
from rkeras._core.tensor import cast
from rkeras.optimizers.optimizer import Optimizer, slot


class Adafactor(Optimizer):
    """Adam that keeps the squares of gradients of matrices by row and column only.

    v = r cᵀ / mean(r) for matrices, where r and c are running means of g² + ε₁ over columns and rows;
    u = g / √v, w ← w - max(ε₂, rms(w)) min(lr, 1/√t) u / max(1, rms(u) / d).

    Args:
        learning_rate: a number, a schedule or a callable.
        beta_2_decay: the weight of old means is 1 - t^beta_2_decay.
        epsilon_1: keeps the squares away from zero.
        epsilon_2: the least size that a weight tensor counts as.
        clip_threshold: d, the bound of the root mean square of a step.
        relative_step: bound a constant learning rate by 1/√t.
        Others: as in `Optimizer`.

    Source: Shazeer and Stern (2018); Keras.
    """

    _own_arguments = ("beta_2_decay", "epsilon_1", "epsilon_2", "clip_threshold", "relative_step")

    def __init__(
        self,
        learning_rate=0.001, beta_2_decay=-0.8, epsilon_1=1e-30, epsilon_2=0.001, clip_threshold=1.0,
        relative_step=True, weight_decay=None, clipnorm=None, clipvalue=None,
        global_clipnorm=None, use_ema=False, ema_momentum=0.99, ema_overwrite_frequency=None,
        loss_scale_factor=None, gradient_accumulation_steps=None, name=None, **kwargs,
    ):  # fmt: skip
        super().__init__(
            learning_rate=learning_rate, name=name, weight_decay=weight_decay, clipnorm=clipnorm, clipvalue=clipvalue,
            global_clipnorm=global_clipnorm, use_ema=use_ema, ema_momentum=ema_momentum,
            ema_overwrite_frequency=ema_overwrite_frequency, loss_scale_factor=loss_scale_factor,
            gradient_accumulation_steps=gradient_accumulation_steps, **kwargs,
        )  # fmt: skip
        self.beta_2_decay = beta_2_decay
        self.epsilon_1 = epsilon_1
        self.epsilon_2 = epsilon_2
        self.clip_threshold = clip_threshold
        self.relative_step = relative_step

    def build(self, variables):
        """Makes the slots."""
        if self.built:
            return
        super().build(variables)
        self._r, self._c, self._v = [], [], []
        for v in variables:
            if v.overwrite_with_gradient:
                for slots in (self._r, self._c, self._v):
                    slots.append(None)
                continue
            factored = len(v.shape) >= 2
            for slots, shape in ((self._r, v.shape[:-1]), (self._c, (*v.shape[:-2], *v.shape[-1:]))):
                # Vectors get a number in place of rows and columns: Keras's files hold it.
                slots.append(
                    self.add_variable(shape, dtype=v.dtype, name=v.name)
                    if factored
                    else self.add_variable((), dtype="int32", name=v.name)
                )
            self._v.append(self.add_variable_from_reference(v, name="velocity"))

    def update_step(self, gradient, variable, learning_rate):
        """One step for one variable."""
        dtype = variable.dtype
        g, rate, t = cast(gradient, dtype), cast(learning_rate, dtype), cast(self._step_number() + 1, dtype)
        w = variable.tensor_in_mode()
        bound = ops.minimum(rate, 1 / ops.sqrt(t))
        size = ops.maximum(_rms(w), self.epsilon_2) * bound
        squares = ops.square(g) + self.epsilon_1
        old = 1 - ops.power(t, self.beta_2_decay)
        v_slot, v = slot(self, self._v, variable)
        if len(variable.shape) >= 2:
            (r_slot, r), (c_slot, c) = slot(self, self._r, variable), slot(self, self._c, variable)
            r = old * r + (1 - old) * ops.mean(squares, axis=-1)
            c = old * c + (1 - old) * ops.mean(squares, axis=-2)
            r_slot.assign(r)
            c_slot.assign(c)
            v = ops.expand_dims(r / ops.mean(r, axis=-1, keepdims=True), -1) * ops.expand_dims(c, -2)
        else:
            v = old * v + (1 - old) * squares
        v_slot.assign(v)
        step = g / ops.sqrt(v)
        step = step / ops.maximum(_rms(step) / self.clip_threshold, 1.0)
        variable.assign(w - size * step)


def _rms(x):
    """The root of the mean of squares."""
    return ops.sqrt(ops.mean(ops.square(x)))
