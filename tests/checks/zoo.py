"""Small models for the file formats, made by the Keras that is passed in: rkeras, Keras 3 or tf_keras."""

import numpy as np

SEED = 7


def data(name):
    """(x, y) for a model of the zoo."""
    rng = np.random.RandomState(SEED)
    if name == "mlp":
        return rng.rand(24, 6).astype("float32"), rng.randint(0, 3, 24)
    if name == "convnet":
        return rng.rand(24, 8, 8, 1).astype("float32"), np.eye(4, dtype="float32")[rng.randint(0, 4, 24)]
    if name == "nested":
        x = [rng.rand(24, 5).astype("float32"), rng.rand(24, 5).astype("float32")]
        return x, {"amount": rng.rand(24, 1).astype("float32"), "kind": rng.randint(0, 3, 24)}
    if name == "lstm":
        return rng.rand(24, 7, 3).astype("float32"), [
            rng.rand(24, 1).astype("float32"),
            rng.rand(24, 7, 2).astype("float32"),
        ]
    if name == "transformer":
        return rng.randint(0, 11, (24, 6)), rng.randint(0, 2, 24)
    if name == "subclassed":
        return rng.rand(24, 4).astype("float32"), rng.rand(24, 2).astype("float32")
    raise KeyError(name)


def optimizer(keras, name):
    """An optimizer with state for a model of the zoo."""
    o = keras.optimizers
    return {
        "mlp": lambda: o.RMSprop(0.01, momentum=0.5),
        "convnet": lambda: o.Adam(0.01),
        "nested": lambda: o.SGD(0.05, momentum=0.9, nesterov=True),
        "lstm": lambda: o.Adam(0.01),
        "transformer": lambda: o.AdamW(0.01, weight_decay=0.01),
        "subclassed": lambda: o.Adam(0.02, amsgrad=True),
    }[name]()


def losses(name):
    """The loss and metrics of a model of the zoo."""
    return {
        "mlp": dict(loss="sparse_categorical_crossentropy", metrics=["accuracy"]),
        "convnet": dict(loss="categorical_crossentropy", metrics=["accuracy"]),
        "nested": dict(
            loss={"amount": "mse", "kind": "sparse_categorical_crossentropy"},
            metrics={"amount": ["mae"], "kind": ["accuracy"]},
        ),
        "lstm": dict(loss=["mse", "mse"]),
        "transformer": dict(loss="sparse_categorical_crossentropy", metrics=["accuracy"]),
        "subclassed": dict(loss="mse"),
    }[name]


def architecture(keras, name):
    """A model of the zoo, not compiled."""
    layers = keras.layers
    if name == "mlp":
        return keras.Sequential(
            [
                keras.Input((6,)),
                layers.Dense(8, activation="relu", kernel_regularizer="l2"),
                layers.Dropout(0.0),
                layers.Dense(3, activation="softmax", kernel_initializer="he_normal"),
            ]
        )
    if name == "convnet":
        return keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                layers.Conv2D(4, 3, padding="same", activation="relu"),
                layers.BatchNormalization(),
                layers.MaxPooling2D(2),
                layers.DepthwiseConv2D(3),
                layers.Flatten(),
                layers.Dense(4, activation="softmax"),
            ]
        )
    if name == "nested":
        a, b = keras.Input((5,), name="a"), keras.Input((5,), name="b")
        inner_x = keras.Input((5,))
        inner_y = layers.Dense(4, activation="tanh", name="shared")(inner_x)
        inner = keras.Model(inner_x, layers.BatchNormalization()(inner_y), name="tower")
        tail = keras.Sequential([keras.Input((8,)), layers.Dense(6, activation="relu")], name="tail")
        joined = tail(layers.Concatenate()([inner(a), inner(b)]))
        outputs = [
            layers.Dense(1, name="amount")(joined),
            layers.Dense(3, activation="softmax", name="kind")(joined),
        ]
        return keras.Model([a, b], outputs)
    if name == "lstm":
        x = keras.Input((7, 3))
        seq = layers.LSTM(5, return_sequences=True)(x)
        last = layers.Bidirectional(layers.GRU(3))(seq)
        return keras.Model(x, [layers.Dense(1)(last), layers.Dense(2)(seq)])
    if name == "transformer":
        x = keras.Input((6,), dtype="int32")
        h = layers.Embedding(11, 8)(x)
        attended = layers.MultiHeadAttention(2, 4)(h, h)
        h = layers.LayerNormalization()(layers.Add()([h, attended]))
        h = layers.LayerNormalization()(layers.Add()([h, layers.Dense(8, activation="gelu")(h)]))
        return keras.Model(x, layers.Dense(2, activation="softmax")(layers.GlobalAveragePooling1D()(h)))
    if name == "subclassed":
        return subclassed(keras)()
    raise KeyError(name)


def subclassed(keras):
    """A class of models with layers in attributes, lists and a dict."""
    layers = keras.layers

    class Block(layers.Layer):
        def __init__(self, units):
            super().__init__()
            self.first = layers.Dense(units, activation="tanh")
            self.norm = layers.BatchNormalization()

        def build(self, input_shape):
            self.scale = self.add_weight(shape=(1,), initializer="ones", name="scale")
            super().build(input_shape)

        def call(self, x, training=False):
            return self.norm(self.first(x), training=training) * self.scale

    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.blocks = [Block(4), Block(4)]
            self.zz_head = layers.Dense(2)
            self.extra = {"skip": layers.Dense(2, use_bias=False)}

        def call(self, x, training=False):
            h = x
            for block in self.blocks:
                h = block(h, training=training)
            return self.zz_head(h) + self.extra["skip"](x)

    return Net


def compiled(keras, name):
    """A model of the zoo, compiled and trained for two epochs."""
    model = architecture(keras, name)
    model.compile(optimizer(keras, name), **losses(name))
    train(model, name, 2)
    return model


def train(model, name, epochs=1):
    """Trains on the zoo's data, always in the same order."""
    x, y = data(name)
    model.fit(x, y, batch_size=8, epochs=epochs, shuffle=False, verbose=0)


def predict(model, name):
    """The predictions as a list of arrays."""
    out = model.predict(data(name)[0], batch_size=8, verbose=0)
    return [np.asarray(o) for o in (out if isinstance(out, (list, tuple)) else [out])]
