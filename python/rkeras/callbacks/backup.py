"""Training that goes on where it was interrupted."""

import os

from rkeras.callbacks.callback import Callback


class BackupAndRestore(Callback):
    """Saves weights, optimizer state and the epoch during training, and goes on from there when `fit` is called again.

    Args:
        backup_dir: a folder of its own.
        save_freq: "epoch", or a number of batches.
        double_checkpoint: keep the last but one state too, for the case that the last one is damaged.
        delete_checkpoint: remove the folder when training ends as planned.

    Raises:
        ValueError: if the model is not built, or an argument does not fit.

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> backup = keras.callbacks.BackupAndRestore("backup")
        >>> _ = model.fit(np.ones((4, 2)), np.ones(4), epochs=2, verbose=0, callbacks=[backup])
    """

    def __init__(self, backup_dir, save_freq="epoch", double_checkpoint=False, delete_checkpoint=True):
        super().__init__()
        if not backup_dir:
            raise ValueError(f"BackupAndRestore: expected a folder as backup_dir. Received: {backup_dir!r}")
        if save_freq != "epoch" and not isinstance(save_freq, int):
            raise ValueError(
                f'BackupAndRestore: expected save_freq "epoch" or a number of batches. Received: {save_freq!r}'
            )
        self.backup_dir = os.fspath(backup_dir)
        self.save_freq = save_freq
        self.double_checkpoint, self.delete_checkpoint = double_checkpoint, delete_checkpoint
        self._weights = os.path.join(self.backup_dir, "latest.weights.h5")
        self._progress = os.path.join(self.backup_dir, "training_metadata.json")
        self._epoch = self._seen = 0
        # Called at every batch only if it has to be.
        if save_freq != "epoch":
            self.__class__ = _BatchBackup

    def on_train_begin(self, logs=None):
        if not self.model.built:
            raise ValueError(
                "BackupAndRestore: expected a built model. Received: one that has no weights yet. Hint: call it on a batch "
                "of data, or build it, before fit"
            )
        try:
            self._restore()
        except (OSError, ValueError):
            if not os.path.exists(f"{self._weights}.bkp"):
                raise
            for path in (self._weights, self._progress):
                if os.path.exists(f"{path}.bkp"):
                    os.replace(f"{path}.bkp", path)
                elif os.path.exists(path):
                    os.remove(path)
            self._restore()

    def _restore(self):
        import json

        model = self.model
        if os.path.exists(self._weights):
            if model.optimizer is not None and not model.optimizer.built:
                model.optimizer.build(model.trainable_variables)
            model.load_weights(self._weights)
        if os.path.exists(self._progress):
            with open(self._progress, encoding="utf-8") as file:
                self._epoch = json.load(file)["epoch"]
            model.__dict__["_initial_epoch"] = self._epoch

    def on_epoch_end(self, epoch, logs=None):
        self._epoch, self._seen = epoch + 1, 0
        if self.save_freq == "epoch":
            self._save()

    def _save(self):
        import json
        import shutil

        os.makedirs(self.backup_dir, exist_ok=True)
        if self.double_checkpoint:
            for path in (self._weights, self._progress):
                if os.path.exists(path):
                    shutil.copyfile(path, f"{path}.bkp")
        self.model.save_weights(self._weights, overwrite=True)
        temporary = f"{self._progress}.tmp"
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump({"epoch": self._epoch, "batch": self._seen}, file)
        os.replace(temporary, self._progress)

    def on_train_end(self, logs=None):
        import shutil

        if self.delete_checkpoint and os.path.isdir(self.backup_dir):
            shutil.rmtree(self.backup_dir)


class _BatchBackup(BackupAndRestore):
    """A backup that counts batches."""

    _since = 0

    def on_train_batch_end(self, batch, logs=None):
        # Several batches may have run since the last call.
        self._since += batch + 1 if batch <= self._seen else batch - self._seen
        self._seen = batch
        if self._since >= self.save_freq:
            self._since = 0
            self._save()
