"""compile, fit, evaluate, predict: the part of a model that trains."""

import warnings

import numpy as np

from rkeras import callbacks as callbacks_module
from rkeras import losses as losses_module
from rkeras import metrics as metrics_module
from rkeras import ops, optimizers
from rkeras import random as random_module
from rkeras._core import registry, settings, tree
from rkeras._core.gradient import GradientTape
from rkeras._core.tensor import convert_to_tensor
from rkeras._training import data as data_module
from rkeras._training.compile_utils import CompileLoss, CompileMetrics
from rkeras._training.data import pack_x_y_sample_weight, unpack_x_y_sample_weight
from rkeras._training.legacy import LegacyLoss, LegacyMetrics
from rkeras._training.step import Steps

# How often the epoch loop comes back to Python while it shows progress or must notice Ctrl-C, in seconds.
TICK = 0.1


class Trainer:
    """What `Model` inherits to be compiled and trained."""

    def __init__(self):
        """Nothing to set: what has not been compiled is what the class says."""

    compiled = False
    stop_training = False
    optimizer = None
    loss = None
    loss_weights = None
    _compile_loss = None
    _compile_metrics = None
    _loss_tracker = None
    _compile_config = None
    _run_eagerly = False
    _untraceable = False
    _initial_epoch = None
    _jit_compile = None
    steps_per_execution = 1

    def compile(
        self, optimizer="rmsprop", loss=None, loss_weights=None, metrics=None, weighted_metrics=None, run_eagerly=False,
        steps_per_execution=1, jit_compile="auto", auto_scale_loss=True, **kwargs,
    ):  # fmt: skip
        """Sets how the model is trained.

        Args:
            optimizer: a name, a config or an optimizer.
            loss: a name, a function or a loss; a list or dict of them for several outputs.
            loss_weights: numbers, in the structure of `loss`.
            metrics: names, functions or metrics; lists or dicts of them for several outputs.
            weighted_metrics: the same, weighted by sample weights.
            run_eagerly: run every step as Python, op by op, instead of tracing it once.
            steps_per_execution: batches between calls of batch callbacks.
            jit_compile: accepted for compatibility: steps are always compiled.
            auto_scale_loss: accepted for compatibility.

        Example:
            >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
            >>> model.compile("sgd", "mse", metrics=["mae"])
            >>> model.compiled
            True
        """
        for old in ("sample_weight_mode", "target_tensors", "distribute", "from_serialized"):
            kwargs.pop(old, None)
        if kwargs:
            raise ValueError(f"compile: expected arguments that it knows. Received: {', '.join(kwargs)}")
        if steps_per_execution < 1:
            raise ValueError(
                f"compile: expected steps_per_execution of at least 1. Received: {steps_per_execution}"
            )
        optimizer = optimizers.get(optimizer)
        if optimizer is None:
            raise ValueError("compile: expected an optimizer. Received: None")
        self.optimizer = optimizer
        self.loss = loss
        self.loss_weights = loss_weights
        names = getattr(self, "output_names", None)
        set_plain = self.__dict__.__setitem__
        set_plain("_compile_loss", CompileLoss(loss, loss_weights, names) if loss is not None else None)
        given = (metrics is not None and metrics != []) or (
            weighted_metrics is not None and weighted_metrics != []
        )
        set_plain("_compile_metrics", CompileMetrics(metrics, weighted_metrics, names) if given else None)
        set_plain("_loss_tracker", metrics_module.Mean(name="loss"))
        self.run_eagerly = run_eagerly
        self.steps_per_execution = steps_per_execution
        self.jit_compile = jit_compile
        self.stop_training = False
        set_plain("_untraceable", False)
        set_plain("_steps", Steps(self))
        set_plain("_compile_config", {
            "optimizer": optimizer, "loss": loss, "loss_weights": loss_weights, "metrics": metrics,
            "weighted_metrics": weighted_metrics, "run_eagerly": run_eagerly, "steps_per_execution": steps_per_execution,
            "jit_compile": jit_compile,
        })  # fmt: skip
        self.compiled = True

    @property
    def run_eagerly(self):
        """Whether steps run as Python, op by op."""
        return self._run_eagerly or settings.run_eagerly_everywhere

    @run_eagerly.setter
    def run_eagerly(self, value):
        self.__dict__["_run_eagerly"] = bool(value)

    @property
    def jit_compile(self):
        """As given to `compile`; steps are always compiled unless they run eagerly."""
        return self._jit_compile

    @jit_compile.setter
    def jit_compile(self, value):
        self.__dict__["_jit_compile"] = value

    def _assert_compiled(self, who):
        if not self.compiled:
            raise ValueError(
                f"{who}: expected a compiled model. Received: one that is not. Hint: call model.compile(optimizer, loss)"
            )

    # Metrics.

    @property
    def metrics(self):
        """The loss tracker, the metrics of `compile`, those of layers."""
        found = []
        if self._loss_tracker is not None:
            found.append(self._loss_tracker)
        if self._compile_loss is not None:
            found.extend(self._compile_loss.metrics)
        if self._compile_metrics is not None:
            found.extend(self._compile_metrics.metrics)
        for m in self._user_metrics():
            if all(m is not f for f in found):
                found.append(m)
        return found

    def _user_metrics(self):
        """Metrics that are attributes of the model or of its layers."""
        found = list(getattr(self, "_metrics", ()))
        for layer in self._flatten_layers(include_self=False):
            found.extend(layer._metrics)
        return found

    @property
    def metrics_names(self):
        """The names of the metrics."""
        names = []
        if self._loss_tracker is not None:
            names.append("loss")
        if self._compile_loss is not None:
            names.extend(m.name for m in self._compile_loss.metrics)
        if self._compile_metrics is not None:
            names.extend([e[3] for e in self._compile_metrics._entries] or ["compile_metrics"])
        names.extend(m.name for m in self._user_metrics())
        return names

    @property
    def compiled_loss(self):
        """`compiled_loss(y, y_pred, sample_weight)`: the loss of `compile`, tracked (tf.keras 2's attribute)."""
        return LegacyLoss(self)

    @property
    def compiled_metrics(self):
        """The metrics of `compile`, with `update_state(y, y_pred, sample_weight)` (tf.keras 2's attribute)."""
        return LegacyMetrics(self)

    @property
    def metrics_variables(self):
        """The variables of the metrics."""
        return [v for m in self.metrics for v in m.variables]

    def reset_metrics(self):
        """Sets all metrics to their start."""
        for m in self.metrics:
            m.reset_state()

    def get_metrics_result(self):
        """The results of all metrics by name."""
        out = {}
        if self._loss_tracker is not None:
            out["loss"] = self._loss_tracker.result()
        if self._compile_loss is not None:
            out.update({m.name: m.result() for m in self._compile_loss.metrics})
        if self._compile_metrics is not None:
            out.update(self._compile_metrics.result())
        for m in self._user_metrics():
            result = m.result()
            out.update(result if isinstance(result, dict) else {m.name: result})
        return out

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Updates the metrics of `compile` with a batch; returns all results by name."""
        if self._compile_metrics is not None:
            self._compile_metrics.update_state(y, y_pred, sample_weight=sample_weight)
        return self.get_metrics_result()

    # Steps, which subclasses may override.

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The number that training makes small: the losses of `compile` and those that layers added.

        Raises:
            ValueError: if there is neither.
        """
        parts = []
        if self._compile_loss is not None:
            parts.append(self._compile_loss(y, y_pred, sample_weight))
        parts.extend(convert_to_tensor(v) for v in self.losses)
        if not parts:
            if self.loss is None and self._compile_loss is None:
                if not self.trainable_weights:
                    return ops.zeros(())
                raise ValueError(
                    "fit: expected a loss in compile(), or layers that add one. Received: neither"
                )
            return ops.zeros(())
        total = parts[0]
        for p in parts[1:]:
            total = total + p
        return total

    def _call_model(self, x, training):
        return self(x, training=training) if self._call_has_training_arg else self(x)

    def _track_loss(self, loss, x):
        self._loss_tracker.update_state(loss, sample_weight=float(tree.flatten(x)[0].shape[0]))

    def train_step(self, data):
        """One step of training on a batch; returns results by name.

        Args:
            data: x, (x, y) or (x, y, sample_weight).
        """
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        with GradientTape() as tape:
            y_pred = self._call_model(x, True)
            loss = self.compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=True)
            self._track_loss(loss, x)
            scaled = self.optimizer.scale_loss(loss)
        weights = self.trainable_weights
        if weights:
            self.optimizer.apply(tape.gradient(scaled, weights), weights)
        else:
            warnings.warn("The model has no weights to train.", stacklevel=2)
        return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    def test_step(self, data):
        """One step of evaluation on a batch; returns results by name."""
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        y_pred = self._call_model(x, False)
        loss = self.compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=False)
        self._track_loss(loss, x)
        return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    def predict_step(self, data):
        """The predictions for a batch."""
        x, _, _ = unpack_x_y_sample_weight(data)
        return self._call_model(x, False)

    # Loops.

    def fit(
        self, x=None, y=None, batch_size=None, epochs=1, verbose="auto", callbacks=None, validation_split=0.0,
        validation_data=None, shuffle=True, class_weight=None, sample_weight=None, initial_epoch=0, steps_per_epoch=None,
        validation_steps=None, validation_batch_size=None, validation_freq=1,
    ):  # fmt: skip
        """Trains for some epochs.

        Args:
            x: arrays (nested), or a data set or generator of batches.
            y: targets, if `x` holds arrays.
            batch_size: rows per step; 32 if None.
            epochs: index of the last epoch.
            verbose: 0 silent, 1 progress bar, 2 a line per epoch, "auto" 1.
            callbacks: `Callback`s.
            validation_split: fraction of the arrays, from the end, to validate on.
            validation_data: (x, y) or (x, y, sample_weight), or a data set.
            shuffle: draw the rows in random order.
            class_weight: dict of class to weight.
            sample_weight: weights, a number per row.
            initial_epoch: index of the first epoch.
            steps_per_epoch: batches per epoch; all if None.
            validation_steps: batches per validation; all if None.
            validation_batch_size: rows per validation step; `batch_size` if None.
            validation_freq: validate every so many epochs, or after the listed ones.

        Returns:
            The History callback.

        Raises:
            ValueError: if the model is not compiled, or data do not match.
        """
        self._assert_compiled("fit")
        source = data_module.make_data(x, y, sample_weight, class_weight, shuffle, settings.floatx())
        arrays = isinstance(source, data_module.ArrayData)
        if validation_split and validation_data is None:
            if not arrays:
                raise ValueError("validation_split: expected arrays. Received: a data set or generator")
            source, validation = data_module.train_validation_split(source, validation_split)
        else:
            validation = self._validation_source(validation_data)
        batch_size = 32 if batch_size is None else int(batch_size)
        runner = self._runner("train", source, batch_size, shuffle, steps_per_epoch)
        self.stop_training = False
        verbose = 1 if verbose == "auto" else int(verbose)
        callback_list = callbacks_module.CallbackList.prepare(
            callbacks, add_history=True, add_progbar=verbose != 0, verbose=verbose, epochs=epochs, steps=runner.steps, model=self
        )  # fmt: skip
        history = callback_list.history
        evaluator = None
        logs = {}
        self.__dict__["_initial_epoch"] = None  # a callback may say that earlier epochs are done
        callback_list.on_train_begin()
        initial_epoch = self._initial_epoch or initial_epoch
        for epoch in range(initial_epoch, epochs):
            self.reset_metrics()
            callback_list.on_epoch_begin(epoch)
            logs = runner.run(callback_list, epoch, verbose)
            epoch_logs = dict(logs)
            if validation is not None and self._should_validate(epoch, validation_freq):
                if evaluator is None:
                    evaluator = self._runner(
                        "test", validation, validation_batch_size or batch_size, False, validation_steps
                    )
                epoch_logs.update(
                    {f"val_{k}": v for k, v in self._evaluate(evaluator, callback_list, 0).items()}
                )
            callback_list.on_epoch_end(epoch, epoch_logs)
            logs = epoch_logs
            if self.stop_training:
                break
        if hasattr(self.optimizer, "finalize_variable_values") and epochs > 0:
            if self.optimizer.built:
                self.optimizer.finalize_variable_values(self.trainable_weights)
        callback_list.on_train_end(logs)
        return history

    def _validation_source(self, validation_data):
        if validation_data is None:
            return None
        if isinstance(validation_data, (tuple, list)):
            x, y, w = unpack_x_y_sample_weight(tuple(validation_data))
            return data_module.make_data(x, y, w, floatx=settings.floatx())
        return data_module.make_data(validation_data, floatx=settings.floatx())

    @staticmethod
    def _should_validate(epoch, freq):
        return (epoch + 1) % freq == 0 if isinstance(freq, int) else epoch + 1 in freq

    def _runner(self, kind, source, batch_size, shuffle, steps):
        from rkeras._training.runner import Runner

        self._steps_or_new()
        return Runner(
            self,
            kind,
            source,
            batch_size,
            shuffle,
            steps,
            random_module.make_default_seed() if shuffle else 0,
        )

    def _steps_or_new(self):
        if self.__dict__.get("_steps") is None:
            self.__dict__["_steps"] = Steps(self)
        return self.__dict__["_steps"]

    def _evaluate(self, runner, callback_list, verbose):
        self.reset_metrics()
        callback_list.on_test_begin()
        logs = runner.run(callback_list, 0, verbose)
        callback_list.on_test_end(logs)
        return logs

    def evaluate(
        self, x=None, y=None, batch_size=None, verbose="auto", sample_weight=None, steps=None, callbacks=None,
        return_dict=False, **kwargs,
    ):  # fmt: skip
        """The loss and metrics on data.

        Args:
            x, y, batch_size, sample_weight, callbacks, verbose: as in `fit`.
            steps: batches; all if None.
            return_dict: results by name instead of a list.

        Returns:
            The loss, or a list of loss and metrics, or a dict.
        """
        self._assert_compiled("evaluate")
        if kwargs:
            raise ValueError(f"evaluate: expected arguments that it knows. Received: {', '.join(kwargs)}")
        source = data_module.make_data(x, y, sample_weight, floatx=settings.floatx())
        runner = self._runner("test", source, batch_size or 32, False, steps)
        verbose = 1 if verbose == "auto" else int(verbose)
        callback_list = callbacks_module.CallbackList.prepare(
            callbacks, add_progbar=verbose != 0, verbose=verbose, epochs=1, steps=runner.steps, model=self
        )  # fmt: skip
        logs = self._evaluate(runner, callback_list, verbose)
        return logs if return_dict else self._in_order(logs)

    def _in_order(self, logs):
        """Results as `evaluate` returns them: the loss, then the others in the order of `metrics_names`."""
        if len(logs) == 1:
            return next(iter(logs.values()))
        names = [n for n in self.metrics_names if n in logs]
        names += [n for n in logs if n not in names]
        values = [logs[n] for n in names]
        return values[0] if len(values) == 1 else values

    def predict(self, x, batch_size=None, verbose="auto", steps=None, callbacks=None):
        """The outputs for data, batch by batch.

        Args:
            x: arrays (nested), or a data set or generator of batches.
            batch_size, verbose, callbacks: as in `fit`.
            steps: batches; all if None.

        Returns:
            NumPy arrays in the structure of the model's outputs.
        """
        if verbose == 0 and callbacks is None and steps is None and type(x) is np.ndarray:
            # One batch, watched by nobody: what `predict_on_batch` does.
            if 0 < len(x) <= (batch_size or 32):
                return self._steps_or_new().predict(x)
        source = data_module.make_data(x, floatx=settings.floatx())
        runner = self._runner("predict", source, batch_size or 32, False, steps)
        verbose = 1 if verbose == "auto" else int(verbose)
        callback_list = callbacks_module.CallbackList.prepare(
            callbacks, add_progbar=verbose != 0, verbose=verbose, epochs=1, steps=runner.steps, model=self
        )  # fmt: skip
        callback_list.on_predict_begin()
        outputs = runner.predict(callback_list, verbose)
        callback_list.on_predict_end({"outputs": outputs} if callback_list.callbacks else None)
        return outputs

    # Single batches.

    def _on_batch(self, kind, data, return_dict):
        logs = self._steps_or_new().call(kind, data)
        return logs if return_dict else self._in_order(logs)

    def train_on_batch(self, x, y=None, sample_weight=None, class_weight=None, return_dict=False):
        """One step of training; returns the loss and metrics so far (see `reset_metrics`)."""
        self._assert_compiled("train_on_batch")
        if class_weight is not None:
            if sample_weight is not None:
                raise ValueError("train_on_batch: expected class_weight or sample_weight. Received: both")
            sample_weight = data_module.class_weights_to_sample_weights(y, class_weight)
        return self._on_batch("train", (x, y, sample_weight), return_dict)

    def test_on_batch(self, x, y=None, sample_weight=None, return_dict=False):
        """One step of evaluation; returns the loss and metrics so far (see `reset_metrics`)."""
        self._assert_compiled("test_on_batch")
        return self._on_batch("test", (x, y, sample_weight), return_dict)

    def predict_on_batch(self, x):
        """The outputs for one batch, as NumPy arrays."""
        return self._steps_or_new().predict(x)

    # Files.

    def get_compile_config(self):
        """The arguments of `compile` as plain data."""
        if self.compiled and self._compile_config is not None:
            return {k: _serialize(v) for k, v in self._compile_config.items()}
        return {}

    def compile_from_config(self, config):
        """Compiles with arguments from `get_compile_config`."""
        config = dict(
            registry.deserialize_keras_object(config) if "class_name" in config else _deserialize(config)
        )
        self.compile(**{k: v for k, v in config.items() if v is not None or k in ("loss", "metrics")})
        if self.optimizer is not None and self.built:
            self.optimizer.build(self.trainable_variables)


def _serialize(value):
    return registry.serialize_keras_object(value)


def _deserialize(config):
    out = {}
    for key, value in config.items():
        if key == "optimizer" and isinstance(value, (str, dict)):
            out[key] = optimizers.deserialize(value)
        elif key == "loss" and isinstance(value, dict) and "class_name" in value:
            out[key] = losses_module.deserialize(value)
        else:
            out[key] = registry.deserialize_keras_object(value) if isinstance(value, (dict, list)) else value
    return out


__all__ = ["TICK", "Trainer", "pack_x_y_sample_weight"]
