"""RMSprop."""

from rkeras import ops
from rkeras._core.tensor import cast
from rkeras.optimizers.optimizer import Optimizer, slot


class RMSprop(Optimizer):
    """Steps scaled by a running mean of squared gradients.

    s ← ρ s + (1-ρ) g², w ← w - lr g / √(s + ε); centered: s - (mean of g)² in place of s.

    Args:
        learning_rate: a number, a schedule or a callable.
        rho: weight of the old mean.
        momentum: weight of the last step.
        epsilon: keeps the divisor away from zero.
        centered: use the variance instead of the mean square.
        Others: as in `Optimizer`.

    Source: Hinton (2012, lecture 6e); Keras.
    """

    _own_arguments = ("rho", "momentum", "epsilon", "centered")

    def __init__(
        self,
        learning_rate=0.001, rho=0.9, momentum=0.0, epsilon=1e-07, centered=False, weight_decay=None,
        clipnorm=None, clipvalue=None, global_clipnorm=None, use_ema=False, ema_momentum=0.99,
        ema_overwrite_frequency=None, loss_scale_factor=None, gradient_accumulation_steps=None, name=None,
        **kwargs,
    ):  # fmt: skip
        super().__init__(
            learning_rate=learning_rate, name=name, weight_decay=weight_decay, clipnorm=clipnorm, clipvalue=clipvalue,
            global_clipnorm=global_clipnorm, use_ema=use_ema, ema_momentum=ema_momentum,
            ema_overwrite_frequency=ema_overwrite_frequency, loss_scale_factor=loss_scale_factor,
            gradient_accumulation_steps=gradient_accumulation_steps, **kwargs,
        )  # fmt: skip
        self.rho = rho
        self.momentum = momentum
        self.epsilon = epsilon
        self.centered = centered

    def build(self, variables):
        """Makes the slots."""
        if self.built:
            return
        super().build(variables)
        self._velocities = self.add_optimizer_variables(variables, "velocity")
        self._momentums = self.add_optimizer_variables(variables, "momentum") if self.momentum > 0 else []
        self._average_gradients = (
            self.add_optimizer_variables(variables, "average_gradient") if self.centered else []
        )

    def update_step(self, gradient, variable, learning_rate):
        """One step for one variable."""
        rate, g = cast(learning_rate, variable.dtype), cast(gradient, variable.dtype)
        s_slot, s = slot(self, self._velocities, variable)
        s = self.rho * s + (1 - self.rho) * ops.square(g)
        s_slot.assign(s)
        divisor = s + self.epsilon
        if self.centered:
            a_slot, a = slot(self, self._average_gradients, variable)
            a = self.rho * a + (1 - self.rho) * g
            a_slot.assign(a)
            divisor = s - ops.square(a) + self.epsilon
        step = rate * g / ops.sqrt(divisor)
        if self.momentum > 0:
            m_slot, m = slot(self, self._momentums, variable)
            step = self.momentum * m + step
            m_slot.assign(step)
        variable.assign(variable.tensor_in_mode() - step)
