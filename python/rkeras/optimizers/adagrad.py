"""Adagrad and Adadelta: steps scaled by sums or means of squared gradients."""

from rkeras import initializers, ops
from rkeras._core.tensor import cast
from rkeras.optimizers.optimizer import Optimizer, slot


class Adagrad(Optimizer):
    """Steps that become smaller the more a weight has been changed.

    a ← a + g², w ← w - lr g / √(a + ε).

    Args:
        learning_rate: a number, a schedule or a callable.
        initial_accumulator_value: the first a.
        epsilon: keeps the divisor away from zero.
        Others: as in `Optimizer`.

    Source: Duchi, Hazan and Singer (2011); Keras.
    """

    _own_arguments = ("initial_accumulator_value", "epsilon")

    def __init__(
        self,
        learning_rate=0.001, initial_accumulator_value=0.1, epsilon=1e-07, weight_decay=None, clipnorm=None, clipvalue=None,
        global_clipnorm=None, use_ema=False, ema_momentum=0.99, ema_overwrite_frequency=None,
        loss_scale_factor=None, gradient_accumulation_steps=None, name=None, **kwargs,
    ):  # fmt: skip
        super().__init__(
            learning_rate=learning_rate, name=name, weight_decay=weight_decay, clipnorm=clipnorm, clipvalue=clipvalue,
            global_clipnorm=global_clipnorm, use_ema=use_ema, ema_momentum=ema_momentum,
            ema_overwrite_frequency=ema_overwrite_frequency, loss_scale_factor=loss_scale_factor,
            gradient_accumulation_steps=gradient_accumulation_steps, **kwargs,
        )  # fmt: skip
        self.initial_accumulator_value = initial_accumulator_value
        self.epsilon = epsilon

    def build(self, variables):
        """Makes the slots."""
        if self.built:
            return
        super().build(variables)
        start = initializers.Constant(self.initial_accumulator_value)
        self._accumulators = self.add_optimizer_variables(variables, "accumulator", start)

    def update_step(self, gradient, variable, learning_rate):
        """One step for one variable."""
        g, rate = cast(gradient, variable.dtype), cast(learning_rate, variable.dtype)
        a_slot, a = slot(self, self._accumulators, variable)
        a = a + ops.square(g)
        a_slot.assign(a)
        variable.assign(variable.tensor_in_mode() - rate * g / ops.sqrt(a + self.epsilon))


class Adadelta(Optimizer):
    """Steps scaled by running means of squared gradients and of squared steps.

    a ← ρ a + (1-ρ) g², s = √(d + ε) g / √(a + ε), d ← ρ d + (1-ρ) s², w ← w - lr s.

    Args:
        learning_rate: a number, a schedule or a callable; 1.0 is the method as published.
        rho: weight of the old means.
        epsilon: keeps roots away from zero.
        Others: as in `Optimizer`.

    Source: Zeiler (2012); Keras.
    """

    _own_arguments = ("rho", "epsilon")

    def __init__(
        self,
        learning_rate=0.001, rho=0.95, epsilon=1e-07, weight_decay=None, clipnorm=None, clipvalue=None,
        global_clipnorm=None, use_ema=False, ema_momentum=0.99, ema_overwrite_frequency=None,
        loss_scale_factor=None, gradient_accumulation_steps=None, name=None, **kwargs,
    ):  # fmt: skip
        super().__init__(
            learning_rate=learning_rate, name=name, weight_decay=weight_decay, clipnorm=clipnorm, clipvalue=clipvalue,
            global_clipnorm=global_clipnorm, use_ema=use_ema, ema_momentum=ema_momentum,
            ema_overwrite_frequency=ema_overwrite_frequency, loss_scale_factor=loss_scale_factor,
            gradient_accumulation_steps=gradient_accumulation_steps, **kwargs,
        )  # fmt: skip
        self.rho = rho
        self.epsilon = epsilon

    def build(self, variables):
        """Makes the slots."""
        if self.built:
            return
        super().build(variables)
        names = ["accumulated_grad", "accumulated_delta_var"]
        self._accumulated_grads, self._accumulated_delta_vars = self.add_optimizer_variables(variables, names)

    def update_step(self, gradient, variable, learning_rate):
        """One step for one variable."""
        g, rate = cast(gradient, variable.dtype), cast(learning_rate, variable.dtype)
        (a_slot, a), (d_slot, d) = (
            slot(self, self._accumulated_grads, variable),
            slot(self, self._accumulated_delta_vars, variable),
        )
        a = self.rho * a + (1 - self.rho) * ops.square(g)
        step = ops.sqrt(d + self.epsilon) * g / ops.sqrt(a + self.epsilon)
        d = self.rho * d + (1 - self.rho) * ops.square(step)
        a_slot.assign(a)
        d_slot.assign(d)
        variable.assign(variable.tensor_in_mode() - rate * step)
