"""Loss scaling for half precision."""

from rkeras import initializers, ops
from rkeras._core import registry
from rkeras.optimizers.optimizer import Optimizer

_DEFAULTS = {
    "weight_decay": None, "clipnorm": None, "global_clipnorm": None, "clipvalue": None, "use_ema": False,
    "ema_momentum": 0.99, "ema_overwrite_frequency": None, "loss_scale_factor": None, "gradient_accumulation_steps": None,
}  # fmt: skip


class LossScaleOptimizer(Optimizer):
    """An optimizer for float16: the loss is made larger before differentiation and gradients smaller afterwards.

    After a step with a gradient that is not finite, which is left out, the scale is halved; after so many steps without
    one it is doubled.

    Args:
        inner_optimizer: the optimizer that makes the steps.
        initial_scale: the first scale.
        dynamic_growth_steps: steps without such a gradient before the scale is doubled.
        name: a name.

    Raises:
        ValueError: for arguments that belong to the inner optimizer.

    Source: Micikevicius et al. (2018); Keras.
    """

    def __init__(
        self, inner_optimizer, initial_scale=32768.0, dynamic_growth_steps=2000, name=None, **kwargs
    ):
        if not kwargs.pop("dynamic", True):
            raise ValueError(
                "LossScaleOptimizer: expected dynamic=True. Received: False. Hint: set loss_scale_factor of the inner optimizer"
            )
        for key, default in _DEFAULTS.items():
            if kwargs.pop(key, default) != default:
                raise ValueError(
                    f"LossScaleOptimizer: expected no {key}. Received: one. Hint: set it in the inner optimizer"
                )
        super().__init__(learning_rate=0.0, name=name, **kwargs)
        self.inner_optimizer = inner_optimizer
        self.initial_scale = initial_scale
        self.dynamic_growth_steps = dynamic_growth_steps
        inner_optimizer.loss_scale_factor = None  # else gradients would be scaled twice

    def build(self, variables):
        """Makes the slots, those of the inner optimizer too."""
        if self.built:
            return
        self.step_counter = self.add_variable((), "zeros", dtype="int", name="step_counter")
        start = initializers.Constant(self.initial_scale)
        self.dynamic_scale = self.add_variable((), start, dtype="float32", name="dynamic_scale")
        self.inner_optimizer.build(variables)
        super().build(variables)

    @property
    def variables(self):
        """All variables, those of the inner optimizer last."""
        return [*self._variables, *self.inner_optimizer.variables]

    def apply(self, grads, trainable_variables=None):
        """Updates the variables, unless a gradient is not finite. Written with `where`, so that a step can be traced."""
        grads = list(grads)
        if not self.built:
            self.build(list(trainable_variables))
        variables = list(self._trainable_variables if trainable_variables is None else trainable_variables)
        flags = [ops.all(ops.isfinite(g)) for g in grads if g is not None]
        finite = flags[0]
        for flag in flags[1:]:
            finite = ops.logical_and(finite, flag)
        inner = self.inner_optimizer
        scale, steps = self.dynamic_scale.tensor_in_mode(), self.step_counter.tensor_in_mode()
        known = {id(v): v for v in [*inner.variables, *variables]}
        before = {k: v.tensor_in_mode() for k, v in known.items()}
        unscaled = [
            g if g is None or v.overwrite_with_gradient else ops.divide(g, ops.cast(scale, g.dtype))
            for g, v in zip(grads, variables, strict=True)
        ]
        inner.apply(unscaled, variables)
        for k, v in known.items():
            v.assign(ops.where(finite, v.tensor_in_mode(), before[k]))
        due = ops.equal(steps, self.dynamic_growth_steps - 1)
        grown = ops.where(due, scale * 2.0, scale)
        self.dynamic_scale.assign(ops.where(finite, grown, scale * 0.5))
        zero = ops.zeros_like(steps)
        self.step_counter.assign(ops.where(ops.logical_and(finite, ops.logical_not(due)), steps + 1, zero))

    @property
    def learning_rate(self):
        """The learning rate of the inner optimizer."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, value):
        self.inner_optimizer.learning_rate = value

    lr = learning_rate

    @property
    def iterations(self):
        """The steps of the inner optimizer; steps left out do not count."""
        return self.inner_optimizer.iterations

    def scale_loss(self, loss):
        """The loss times the scale."""
        return loss * (self.dynamic_scale.value if self.built else self.initial_scale)

    def finalize_variable_values(self, var_list):
        """As the inner optimizer does."""
        self.inner_optimizer.finalize_variable_values(var_list)

    def get_config(self):
        """What `from_config` needs."""
        return {
            "name": self.name, "inner_optimizer": registry.serialize_keras_object(self.inner_optimizer),
            "initial_scale": self.initial_scale, "dynamic_growth_steps": self.dynamic_growth_steps,
        }  # fmt: skip

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The optimizer of that config."""
        config = dict(config)
        inner = registry.deserialize_keras_object(
            config.pop("inner_optimizer"), custom_objects=custom_objects
        )
        return cls(inner, **config)
