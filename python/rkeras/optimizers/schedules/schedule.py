"""Learning rates that follow the step."""

import math

from rkeras import ops
from rkeras._core.tensor import cast, convert_to_tensor


class LearningRateSchedule:
    """A learning rate as a function of the step. Subclasses define `__call__(step)` and `get_config()`."""

    def __call__(self, step):
        raise NotImplementedError(f"{type(self).__name__}: expected a method __call__(step). Received: none")

    def get_config(self):
        """What `from_config` needs."""
        raise NotImplementedError(f"{type(self).__name__}: expected a method get_config(). Received: none")

    @classmethod
    def from_config(cls, config):
        """The schedule of that config."""
        return cls(**config)


class _Arguments(LearningRateSchedule):
    """Keeps its constructor arguments as its config."""

    def get_config(self):
        return {
            n: getattr(self, n)
            for n in type(self).__init__.__code__.co_varnames[1 : type(self).__init__.__code__.co_argcount]
        }


class ExponentialDecay(_Arguments):
    """initial · rate^(step / decay_steps), in whole steps if `staircase`.

    Args:
        initial_learning_rate: the rate at step 0.
        decay_steps: steps after which the rate is multiplied once.
        decay_rate: the factor.
        staircase: multiply at whole multiples of `decay_steps` only.
        name: a name.

    Example:
        >>> float(keras.optimizers.schedules.ExponentialDecay(1.0, 10, 0.5)(20))
        0.25
    """

    def __init__(
        self, initial_learning_rate, decay_steps, decay_rate, staircase=False, name="ExponentialDecay"
    ):
        self.initial_learning_rate, self.decay_steps, self.decay_rate = (
            initial_learning_rate,
            decay_steps,
            decay_rate,
        )
        self.staircase, self.name = staircase, name
        if decay_steps <= 0:
            raise ValueError(f"ExponentialDecay: expected decay_steps above 0. Received: {decay_steps}")

    def __call__(self, step):
        p = cast(convert_to_tensor(step), "float32") / self.decay_steps
        return self.initial_learning_rate * ops.power(
            float(self.decay_rate), ops.floor(p) if self.staircase else p
        )


class InverseTimeDecay(_Arguments):
    """initial / (1 + rate · step / decay_steps), in whole steps if `staircase`."""

    def __init__(
        self, initial_learning_rate, decay_steps, decay_rate, staircase=False, name="InverseTimeDecay"
    ):
        self.initial_learning_rate, self.decay_steps, self.decay_rate = (
            initial_learning_rate,
            decay_steps,
            decay_rate,
        )
        self.staircase, self.name = staircase, name
        if decay_steps <= 0:
            raise ValueError(f"InverseTimeDecay: expected decay_steps above 0. Received: {decay_steps}")

    def __call__(self, step):
        p = cast(convert_to_tensor(step), "float32") / self.decay_steps
        return self.initial_learning_rate / (1 + self.decay_rate * (ops.floor(p) if self.staircase else p))


class PolynomialDecay(_Arguments):
    """(initial - end) · (1 - step / decay_steps)^power + end."""

    def __init__(
        self, initial_learning_rate, decay_steps, end_learning_rate=0.0001, power=1.0, cycle=False, name="PolynomialDecay"
    ):  # fmt: skip
        self.initial_learning_rate, self.decay_steps, self.end_learning_rate = (
            initial_learning_rate,
            decay_steps,
            end_learning_rate,
        )
        self.power, self.cycle, self.name = power, cycle, name
        if decay_steps <= 0:
            raise ValueError(f"PolynomialDecay: expected decay_steps above 0. Received: {decay_steps}")

    def __call__(self, step):
        step = cast(convert_to_tensor(step), "float32")
        steps = float(self.decay_steps)
        if self.cycle:
            steps = steps * ops.maximum(ops.ceil(step / steps), 1.0)
        else:
            step = ops.minimum(step, steps)
        span = self.initial_learning_rate - self.end_learning_rate
        return span * ops.power(1.0 - step / steps, self.power) + self.end_learning_rate


class PiecewiseConstantDecay(_Arguments):
    """Values that change at given steps.

    Args:
        boundaries: steps, rising.
        values: one more than boundaries.
        name: a name.
    """

    def __init__(self, boundaries, values, name="PiecewiseConstant"):
        if len(boundaries) != len(values) - 1:
            raise ValueError(
                f"PiecewiseConstantDecay: expected one more value than boundaries. Received: {boundaries}, {values}"
            )
        self.boundaries, self.values, self.name = boundaries, values, name

    def __call__(self, step):
        step = cast(convert_to_tensor(step), "float32")
        rate = ops.zeros_like(step) + self.values[0]
        for b, value in zip(self.boundaries, self.values[1:], strict=True):
            rate = ops.where(step > float(b), float(value), rate)
        return rate


class CosineDecay(_Arguments):
    """A rise to `warmup_target` over `warmup_steps`, then half a cosine wave down to `alpha` times the start.

    Source: Loshchilov and Hutter (2016).
    """

    def __init__(
        self, initial_learning_rate, decay_steps, alpha=0.0, name="CosineDecay", warmup_target=None, warmup_steps=0
    ):  # fmt: skip
        self.initial_learning_rate, self.decay_steps, self.alpha, self.name = (
            initial_learning_rate,
            decay_steps,
            alpha,
            name,
        )
        self.warmup_target, self.warmup_steps = warmup_target, warmup_steps
        if decay_steps <= 0:
            raise ValueError(f"CosineDecay: expected decay_steps above 0. Received: {decay_steps}")

    def __call__(self, step):
        step = cast(convert_to_tensor(step), "float32")
        start = self.initial_learning_rate if self.warmup_target is None else self.warmup_target
        warm = self.warmup_steps if self.warmup_target is not None else 0
        done = ops.minimum(ops.maximum(step - warm, 0.0), float(self.decay_steps)) / self.decay_steps
        wave = 0.5 * (1.0 + ops.cos(math.pi * done))
        decayed = start * ((1 - self.alpha) * wave + self.alpha)
        if not warm:
            return decayed
        rise = self.initial_learning_rate + (start - self.initial_learning_rate) * step / warm
        return ops.where(step < warm, rise, decayed)


class CosineDecayRestarts(_Arguments):
    """Half cosine waves down to `alpha` times the start, each `t_mul` times as long and `m_mul` times as high as the last.

    Source: Loshchilov and Hutter (2016).
    """

    def __init__(
        self, initial_learning_rate, first_decay_steps, t_mul=2.0, m_mul=1.0, alpha=0.0, name="SGDRDecay"
    ):  # fmt: skip
        self.initial_learning_rate, self.first_decay_steps = initial_learning_rate, first_decay_steps
        self._t_mul, self._m_mul, self.alpha, self.name = t_mul, m_mul, alpha, name
        if first_decay_steps <= 0:
            raise ValueError(
                f"CosineDecayRestarts: expected first_decay_steps above 0. Received: {first_decay_steps}"
            )

    def __call__(self, step):
        done = cast(convert_to_tensor(step), "float32") / self.first_decay_steps
        if self._t_mul == 1.0:
            wave = ops.floor(done)
            part = done - wave
        else:
            # After n waves 1 + t + ... + tⁿ⁻¹ first lengths are over.
            wave = ops.floor(ops.log(1.0 - done * (1.0 - self._t_mul)) / math.log(self._t_mul))
            length = ops.power(self._t_mul, wave)
            part = (done - (1.0 - length) / (1.0 - self._t_mul)) / length
        height = ops.power(self._m_mul, wave)
        wave_now = 0.5 * height * (1.0 + ops.cos(math.pi * part))
        return self.initial_learning_rate * ((1 - self.alpha) * wave_now + self.alpha)

    def get_config(self):
        """The constructor arguments."""
        return {
            "initial_learning_rate": self.initial_learning_rate, "first_decay_steps": self.first_decay_steps,
            "t_mul": self._t_mul, "m_mul": self._m_mul, "alpha": self.alpha, "name": self.name,
        }  # fmt: skip
