"""Lion and Lamb: steps whose size does not follow that of gradients."""

from rkeras import ops
from rkeras._core.tensor import cast
from rkeras.optimizers.optimizer import Optimizer, slot


class Lion(Optimizer):
    """Steps of one size for all weights, in the direction of the sign of momentum.

    w ← w - lr sign(β₁ m + (1-β₁) g), m ← β₂ m + (1-β₂) g.

    Args:
        learning_rate: a number, a schedule or a callable; smaller than for Adam, by three to ten times.
        beta_1: weight of the old mean in the step.
        beta_2: weight of the old mean in the new one.
        Others: as in `Optimizer`.

    Raises:
        ValueError: if beta_1 is not in (0, 1].

    Source: Chen et al. (2023); Keras.
    """

    _own_arguments = ("beta_1", "beta_2")

    def __init__(
        self,
        learning_rate=0.001, beta_1=0.9, beta_2=0.99, weight_decay=None, clipnorm=None, clipvalue=None,
        global_clipnorm=None, use_ema=False, ema_momentum=0.99, ema_overwrite_frequency=None,
        loss_scale_factor=None, gradient_accumulation_steps=None, name=None, **kwargs,
    ):  # fmt: skip
        super().__init__(
            learning_rate=learning_rate, name=name, weight_decay=weight_decay, clipnorm=clipnorm, clipvalue=clipvalue,
            global_clipnorm=global_clipnorm, use_ema=use_ema, ema_momentum=ema_momentum,
            ema_overwrite_frequency=ema_overwrite_frequency, loss_scale_factor=loss_scale_factor,
            gradient_accumulation_steps=gradient_accumulation_steps, **kwargs,
        )  # fmt: skip
        if not 0 < beta_1 <= 1:
            raise ValueError(f"Lion: expected beta_1 in (0, 1]. Received: {beta_1}")
        self.beta_1 = beta_1
        self.beta_2 = beta_2

    def build(self, variables):
        """Makes the slots."""
        if self.built:
            return
        super().build(variables)
        self._momentums = self.add_optimizer_variables(variables, "momentum")

    def update_step(self, gradient, variable, learning_rate):
        """One step for one variable."""
        g, rate = cast(gradient, variable.dtype), cast(learning_rate, variable.dtype)
        m_slot, m = slot(self, self._momentums, variable)
        direction = ops.sign(m * self.beta_1 + g * (1.0 - self.beta_1))
        variable.assign(variable.tensor_in_mode() - rate * direction)
        m_slot.assign(m * self.beta_2 + g * (1.0 - self.beta_2))


class Lamb(Optimizer):
    """Adam whose step of each weight tensor is as long as the tensor, for very large batches.

    u = m̂ / (√v̂ + ε) as in Adam, w ← w - lr (|w| / |u|) u.

    Args:
        learning_rate: a number, a schedule or a callable.
        beta_1: weight of the old mean of gradients.
        beta_2: weight of the old mean of their squares.
        epsilon: keeps the divisor away from zero.
        Others: as in `Optimizer`.

    Source: You et al. (2020); Keras.
    """

    _own_arguments = ("beta_1", "beta_2", "epsilon")

    def __init__(
        self,
        learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-07, weight_decay=None, clipnorm=None, clipvalue=None,
        global_clipnorm=None, use_ema=False, ema_momentum=0.99, ema_overwrite_frequency=None,
        loss_scale_factor=None, gradient_accumulation_steps=None, name=None, **kwargs,
    ):  # fmt: skip
        super().__init__(
            learning_rate=learning_rate, name=name, weight_decay=weight_decay, clipnorm=clipnorm, clipvalue=clipvalue,
            global_clipnorm=global_clipnorm, use_ema=use_ema, ema_momentum=ema_momentum,
            ema_overwrite_frequency=ema_overwrite_frequency, loss_scale_factor=loss_scale_factor,
            gradient_accumulation_steps=gradient_accumulation_steps, **kwargs,
        )  # fmt: skip
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def build(self, variables):
        """Makes the slots."""
        if self.built:
            return
        super().build(variables)
        self._momentums, self._velocities = self.add_optimizer_variables(variables, ["momentum", "velocity"])

    def update_step(self, gradient, variable, learning_rate):
        """One step for one variable."""
        dtype = variable.dtype
        g, rate, t = cast(gradient, dtype), cast(learning_rate, dtype), cast(self._step_number() + 1, dtype)
        (m_slot, m), (v_slot, v) = (
            slot(self, self._momentums, variable),
            slot(self, self._velocities, variable),
        )
        m = m + (g - m) * (1 - self.beta_1)
        v = v + (ops.square(g) - v) * (1 - self.beta_2)
        m_slot.assign(m)
        v_slot.assign(v)
        mean = m / (1.0 - ops.power(self.beta_1, t))
        step = mean / (ops.sqrt(v / (1.0 - ops.power(self.beta_2, t))) + self.epsilon)
        w = variable.tensor_in_mode()
        size, length = ops.sqrt(ops.sum(ops.square(w))), ops.sqrt(ops.sum(ops.square(step)))
        usual = ops.logical_and(size > 0, length > 0)
        one = ops.ones_like(size)
        ratio = ops.where(usual, size / ops.where(usual, length, one), one)
        variable.assign(w - ratio * rate * step)
