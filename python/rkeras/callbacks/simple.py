"""Small callbacks: a learning rate by epoch, a log file, functions, a stop at NaN."""

import math

import numpy as np

from rkeras.callbacks.callback import Callback


class LearningRateScheduler(Callback):
    """Sets the learning rate before every epoch.

    Args:
        schedule: `schedule(epoch, learning_rate)` (or `schedule(epoch)`) gives the rate.
        verbose: 1 says the rate.
    """

    def __init__(self, schedule, verbose=0):
        super().__init__()
        self.schedule, self.verbose = schedule, verbose

    def on_epoch_begin(self, epoch, logs=None):
        rate = float(np.asarray(self.model.optimizer.learning_rate))
        try:
            rate = self.schedule(epoch, rate)
        except TypeError:
            rate = self.schedule(epoch)
        if not isinstance(rate, (float, np.floating)):
            raise ValueError(f"LearningRateScheduler: expected a float from the schedule. Received: {rate!r}")
        self.model.optimizer.learning_rate = float(rate)
        if self.verbose:
            print(f"\nEpoch {epoch + 1}: LearningRateScheduler setting learning rate to {rate}.")

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs["learning_rate"] = float(np.asarray(self.model.optimizer.learning_rate))


class CSVLogger(Callback):
    """Writes the results of every epoch to a file of comma-separated values.

    Args:
        filename: the file.
        separator: between values.
        append: go on in an existing file.
    """

    def __init__(self, filename, separator=",", append=False):
        super().__init__()
        self.filename, self.separator, self.append = filename, separator, append
        self.file = self.keys = None

    def on_train_begin(self, logs=None):
        import os

        old = self.append and os.path.exists(self.filename) and os.path.getsize(self.filename) > 0
        self.file = open(self.filename, "a" if self.append else "w", newline="")  # noqa: SIM115 (closed at the end)
        self.header_written, self.keys = old, None

    def on_epoch_end(self, epoch, logs=None):
        logs = logs or {}
        if self.keys is None:
            self.keys = sorted(logs)
            if not self.header_written:
                self.file.write(self.separator.join(["epoch", *self.keys]) + "\n")
        self.file.write(
            self.separator.join([str(epoch), *(str(logs.get(k, "NA")) for k in self.keys)]) + "\n"
        )
        self.file.flush()

    def on_train_end(self, logs=None):
        self.file.close()


class TerminateOnNaN(Callback):
    """Stops training when the loss is not a finite number.

    Args:
        raise_error: whether to raise instead of stopping quietly, so that nothing that would run after the
            training (a save of the model, say) sees its broken weights.

    Raises:
        RuntimeError: if the loss is not finite and `raise_error` is set.
    """

    def __init__(self, raise_error=False):
        super().__init__()
        self.raise_error = raise_error

    def on_train_batch_end(self, batch, logs=None):
        loss = (logs or {}).get("loss")
        if loss is not None and not math.isfinite(loss):
            if self.raise_error:
                raise RuntimeError(
                    f"TerminateOnNaN: expected a finite loss. Received: loss {loss} at batch {batch}. "
                    "Hint: lower the learning rate, or look for invalid numbers in the data."
                )
            print(f"Batch {batch}: Invalid loss, terminating training")
            self.model.stop_training = True


class LambdaCallback(Callback):
    """Calls functions at moments of training.

    Args:
        on_epoch_begin, on_epoch_end: `f(epoch, logs)`.
        on_train_begin, on_train_end: `f(logs)`.
        on_train_batch_begin, on_train_batch_end: `f(batch, logs)`.
        kwargs: functions for other moments.
    """

    def __init__(
        self, on_epoch_begin=None, on_epoch_end=None, on_train_begin=None, on_train_end=None, on_train_batch_begin=None,
        on_train_batch_end=None, **kwargs,
    ):  # fmt: skip
        super().__init__()
        given = {
            "on_epoch_begin": on_epoch_begin, "on_epoch_end": on_epoch_end, "on_train_begin": on_train_begin,
            "on_train_end": on_train_end, "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end, **kwargs,
        }  # fmt: skip
        # A class of its own, so that only the moments with functions count as overridden.
        methods = {name: staticmethod(function) for name, function in given.items() if function is not None}
        self.__class__ = type("LambdaCallback", (LambdaCallback,), methods)
