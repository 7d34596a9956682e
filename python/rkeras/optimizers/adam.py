"""Adam and its relatives."""

from rkeras import ops
from rkeras._core.tensor import cast
from rkeras.optimizers.optimizer import Optimizer, slot


class Adam(Optimizer):
    """Steps scaled by running means of gradients and their squares.

    m ← β₁ m + (1-β₁) g, v ← β₂ v + (1-β₂) g², w ← w - lr √(1-β₂ᵗ)/(1-β₁ᵗ) m / (√v + ε).

    Args:
        learning_rate: a number, a schedule or a callable.
        beta_1: weight of the old mean of gradients.
        beta_2: weight of the old mean of their squares.
        epsilon: keeps the divisor away from zero.
        amsgrad: divide by the largest mean so far.
        Others: as in `Optimizer`.

    Source: Kingma and Ba (2014); Reddi et al. (2018) for amsgrad; Keras.
    """

    _own_arguments = ("beta_1", "beta_2", "epsilon", "amsgrad")

    def __init__(
        self,
        learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-07, amsgrad=False, weight_decay=None,
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
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.amsgrad = amsgrad

    def build(self, variables):
        """Makes the slots."""
        if self.built:
            return
        super().build(variables)
        names = ["momentum", "velocity"]
        self._momentums, self._velocities = self.add_optimizer_variables(variables, names)
        if self.amsgrad:
            self._velocity_hats = self.add_optimizer_variables(variables, "velocity_hat")

    def update_step(self, gradient, variable, learning_rate):
        """One step for one variable."""
        dtype = variable.dtype
        g, t = cast(gradient, dtype), cast(self._step_number() + 1, dtype)
        rate = (
            cast(learning_rate, dtype)
            * ops.sqrt(1 - ops.power(self.beta_2, t))
            / (1 - ops.power(self.beta_1, t))
        )
        (m_slot, m), (v_slot, v) = (
            slot(self, self._momentums, variable),
            slot(self, self._velocities, variable),
        )
        m = m + (g - m) * (1 - self.beta_1)
        v = v + (ops.square(g) - v) * (1 - self.beta_2)
        m_slot.assign(m)
        v_slot.assign(v)
        if self.amsgrad:
            hat_slot, hat = slot(self, self._velocity_hats, variable)
            v = ops.maximum(hat, v)
            hat_slot.assign(v)
        variable.assign(variable.tensor_in_mode() - m * rate / (ops.sqrt(v) + self.epsilon))


class AdamW(Adam):
    """Adam with weight decay apart from the gradient.

    As Adam, after w ← w - lr λ w.

    Args:
        learning_rate: a number, a schedule or a callable.
        beta_1: weight of the old mean of gradients.
        beta_2: weight of the old mean of their squares.
        epsilon: keeps the divisor away from zero.
        amsgrad: divide by the largest mean so far.
        Others: as in `Optimizer`.

    Source: Loshchilov and Hutter (2019); Keras.
    """

    _own_arguments = ("beta_1", "beta_2", "epsilon", "amsgrad")

    def __init__(
        self,
        learning_rate=0.001, weight_decay=0.004, beta_1=0.9, beta_2=0.999, epsilon=1e-07, amsgrad=False,
        clipnorm=None, clipvalue=None, global_clipnorm=None, use_ema=False, ema_momentum=0.99,
        ema_overwrite_frequency=None, loss_scale_factor=None, gradient_accumulation_steps=None, name=None,
        **kwargs,
    ):  # fmt: skip
        super().__init__(
            learning_rate=learning_rate, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon, amsgrad=amsgrad, name=name, weight_decay=weight_decay, clipnorm=clipnorm, clipvalue=clipvalue,
            global_clipnorm=global_clipnorm, use_ema=use_ema, ema_momentum=ema_momentum,
            ema_overwrite_frequency=ema_overwrite_frequency, loss_scale_factor=loss_scale_factor,
            gradient_accumulation_steps=gradient_accumulation_steps, **kwargs,
        )  # fmt: skip
        if self.weight_decay is None:
            raise ValueError("AdamW: expected weight_decay to be a number. Received: None")


class Adamax(Optimizer):
    """Adam with the largest gradient so far instead of the mean square.

    u ← max(β₂ u, |g|), w ← w - lr/(1-β₁ᵗ) m / (u + ε).

    Args:
        learning_rate: a number, a schedule or a callable.
        beta_1: weight of the old mean of gradients.
        beta_2: weight of the old mean of their squares.
        epsilon: keeps the divisor away from zero.
        Others: as in `Optimizer`.

    Source: Kingma and Ba (2014); Keras.
    """

    _own_arguments = ("beta_1", "beta_2", "epsilon")

    def __init__(
        self,
        learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-07, weight_decay=None, clipnorm=None,
        clipvalue=None, global_clipnorm=None, use_ema=False, ema_momentum=0.99,
        ema_overwrite_frequency=None, loss_scale_factor=None, gradient_accumulation_steps=None, name=None,
        **kwargs,
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
        self._m, self._u = self.add_optimizer_variables(variables, ["momentum", "norm"])

    def update_step(self, gradient, variable, learning_rate):
        """One step for one variable."""
        dtype = variable.dtype
        g, t = cast(gradient, dtype), cast(self._step_number() + 1, dtype)
        rate = cast(learning_rate, dtype) / (1 - ops.power(self.beta_1, t))
        (m_slot, m), (u_slot, u) = slot(self, self._m, variable), slot(self, self._u, variable)
        m = m + (g - m) * (1 - self.beta_1)
        u = ops.maximum(self.beta_2 * u, ops.abs(g))
        m_slot.assign(m)
        u_slot.assign(u)
        variable.assign(variable.tensor_in_mode() - rate * m / (u + self.epsilon))
