"""Stochastic gradient descent."""

from rkeras._core.tensor import cast
from rkeras.optimizers.optimizer import Optimizer, slot


class SGD(Optimizer):
    """Gradient descent, with momentum if wanted.

    w ← w - lr g; with momentum m: v ← m v - lr g, w ← w + v (Nesterov: w ← w + m v - lr g).

    Args:
        learning_rate: a number, a schedule or a callable.
        momentum: weight of the last step, in [0, 1].
        nesterov: look ahead along the momentum.
        Others: as in `Optimizer`.

    Source: Sutskever et al. (2013); Keras.
    """

    _own_arguments = ("momentum", "nesterov")

    def __init__(
        self,
        learning_rate=0.01, momentum=0.0, nesterov=False, weight_decay=None, clipnorm=None, clipvalue=None,
        global_clipnorm=None, use_ema=False, ema_momentum=0.99, ema_overwrite_frequency=None,
        loss_scale_factor=None, gradient_accumulation_steps=None, name=None, **kwargs,
    ):  # fmt: skip
        super().__init__(
            learning_rate=learning_rate, name=name, weight_decay=weight_decay, clipnorm=clipnorm, clipvalue=clipvalue,
            global_clipnorm=global_clipnorm, use_ema=use_ema, ema_momentum=ema_momentum,
            ema_overwrite_frequency=ema_overwrite_frequency, loss_scale_factor=loss_scale_factor,
            gradient_accumulation_steps=gradient_accumulation_steps, **kwargs,
        )  # fmt: skip
        self.momentum = momentum
        self.nesterov = nesterov
        if not isinstance(momentum, (int, float)) or not 0 <= momentum <= 1:
            raise ValueError(f"SGD: expected momentum in [0, 1]. Received: {momentum!r}")

    def build(self, variables):
        """Makes the slots."""
        if self.built:
            return
        super().build(variables)
        self.momentums = self.add_optimizer_variables(variables, "momentum") if self.momentum != 0 else []

    def update_step(self, gradient, variable, learning_rate):
        """One step for one variable."""
        rate, g = cast(learning_rate, variable.dtype), cast(gradient, variable.dtype)
        w = variable.tensor_in_mode()
        if self.momentum == 0:
            variable.assign(w - g * rate)
            return
        v, last = slot(self, self.momentums, variable)
        step = last * self.momentum - g * rate
        v.assign(step)
        variable.assign(w + step * self.momentum - g * rate if self.nesterov else w + step)
