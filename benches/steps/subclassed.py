"""A model that brings its own `train_step`, in the form that each backend's users write."""


def subclassed(keras, layers, shape):
    """Layers one after the other, as a subclass of `Model` whose training step is spelled out."""
    form = {"tensorflow": _tape, "rkeras": _tape, "torch": _torch, "jax": _jax}[keras.config.backend()]
    model = form(keras)(layers)
    model.build((None, *shape))
    return model


def _network(keras):
    """What all forms share: the layers."""

    class Network(keras.Model):
        def __init__(self, layers):
            super().__init__()
            self.stack = layers

        def build(self, shape):
            for layer in self.stack:
                layer.build(shape)
                shape = layer.compute_output_shape(shape)
            self.built = True

        def call(self, x, training=False):
            for layer in self.stack:
                x = layer(x, training=training)
            return x

        def results(self, loss, y, y_pred):
            for metric in self.metrics:
                metric.update_state(loss) if metric.name == "loss" else metric.update_state(y, y_pred)
            return {m.name: m.result() for m in self.metrics}

    return Network


def _tape(keras):
    """With `tf.GradientTape`, for TensorFlow and rkeras."""
    if keras.__name__ == "rkeras":
        import rkeras.tf as tf
    else:
        import tensorflow as tf

    class Own(_network(keras)):
        def train_step(self, data):
            x, y = data
            with tf.GradientTape() as tape:
                y_pred = self(x, training=True)
                loss = self.compute_loss(y=y, y_pred=y_pred)
            gradients = tape.gradient(loss, self.trainable_variables)
            self.optimizer.apply_gradients(zip(gradients, self.trainable_variables))
            return self.results(loss, y, y_pred)

    return Own


def _torch(keras):
    """With `backward`, for PyTorch."""
    import torch

    class Own(_network(keras)):
        def train_step(self, data):
            x, y = data
            self.zero_grad()
            y_pred = self(x, training=True)
            loss = self.compute_loss(y=y, y_pred=y_pred)
            loss.backward()
            with torch.no_grad():
                variables = list(self.trainable_weights)
                self.optimizer.apply([v.value.grad for v in variables], variables)
            return self.results(loss, y, y_pred)

    return Own


def _jax(keras):
    """With the state passed through, for JAX."""
    import jax

    class Own(_network(keras)):
        def loss_and_state(self, trainable, fixed, x, y):
            y_pred, fixed = self.stateless_call(trainable, fixed, x, training=True)
            return self.compute_loss(x, y, y_pred), (y_pred, fixed)

        def train_step(self, state, data):
            trainable, fixed, slots, counts = state
            x, y = data
            gradient = jax.value_and_grad(self.loss_and_state, has_aux=True)
            (loss, (y_pred, fixed)), gradients = gradient(trainable, fixed, x, y)
            trainable, slots = self.optimizer.stateless_apply(slots, gradients, trainable)
            logs, new = {}, []
            for metric in self.metrics:
                mine, counts = counts[: len(metric.variables)], counts[len(metric.variables) :]
                what = (loss,) if metric.name == "loss" else (y, y_pred)
                mine = metric.stateless_update_state(mine, *what)
                logs[metric.name] = metric.stateless_result(mine)
                new += mine
            return logs, (trainable, fixed, slots, new)

    return Own
