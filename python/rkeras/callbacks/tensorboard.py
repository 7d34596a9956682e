"""Results as files that TensorBoard shows."""

import os

import numpy as np

from rkeras.callbacks.callback import Callback


class TensorBoard(Callback):
    """Writes results to event files: `tensorboard --logdir=logs` shows them.

    Training goes to the folder `train`, validation to `validation`. Results per epoch are called `epoch_loss` ..., results
    per batch `batch_loss` ...

    Args:
        log_dir: the folder.
        histogram_freq: epochs between histograms of the weights; 0 for none.
        write_graph: accepted for compatibility: no picture of the model is written; see `keras.utils.plot_model`.
        write_images: only False.
        write_steps_per_second: write how many steps were made per second.
        update_freq: "epoch", "batch", or a number of batches between results per batch.
        profile_batch: only 0.
        embeddings_freq: only 0.
        embeddings_metadata: only None.

    Raises:
        NotImplementedError: for what is not written.

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> board = keras.callbacks.TensorBoard("logs")
        >>> _ = model.fit(np.ones((4, 2)), np.ones(4), verbose=0, callbacks=[board])
    """

    def __init__(
        self, log_dir="logs", histogram_freq=0, write_graph=True, write_images=False, write_steps_per_second=False,
        update_freq="epoch", profile_batch=0, embeddings_freq=0, embeddings_metadata=None,
    ):  # fmt: skip
        super().__init__()
        absent = {
            "write_images": write_images, "profile_batch": profile_batch, "embeddings_freq": embeddings_freq,
            "embeddings_metadata": embeddings_metadata,
        }  # fmt: skip
        for name, value in absent.items():
            if value:
                raise NotImplementedError(
                    f"TensorBoard: expected no {name}. Received: {value!r}. Hint: leave it out"
                )
        if update_freq not in ("epoch", "batch") and not isinstance(update_freq, int):
            raise ValueError(
                f'TensorBoard: expected update_freq "epoch", "batch" or a number of batches. Received: {update_freq!r}'
            )
        self.log_dir = os.fspath(log_dir)
        self.histogram_freq, self.write_graph = histogram_freq, write_graph
        self.write_steps_per_second = write_steps_per_second
        self.update_freq = 1 if update_freq == "batch" else update_freq
        self._writers = {}
        self._batches = self._tests = self._steps_before = 0
        self._since = None
        # Called at every batch only if it has to be.
        if self.update_freq != "epoch":
            self.__class__ = _BatchTensorBoard

    def _writer(self, kind):
        if kind not in self._writers:
            from rkeras.saving.events import (
                EventWriter,  # upward on purpose: file formats stand above callbacks
            )

            self._writers[kind] = EventWriter(os.path.join(self.log_dir, kind))
        return self._writers[kind]

    def _iterations(self):
        optimizer = self.model.optimizer
        return 0 if optimizer is None else int(np.asarray(optimizer.iterations))

    def on_epoch_begin(self, epoch, logs=None):
        import time

        self._since, self._steps_before = time.perf_counter(), self._iterations()

    def on_epoch_end(self, epoch, logs=None):
        import time

        results = dict(logs or {})
        if self.model.optimizer is not None and "learning_rate" not in results:
            results["learning_rate"] = float(np.asarray(self.model.optimizer.learning_rate))
        for name, value in results.items():
            if np.ndim(value) == 0:
                kind = "validation" if name.startswith("val_") else "train"
                self._writer(kind).scalar(f"epoch_{name.removeprefix('val_')}", value, epoch)
        if self.write_steps_per_second:
            seconds = max(time.perf_counter() - self._since, 1e-9)
            rate = (self._iterations() - self._steps_before) / seconds
            self._writer("train").scalar("epoch_steps_per_second", rate, epoch)
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            for weight in self.model.weights:
                name = weight.path.replace(":", "_")
                self._writer("train").histogram(f"{name}/histogram", weight.numpy(), epoch)
        for writer in self._writers.values():
            writer.flush()

    def on_test_end(self, logs=None):
        if self.model.optimizer is None or not getattr(self.model.optimizer, "built", False):
            return
        for name, value in (logs or {}).items():
            if np.ndim(value) == 0:
                self._writer("validation").scalar(
                    f"evaluation_{name}_vs_iterations", value, self._iterations()
                )
        if "validation" in self._writers:
            self._writers["validation"].flush()

    def on_train_end(self, logs=None):
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()


class _BatchTensorBoard(TensorBoard):
    """Results per batch too."""

    def on_train_batch_end(self, batch, logs=None):
        self._batches += 1
        if self._batches % self.update_freq:
            return
        for name, value in (logs or {}).items():
            if np.ndim(value) == 0:
                self._writer("train").scalar(f"batch_{name}", value, self._batches - 1)
