"""What `train_step`s written for tf.keras 2 call: `self.compiled_loss` and `self.compiled_metrics`."""

from rkeras._core import tree
from rkeras._core.tensor import convert_to_tensor


class LegacyLoss:
    """The loss of `compile` as a function that also tracks it."""

    def __init__(self, model):
        self._model = model

    def __call__(self, y_true, y_pred, sample_weight=None, regularization_losses=None):
        model = self._model
        model._assert_compiled("compiled_loss")
        parts = []
        if model._compile_loss is not None:
            parts.append(model._compile_loss(y_true, y_pred, sample_weight))
        parts.extend(convert_to_tensor(v) for v in regularization_losses or ())
        if not parts:
            raise ValueError("compiled_loss: expected a loss in compile(). Received: none")
        total = parts[0]
        for p in parts[1:]:
            total = total + p
        model._loss_tracker.update_state(total, sample_weight=float(tree.flatten(y_pred)[0].shape[0]))
        return total

    @property
    def metrics(self):
        """The trackers of the loss and of its parts."""
        model = self._model
        parts = [] if model._compile_loss is None else model._compile_loss.metrics
        return [model._loss_tracker, *parts]


class LegacyMetrics:
    """The metrics of `compile` as one object."""

    def __init__(self, model):
        self._model = model

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Takes a batch into account."""
        self._model._assert_compiled("compiled_metrics")
        if self._model._compile_metrics is not None:
            self._model._compile_metrics.update_state(y_true, y_pred, sample_weight)

    @property
    def metrics(self):
        """The metrics."""
        compiled = self._model._compile_metrics
        return [] if compiled is None else compiled.metrics

    def reset_state(self):
        """Sets all of them to their start."""
        for m in self.metrics:
            m.reset_state()
