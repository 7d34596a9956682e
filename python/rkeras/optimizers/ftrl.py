"""Ftrl."""

from rkeras import initializers, ops
from rkeras._core.tensor import cast
from rkeras.optimizers.optimizer import Optimizer, slot


class Ftrl(Optimizer):
    """Follows the regularised leader: weights that minimise all linearised losses so far, many of them exactly 0.

    ĝ = g + 2 s w, n' = n + g², z ← z + ĝ - (n'⁻ᵖ - n⁻ᵖ) w / lr,
    w ← (clip(z, ±l₁) - z) / (n'⁻ᵖ / lr + 2 l₂ + β / lr), n ← n'.

    Args:
        learning_rate: a number, a schedule or a callable.
        learning_rate_power: p, zero or below.
        initial_accumulator_value: the first n, zero or above.
        l1_regularization_strength: l₁, zero or above.
        l2_regularization_strength: l₂, zero or above.
        l2_shrinkage_regularization_strength: s, zero or above.
        beta: β.
        Others: as in `Optimizer`.

    Raises:
        ValueError: for values out of range.

    Source: McMahan et al. (2013); Keras.
    """

    _own_arguments = (
        "learning_rate_power", "initial_accumulator_value", "l1_regularization_strength", "l2_regularization_strength",
        "l2_shrinkage_regularization_strength", "beta",
    )  # fmt: skip

    def __init__(
        self,
        learning_rate=0.001, learning_rate_power=-0.5, initial_accumulator_value=0.1, l1_regularization_strength=0.0,
        l2_regularization_strength=0.0, l2_shrinkage_regularization_strength=0.0, beta=0.0, weight_decay=None, clipnorm=None, clipvalue=None,
        global_clipnorm=None, use_ema=False, ema_momentum=0.99, ema_overwrite_frequency=None,
        loss_scale_factor=None, gradient_accumulation_steps=None, name=None, **kwargs,
    ):  # fmt: skip
        super().__init__(
            learning_rate=learning_rate, name=name, weight_decay=weight_decay, clipnorm=clipnorm, clipvalue=clipvalue,
            global_clipnorm=global_clipnorm, use_ema=use_ema, ema_momentum=ema_momentum,
            ema_overwrite_frequency=ema_overwrite_frequency, loss_scale_factor=loss_scale_factor,
            gradient_accumulation_steps=gradient_accumulation_steps, **kwargs,
        )  # fmt: skip
        self.learning_rate_power = learning_rate_power
        self.initial_accumulator_value = initial_accumulator_value
        self.l1_regularization_strength = l1_regularization_strength
        self.l2_regularization_strength = l2_regularization_strength
        self.l2_shrinkage_regularization_strength = l2_shrinkage_regularization_strength
        self.beta = beta
        if learning_rate_power > 0:
            raise ValueError(
                f"Ftrl: expected learning_rate_power of zero or below. Received: {learning_rate_power}"
            )
        for argument in self._own_arguments[1:5]:
            if getattr(self, argument) < 0:
                raise ValueError(
                    f"Ftrl: expected {argument} of zero or above. Received: {getattr(self, argument)}"
                )

    def build(self, variables):
        """Makes the slots."""
        if self.built:
            return
        super().build(variables)
        starts = [initializers.Constant(self.initial_accumulator_value), "zeros"]
        self._accumulators, self._linears = self.add_optimizer_variables(
            variables, ["accumulator", "linear"], starts
        )

    def update_step(self, gradient, variable, learning_rate):
        """One step for one variable."""
        g, rate = cast(gradient, variable.dtype), cast(learning_rate, variable.dtype)
        w, p = variable.tensor_in_mode(), -self.learning_rate_power
        (n_slot, n), (z_slot, z) = (
            slot(self, self._accumulators, variable),
            slot(self, self._linears, variable),
        )
        new = n + ops.square(g)
        z = z + g + 2 * self.l2_shrinkage_regularization_strength * w
        z = z - (ops.power(new, p) - ops.power(n, p)) / rate * w
        l1 = self.l1_regularization_strength
        l2 = self.l2_regularization_strength + self.beta / (2.0 * rate)
        variable.assign((ops.clip(z, -l1, l1) - z) / (ops.power(new, p) / rate + 2 * l2))
        z_slot.assign(z)
        n_slot.assign(new)
