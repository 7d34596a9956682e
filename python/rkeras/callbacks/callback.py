"""The base of callbacks, and the list that calls them."""


class Callback:
    """What happens at moments of training. Subclasses override the methods they need.

    Attributes:
        model: the model.
        params: dict with `verbose`, `epochs`, `steps`.

    Example:
        >>> class Stop(keras.callbacks.Callback):
        ...     def on_epoch_end(self, epoch, logs=None):
        ...         self.model.stop_training = logs["loss"] < 0.1
    """

    def __init__(self):
        self.params = None
        self._model = None

    params = None
    _model = None

    @property
    def model(self):
        """The model being trained."""
        return self._model

    def set_params(self, params):
        """Tells it what runs."""
        self.params = params

    def set_model(self, model):
        """Tells it the model."""
        self._model = model


def _moment(when, indexed=None):
    """A method that does nothing, so that subclasses override only what they need."""
    if indexed == "batch":

        def method(self, batch, logs=None):
            pass
    elif indexed == "epoch":

        def method(self, epoch, logs=None):  # type: ignore[misc]
            pass
    else:

        def method(self, logs=None):  # type: ignore[misc]
            pass

    method.__doc__ = f"Called {when}."
    method._is_default = True  # type: ignore[attr-defined]
    return method


for _kind, _what in (("train", "training"), ("test", "evaluation"), ("predict", "prediction")):
    for _edge, _word in (("begin", "before"), ("end", "after")):
        setattr(Callback, f"on_{_kind}_{_edge}", _moment(f"{_word} {_what}"))
        setattr(
            Callback, f"on_{_kind}_batch_{_edge}",
            _moment(f"{_word} a batch of {_what}", "batch"),
        )  # fmt: skip
for _edge, _word in (("begin", "before"), ("end", "after")):
    setattr(Callback, f"on_epoch_{_edge}", _moment(f"{_word} an epoch", "epoch"))
    # The old names of the batch moments of training.
    setattr(Callback, f"on_batch_{_edge}", _moment(f"{_word} a batch of training", "batch"))


def _overrides(callback, name):
    return not getattr(getattr(type(callback), name, None), "_is_default", False)


class CallbackList:
    """Calls several callbacks in turn.

    Args:
        callbacks: the callbacks.
        add_history: add a `History`.
        add_progbar: add a progress bar.
        model: the model.
        params: what `Callback.params` becomes.
    """

    def __init__(self, callbacks=None, add_history=False, add_progbar=False, model=None, **params):
        from rkeras.callbacks.history import History
        from rkeras.callbacks.progress import ProgbarLogger

        self.callbacks = (
            list(callbacks) if isinstance(callbacks, (list, tuple)) else [callbacks] if callbacks else []
        )
        self.history = next((c for c in self.callbacks if isinstance(c, History)), None)
        self.progbar = next((c for c in self.callbacks if isinstance(c, ProgbarLogger)), None)
        if add_history and self.history is None:
            self.history = History()
            self.callbacks.append(self.history)
        if add_progbar and self.progbar is None:
            self.progbar = ProgbarLogger()
            self.callbacks.append(self.progbar)
        self.model = model
        self.params = params
        for c in self.callbacks:
            c.set_params(params)
            if model is not None:
                c.set_model(model)
        self._hooks = {}

    @classmethod
    def prepare(cls, callbacks, add_history=False, add_progbar=False, model=None, **params):
        """The list as it is if `callbacks` is one, else a new one."""
        if isinstance(callbacks, CallbackList):
            return callbacks
        return cls(callbacks, add_history=add_history, add_progbar=add_progbar, model=model, **params)

    def append(self, callback):
        """Adds a callback."""
        self.callbacks.append(callback)
        self._hooks.clear()

    def set_params(self, params):
        """Tells all what runs."""
        for c in self.callbacks:
            c.set_params(params)

    def set_model(self, model):
        """Tells all the model."""
        for c in self.callbacks:
            c.set_model(model)

    def batch_hooks(self, kind):
        """Does a callback of the user's want to be called at every batch?"""
        if kind not in self._hooks:
            names = [f"on_{kind}_batch_begin", f"on_{kind}_batch_end"]
            if kind == "train":
                names += ["on_batch_begin", "on_batch_end"]
            self._hooks[kind] = any(
                c is not self.progbar and _overrides(c, n) for c in self.callbacks for n in names
            )
        return self._hooks[kind]

    def wants_tick(self):
        """Is there a progress bar to move?"""
        return self.progbar is not None and self.params.get("verbose") == 1

    def tick(self, kind, done, logs):
        """Moves the progress bar to `done` batches; `logs` is called only if there is one."""
        if self.wants_tick():
            self.progbar.at_batch(kind, done, logs())

    def batch_begin(self, kind, batch):
        """Before a batch."""
        for c in self.callbacks:
            if kind == "train":
                c.on_batch_begin(batch, {})
            getattr(c, f"on_{kind}_batch_begin")(batch, {})

    def batch_end(self, kind, batch, logs):
        """After a batch."""
        for c in self.callbacks:
            if kind == "train":
                c.on_batch_end(batch, logs)
            getattr(c, f"on_{kind}_batch_end")(batch, logs)

    def _all(self, name, *args):
        for c in self.callbacks:
            getattr(c, name)(*args)

    def on_epoch_begin(self, epoch, logs=None):
        """Before an epoch."""
        self._all("on_epoch_begin", epoch, logs or {})

    def on_epoch_end(self, epoch, logs=None):
        """After an epoch."""
        self._all("on_epoch_end", epoch, logs if logs is not None else {})

    def on_train_begin(self, logs=None):
        """Before training."""
        self._all("on_train_begin", logs or {})

    def on_train_end(self, logs=None):
        """After training."""
        self._all("on_train_end", logs or {})

    def on_test_begin(self, logs=None):
        """Before evaluation."""
        self._all("on_test_begin", logs or {})

    def on_test_end(self, logs=None):
        """After evaluation."""
        self._all("on_test_end", logs or {})

    def on_predict_begin(self, logs=None):
        """Before prediction."""
        self._all("on_predict_begin", logs or {})

    def on_predict_end(self, logs=None):
        """After prediction."""
        self._all("on_predict_end", logs or {})
