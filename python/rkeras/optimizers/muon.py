"""Muon."""

import re

from rkeras import ops
from rkeras._core.tensor import cast, convert_to_tensor
from rkeras._core.variable import Variable
from rkeras.optimizers.optimizer import Optimizer


class Muon(Optimizer):
    """Momentum whose steps of matrices are made nearly orthogonal; all other weights follow AdamW.

    m ← μ m + g, u = orthogonal factor of g + μ m (or m), w ← w - lr ρ √max(rows, columns) u.
    The factor comes from Newton-Schulz steps x ← a x + (b x xᵀ + c (x xᵀ)²) x.

    Args:
        learning_rate: a number, a schedule or a callable.
        adam_beta_1, adam_beta_2, adam_weight_decay, epsilon: the arguments of AdamW for the other weights.
        weight_decay: fraction of each matrix taken off per step and learning rate.
        exclude_layers: patterns; weights whose path matches one follow AdamW.
        exclude_embeddings: weights with "embedding" in their path follow AdamW.
        muon_a, muon_b, muon_c: a, b, c.
        adam_lr_ratio: the learning rate of AdamW over that of Muon.
        momentum: μ.
        ns_steps: how many Newton-Schulz steps.
        nesterov: look ahead along the momentum.
        rms_rate: ρ; None to leave ρ √max(rows, columns) out.
        Others: as in `Optimizer`.

    Source: Jordan (2024); Liu et al. (2025); Keras.
    """

    _own_arguments = (
        "adam_beta_1", "adam_beta_2", "epsilon", "exclude_layers", "muon_a", "muon_b", "muon_c", "adam_lr_ratio", "momentum",
        "ns_steps", "nesterov", "exclude_embeddings", "adam_weight_decay", "rms_rate",
    )  # fmt: skip

    def __init__(
        self,
        learning_rate=0.001, adam_beta_1=0.9, adam_beta_2=0.999, adam_weight_decay=0.004, epsilon=1e-07,
        weight_decay=0.004, clipnorm=None, clipvalue=None, global_clipnorm=None, use_ema=False, ema_momentum=0.99,
        ema_overwrite_frequency=None, loss_scale_factor=None, gradient_accumulation_steps=None, name=None,
        exclude_layers=None, exclude_embeddings=True, muon_a=3.4445, muon_b=-4.775, muon_c=2.0315, adam_lr_ratio=1,
        momentum=0.95, ns_steps=5, nesterov=True, rms_rate=0.2, **kwargs,
    ):  # fmt: skip
        super().__init__(
            learning_rate=learning_rate, name=name, weight_decay=weight_decay, clipnorm=clipnorm, clipvalue=clipvalue,
            global_clipnorm=global_clipnorm, use_ema=use_ema, ema_momentum=ema_momentum,
            ema_overwrite_frequency=ema_overwrite_frequency, loss_scale_factor=loss_scale_factor,
            gradient_accumulation_steps=gradient_accumulation_steps, **kwargs,
        )  # fmt: skip
        self.adam_beta_1, self.adam_beta_2, self.epsilon = adam_beta_1, adam_beta_2, epsilon
        self.muon_a, self.muon_b, self.muon_c = muon_a, muon_b, muon_c
        self.adam_lr_ratio, self.adam_weight_decay = adam_lr_ratio, adam_weight_decay
        self.momentum, self.ns_steps, self.nesterov, self.rms_rate = momentum, ns_steps, nesterov, rms_rate
        self.exclude_embeddings, self.exclude_layers = exclude_embeddings, exclude_layers or []

    def _follows_adam(self, variable):
        """Is it no matrix, or one that is left out?"""
        if len(variable.shape) != 2:
            return True
        if self.exclude_embeddings and "embedding" in variable.path.lower():
            return True
        return any(re.search(pattern, variable.path) for pattern in self.exclude_layers)

    def build(self, variables):
        """Makes the slots."""
        if self.built:
            return
        super().build(variables)
        self.momentums, self.adam_velocities = [], []
        for v in variables:
            own = not v.overwrite_with_gradient
            self.momentums.append(self.add_variable_from_reference(v, name="momentum") if own else None)
            adam = own and self._follows_adam(v)
            self.adam_velocities.append(
                self.add_variable_from_reference(v, name="velocity") if adam else None
            )

    def update_step(self, gradient, variable, learning_rate):
        """One step for one variable."""
        i = self._get_variable_index(variable)
        m_slot, v_slot = self.momentums[i], self.adam_velocities[i]
        g, rate = cast(gradient, variable.dtype), cast(learning_rate, variable.dtype)
        w, m = variable.tensor_in_mode(), m_slot.tensor_in_mode()
        if v_slot is None:
            m = self.momentum * m + g
            m_slot.assign(m)
            step = rate * self._orthogonal(g + self.momentum * m if self.nesterov else m)
            if self.rms_rate is not None:
                step = step * (max(variable.shape) ** 0.5 * self.rms_rate)
            variable.assign(w - step)
            return
        t, v = cast(self._step_number() + 1, variable.dtype), v_slot.tensor_in_mode()
        rate = rate * self.adam_lr_ratio
        rate = rate * ops.sqrt(1 - ops.power(self.adam_beta_2, t)) / (1 - ops.power(self.adam_beta_1, t))
        m = m + (g - m) * (1 - self.adam_beta_1)
        v = v + (ops.square(g) - v) * (1 - self.adam_beta_2)
        m_slot.assign(m)
        v_slot.assign(v)
        variable.assign(w - m * rate / (ops.sqrt(v) + self.epsilon))

    def _orthogonal(self, x):
        """U Vᵀ of x = U S Vᵀ, nearly."""
        tall = x.shape[0] > x.shape[1]
        if tall:
            x = ops.transpose(x)
        x = x / (ops.sqrt(ops.sum(ops.square(x))) + 1e-7)
        for _ in range(self.ns_steps):
            a = ops.matmul(x, ops.transpose(x))
            x = self.muon_a * x + ops.matmul(self.muon_b * a + self.muon_c * ops.matmul(a, a), x)
        return ops.transpose(x) if tall else x

    def _apply_weight_decay(self, variables):
        rate = self._get_current_learning_rate()
        rate = rate.tensor_in_mode() if isinstance(rate, Variable) else convert_to_tensor(rate)
        for v in variables:
            decay = self.adam_weight_decay if self._follows_adam(v) else self.weight_decay
            if decay is not None and self._use_weight_decay(v):
                value = v.tensor_in_mode()
                v.assign(value - value * cast(rate, v.dtype) * decay)
