"""What `fit` returns."""

from rkeras.callbacks.callback import Callback


class History(Callback):
    """Remembers the results of every epoch: `history` is a dict of lists by name, `epoch` the list of epochs."""

    def __init__(self):
        super().__init__()
        self.history = {}

    def on_train_begin(self, logs=None):
        self.epoch = []

    def on_epoch_end(self, epoch, logs=None):
        self.epoch.append(epoch)
        for key, value in (logs or {}).items():
            self.history.setdefault(key, []).append(value)
        self.model.history = self
