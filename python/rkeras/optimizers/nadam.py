"""Nadam."""

from rkeras import ops
from rkeras._core import settings
from rkeras._core.tensor import cast
from rkeras._core.variable import Variable
from rkeras.optimizers.optimizer import Optimizer, slot


class Nadam(Optimizer):
    """Adam with Nesterov's momentum: the mean of gradients as it will be after the next step.

    μₜ = β₁ (1 - 0.96ᵗ/2), m ← β₁ m + (1-β₁) g, v ← β₂ v + (1-β₂) g²,
    m̂ = μₜ₊₁ m / (1 - Πμ…μₜ₊₁) + (1-μₜ) g / (1 - Πμ…μₜ), w ← w - lr m̂ / (√(v/(1-β₂ᵗ)) + ε).

    Args:
        learning_rate: a number, a schedule or a callable.
        beta_1: weight of the old mean of gradients.
        beta_2: weight of the old mean of their squares.
        epsilon: keeps the divisor away from zero.
        Others: as in `Optimizer`.

    Source: Dozat (2016); Keras.
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
        dtype = variables[0].dtype if variables else settings.floatx()
        self._u_product = Variable(1.0, dtype=dtype, trainable=False)
        self._track(self._u_product)

    def _momentum(self, step, dtype):
        """μ of a step."""
        return self.beta_1 * (
            1.0 - 0.5 * ops.power(cast(ops.convert_to_tensor(0.96), dtype), cast(step, dtype))
        )

    def _update(self, grads, variables):
        u = self._u_product
        u.assign(u.tensor_in_mode() * self._momentum(self._step_number() + 1, u.dtype))
        super()._update(grads, variables)

    def update_step(self, gradient, variable, learning_rate):
        """One step for one variable."""
        dtype = variable.dtype
        g, rate, step = cast(gradient, dtype), cast(learning_rate, dtype), self._step_number() + 1
        now, after = self._momentum(step, dtype), self._momentum(step + 1, dtype)
        product = cast(self._u_product.tensor_in_mode(), dtype)
        (m_slot, m), (v_slot, v) = (
            slot(self, self._momentums, variable),
            slot(self, self._velocities, variable),
        )
        m = m + (g - m) * (1 - self.beta_1)
        v = v + (ops.square(g) - v) * (1 - self.beta_2)
        m_slot.assign(m)
        v_slot.assign(v)
        ahead = after * m / (1 - product * after) + (1 - now) * g / (1 - product)
        spread = v / (1 - ops.power(self.beta_2, cast(step, dtype)))
        variable.assign(variable.tensor_in_mode() - ahead * rate / (ops.sqrt(spread) + self.epsilon))
