"""AdamW without a schedule."""

from rkeras import ops
from rkeras._core.tensor import cast
from rkeras.optimizers.optimizer import Optimizer, slot


class ScheduleFreeAdamW(Optimizer):
    """AdamW that averages its weights as it goes, instead of lowering the learning rate.

    v ← β₂ v + (1-β₂) g², z ← z - lr g / (√(v/(1-β₂ᵗ)) + ε), x ← (1 - 1/t) x + z / t, w = (1-β₁) z + β₁ x.

    Args:
        learning_rate: a number, a schedule or a callable.
        beta_1: the part of the average x in the weights.
        beta_2: weight of the old mean of squares.
        epsilon: keeps the divisor away from zero.
        warmup_steps: steps over which the learning rate rises from zero.
        Others: as in `Optimizer`.

    Source: Defazio et al. (2024); Keras.
    """

    _own_arguments = ("beta_1", "beta_2", "epsilon", "warmup_steps")

    def __init__(
        self,
        learning_rate=0.0025, beta_1=0.9, beta_2=0.999, epsilon=1e-08, warmup_steps=0, weight_decay=None, clipnorm=None, clipvalue=None,
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
        self.warmup_steps = warmup_steps

    def build(self, variables):
        """Makes the slots; z begins at the weights."""
        if self.built:
            return
        super().build(variables)
        self._momentums, self._velocities = self.add_optimizer_variables(variables, ["momentum", "velocity"])
        for z, v in zip(self._momentums, variables, strict=True):
            if z is not None:
                z.assign(v.tensor())

    def update_step(self, gradient, variable, learning_rate):
        """One step for one variable."""
        dtype = variable.dtype
        g, rate, t = cast(gradient, dtype), cast(learning_rate, dtype), cast(self._step_number() + 1, dtype)
        if self.warmup_steps > 0:
            rate = rate * ops.minimum(t / self.warmup_steps, 1.0)
        (z_slot, z), (v_slot, v) = (
            slot(self, self._momentums, variable),
            slot(self, self._velocities, variable),
        )
        # The average is not kept: it follows from the weights and z.
        x = (variable.tensor_in_mode() - (1 - self.beta_1) * z) / self.beta_1
        v = v + (ops.square(g) - v) * (1 - self.beta_2)
        z = z - rate * g / (ops.sqrt(v / (1 - ops.power(self.beta_2, t))) + self.epsilon)
        x = (1 - 1.0 / t) * x + z / t
        v_slot.assign(v)
        z_slot.assign(z)
        variable.assign((1 - self.beta_1) * z + self.beta_1 * x)
