"""Callbacks that watch a result: checkpoints, early stopping, slower learning on a plateau."""

import os
import warnings

import numpy as np

from rkeras.callbacks.callback import Callback


def direction(monitor, mode, model=None, who="callback"):
    """(is better than, the worst value) for a result's name.

    `mode` "auto" looks at the name: accuracies and scores rise, everything else falls.
    """
    if mode not in ("auto", "min", "max"):
        warnings.warn(
            f'{who}: expected mode "auto", "min" or "max". Received: {mode!r}. "auto" is used.', stacklevel=3
        )
        mode = "auto"
    if mode == "auto":
        name = monitor.removeprefix("val_")
        for m in getattr(model, "metrics", []) if model is not None else []:
            if m.name == name and hasattr(m, "_direction"):
                mode = "max" if m._direction == "up" else "min"
                break
        else:
            rising = name.endswith(("acc", "accuracy", "auc")) or any(
                w in name for w in ("precision", "recall", "f1", "iou")
            )
            mode = "max" if rising else "min"
    return (np.greater, -np.inf) if mode == "max" else (np.less, np.inf)


class _Monitor(Callback):
    def __init__(self, monitor, mode):
        super().__init__()
        self.monitor, self.mode = monitor, mode
        self.better = None

    def _decide(self):
        self.better, self.worst = direction(self.monitor, self.mode, self.model, type(self).__name__)

    def current(self, logs):
        """The watched result; None with a warning if it is not there."""
        value = (logs or {}).get(self.monitor)
        if value is None:
            warnings.warn(
                f"{type(self).__name__}: expected a result named {self.monitor!r}. Received: {sorted(logs or {})}.",
                stacklevel=3,
            )
        return value


class ModelCheckpoint(_Monitor):
    """Saves the model during training.

    Args:
        filepath: a path that may contain `{epoch}` and results, e.g. "{epoch:02d}-{val_loss:.2f}.keras".
        monitor: the result that is watched.
        verbose: 1 says what is saved.
        save_best_only: only when the watched result is better than ever.
        save_weights_only: weights instead of whole models: `.weights.h5`, or another path of `save_weights`.
        mode: "min", "max", or "auto".
        save_freq: "epoch", or a number of batches.
        initial_value_threshold: what the watched result has to beat at first.

    Raises:
        ValueError: if the path does not fit what is saved.
    """

    def __init__(
        self, filepath, monitor="val_loss", verbose=0, save_best_only=False, save_weights_only=False, mode="auto",
        save_freq="epoch", initial_value_threshold=None,
    ):  # fmt: skip
        super().__init__(monitor, mode)
        self.verbose, self.save_best_only, self.save_weights_only = verbose, save_best_only, save_weights_only
        self.filepath = os.fspath(filepath)
        self.save_freq, self.best = save_freq, initial_value_threshold
        self.epochs_since_last_save = 0
        self._batches, self._epoch = 0, 0
        if save_freq != "epoch" and not isinstance(save_freq, int):
            raise ValueError(
                f'ModelCheckpoint: expected save_freq "epoch" or a number of batches. Received: {save_freq!r}'
            )
        endings = (".weights.h5", ".weights.json", ".h5", ".hdf5", ".safetensors", ".ckpt")
        # A path without ending is that of a TensorFlow checkpoint.
        named = os.path.splitext(os.path.basename(self.filepath))[1]
        if save_weights_only and named and not self.filepath.endswith(endings):
            raise ValueError(
                f'ModelCheckpoint: expected a path ending in ".weights.h5" (or {", ".join(endings[2:])}, nothing) for weights. '
                f"Received: {self.filepath!r}"
            )
        # A path without ending is that of a SavedModel folder.
        if not save_weights_only and named and not self.filepath.endswith((".keras", ".h5", ".hdf5")):
            raise ValueError(
                'ModelCheckpoint: expected a path ending in ".keras" (or ".h5", or nothing for a SavedModel folder). '
                f"Received: {self.filepath!r}"
            )
        # Called at every batch only if it has to be.
        if save_freq != "epoch":
            self.__class__ = _BatchCheckpoint

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        if self.save_freq == "epoch":
            self._save(epoch, logs or {})

    def _save(self, epoch, logs, batch=None):
        path = self._path(epoch, logs, batch)
        if self.save_best_only:
            current = self.current(logs)
            if current is None:
                return
            if self.better is None:
                self._decide()
            if self.best is not None and not self.better(current, self.best):
                if self.verbose:
                    print(f"\nEpoch {epoch + 1}: {self.monitor} did not improve from {self.best:.5f}")
                return
            if self.verbose:
                old = self.worst if self.best is None else self.best
                print(
                    f"\nEpoch {epoch + 1}: {self.monitor} improved from {old:.5f} to {current:.5f}, saving model to {path}"
                )
            self.best = current
        elif self.verbose:
            print(f"\nEpoch {epoch + 1}: saving model to {path}")
        folder = os.path.dirname(path)
        if folder:
            os.makedirs(folder, exist_ok=True)
        if self.save_weights_only:
            self.model.save_weights(path, overwrite=True)
        else:
            self.model.save(path, overwrite=True)

    def _path(self, epoch, logs, batch):
        extra = {} if batch is None else {"batch": batch + 1}
        try:
            return self.filepath.format(epoch=epoch + 1, **extra, **logs)
        except KeyError as error:
            raise KeyError(
                f"ModelCheckpoint: expected names of results in {self.filepath!r}. Received: {error}; there are {sorted(logs)}"
            ) from None


class _BatchCheckpoint(ModelCheckpoint):
    """A checkpoint that counts batches."""

    def on_train_batch_end(self, batch, logs=None):
        self._batches += 1
        if self._batches % self.save_freq == 0:
            self._save(self._epoch, logs or {}, batch)


class EarlyStopping(_Monitor):
    """Stops training when a result no longer improves.

    Args:
        monitor: the result that is watched.
        min_delta: changes below this do not count.
        patience: epochs without improvement to wait for.
        verbose: 1 says when it stops.
        mode: "min", "max", or "auto".
        baseline: what the result has to beat.
        restore_best_weights: go back to the weights of the best epoch.
        start_from_epoch: epochs to wait before watching.
    """

    def __init__(
        self, monitor="val_loss", min_delta=0, patience=0, verbose=0, mode="auto", baseline=None, restore_best_weights=False,
        start_from_epoch=0,
    ):  # fmt: skip
        super().__init__(monitor, mode)
        self.patience, self.verbose, self.baseline = patience, verbose, baseline
        self.min_delta = abs(min_delta)
        self.restore_best_weights, self.start_from_epoch = restore_best_weights, start_from_epoch
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self.best = self.best_weights = None

    def on_train_begin(self, logs=None):
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self.best = self.best_weights = None
        self._decide()

    def _improves(self, value, reference):
        delta = self.min_delta if self.better is np.less else -self.min_delta
        return self.better(value, reference - delta)

    def on_epoch_end(self, epoch, logs=None):
        current = self.current(logs)
        if current is None or epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            self.best_weights, self.best_epoch = self.model.get_weights(), epoch
        self.wait += 1
        if self.best is None or self._improves(current, self.best):
            self.best, self.best_epoch = current, epoch
            if self.restore_best_weights:
                self.best_weights = self.model.get_weights()
            if self.baseline is None or self._improves(current, self.baseline):
                self.wait = 0
            return
        if self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        if self.stopped_epoch > 0 and self.verbose:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.restore_best_weights and self.best_weights is not None:
            if self.verbose:
                print(f"Restoring model weights from the end of the best epoch: {self.best_epoch + 1}.")
            self.model.set_weights(self.best_weights)


class ReduceLROnPlateau(_Monitor):
    """Multiplies the learning rate when a result no longer improves.

    Args:
        monitor, mode, verbose, patience: as in `EarlyStopping`.
        factor: new rate over old rate, below 1.
        min_delta: changes below this do not count.
        cooldown: epochs to wait after a change.
        min_lr: lower bound of the rate.
    """

    def __init__(
        self, monitor="val_loss", factor=0.1, patience=10, verbose=0, mode="auto", min_delta=1e-4, cooldown=0, min_lr=0.0,
        **kwargs,
    ):  # fmt: skip
        super().__init__(monitor, mode)
        if factor >= 1.0:
            raise ValueError(f"ReduceLROnPlateau: expected a factor below 1. Received: {factor}")
        if kwargs:
            raise ValueError(
                f"ReduceLROnPlateau: expected arguments that it knows. Received: {', '.join(kwargs)}"
            )
        self.factor, self.min_lr, self.min_delta = factor, min_lr, min_delta
        self.patience, self.verbose, self.cooldown = patience, verbose, cooldown
        self.cooldown_counter = self.wait = 0
        self.best = None

    def on_train_begin(self, logs=None):
        self._decide()
        self.best = self.worst
        self.cooldown_counter = self.wait = 0

    def on_epoch_end(self, epoch, logs=None):
        rate = float(np.asarray(self.model.optimizer.learning_rate))
        if logs is not None:
            logs["learning_rate"] = rate
        current = self.current(logs)
        if current is None:
            return
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.wait = 0
        delta = self.min_delta if self.better is np.less else -self.min_delta
        if self.better(current, self.best - delta):
            self.best, self.wait = current, 0
        elif self.cooldown_counter <= 0:
            self.wait += 1
            if self.wait >= self.patience and rate > np.float32(self.min_lr):
                new = max(rate * self.factor, self.min_lr)
                self.model.optimizer.learning_rate = new
                if self.verbose:
                    print(f"\nEpoch {epoch + 1}: ReduceLROnPlateau reducing learning rate to {new}.")
                self.cooldown_counter, self.wait = self.cooldown, 0
