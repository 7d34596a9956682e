"""Evaluation on the running averages of weights."""

from rkeras.callbacks.callback import Callback


class SwapEMAWeights(Callback):
    """Puts the optimizer's running averages in place of the weights during evaluation and prediction.

    Args:
        swap_on_epoch: exchange them at the end of epochs too, so that what is saved then are the averages; place it before
            the callbacks that save.

    Raises:
        ValueError: unless the optimizer keeps averages (`use_ema=True`).

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile(keras.optimizers.SGD(use_ema=True), "mse")
        >>> _ = model.fit(np.ones((4, 2)), np.ones(4), verbose=0, callbacks=[keras.callbacks.SwapEMAWeights()])
    """

    def __init__(self, swap_on_epoch=False):
        super().__init__()
        self.swap_on_epoch = swap_on_epoch
        self._averages_in_model = False

    def _pairs(self):
        """Pairs of weight and average."""
        optimizer = self.model.optimizer
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)
        averages = getattr(optimizer, "_model_variables_moving_average", None)
        if averages is None:
            raise ValueError(
                "SwapEMAWeights: expected an optimizer with use_ema=True that has made a step. Received: "
                f"use_ema={optimizer.use_ema}"
            )
        return zip(optimizer._trainable_variables, averages, strict=True)

    def _swap(self, to_averages):
        if self._averages_in_model == to_averages:
            return
        for weight, average in self._pairs():
            old = weight.numpy().copy()
            weight.assign(average.tensor())
            average.assign(old)
        self._averages_in_model = to_averages

    def on_epoch_begin(self, epoch, logs=None):
        if self.swap_on_epoch:
            self._swap(False)

    def on_epoch_end(self, epoch, logs=None):
        if self.swap_on_epoch:
            self._swap(True)
            if epoch == self.params["epochs"] - 1:
                # `fit` ends by putting the averages into the model: they are there already.
                for weight, average in self._pairs():
                    average.assign(weight.tensor())

    def on_test_begin(self, logs=None):
        self._swap(True)

    def on_test_end(self, logs=None):
        self._swap(False)

    def on_predict_begin(self, logs=None):
        self._swap(True)

    def on_predict_end(self, logs=None):
        self._swap(False)
