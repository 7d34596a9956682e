"""The training workloads of the benchmark, written once against the Keras API."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from subclassed import subclassed

ROOT = Path(__file__).resolve().parents[2]


def digits(shape=None):
    """Real digits: a local MNIST where there is one, else the repository's sample, repeated."""
    for path in (
        ROOT.parent / "shared" / "data" / "mnist.npz",
        ROOT / "examples" / "data" / "mnist_sample.npz",
    ):
        if path.is_file():
            with np.load(path) as f:
                x, y = f["x_train"], f["y_train"]
            break
    rng = np.random.default_rng(0)
    order = rng.permutation(len(x))
    return (x[order].astype("float32") / 255.0), y[order].astype("int32")


def photos(shape):
    """Real photos: a local CIFAR-10 where there is one, else digits enlarged and coloured (synthetic)."""
    path = ROOT.parent / "shared" / "data" / "cifar10_11k.npz"
    if path.is_file():
        with np.load(path) as f:
            x, y = f["x_train"].astype("float32") / 255.0, f["y_train"].astype("int32")
    else:
        x, y = digits()
        x = np.pad(x, ((0, 0), (2, 2), (2, 2)))[..., None]
        x = np.concatenate([x, 1.0 - x, x * x], axis=-1)
    if (times := shape[0] // 32) > 1:  # enlarged: photos of that size are not at hand
        x, y = x[:64].repeat(times, axis=1).repeat(times, axis=2), y[:64]
    return x, y


def waves(shape):
    """Synthetic signals of 8 channels (no real data of that shape is at hand): ten pitches in noise."""
    rng = np.random.default_rng(2)
    y = rng.integers(0, 10, 4096).astype("int32")
    t = np.arange(shape[0])[:, None] * (1.0 + 0.1 * np.arange(8))
    x = np.stack([np.sin(t * (0.05 + 0.03 * k) + rng.random() * 6) for k in y])
    return (x + rng.standard_normal(x.shape)).astype("float32"), y


def vectors(shape):
    """Synthetic sequences of 128 vectors of 256 numbers; the label is the axis of the largest mean among ten."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((512, *shape)).astype("float32")
    return x, x[:, :, :10].mean(1).argmax(-1).astype("int32")


def characters(shape):
    """Windows of 128 characters of tiny Shakespeare and the characters that follow; random letters where it is not at hand."""
    path = ROOT.parent / "shared" / "data" / "tinyshakespeare.txt"
    if path.is_file():
        raw = np.frombuffer(path.read_bytes(), "uint8")
    else:
        raw = np.random.default_rng(4).integers(97, 123, 1 << 18).astype("uint8")
    letters, ids = np.unique(raw, return_inverse=True)
    starts = np.random.default_rng(5).integers(0, len(ids) - 129, 2048)
    windows = ids[starts[:, None] + np.arange(129)].astype("int32")
    return windows[:, :-1], windows[:, 1:]


def text(shape):
    """Windows of real text as integers below 100, and the character that follows: Shakespeare, else the licence."""
    path = ROOT.parent / "shared" / "data" / "tinyshakespeare.txt"
    raw = (path if path.is_file() else ROOT / "LICENSE").read_bytes()[:400_000]
    [length] = shape
    codes = np.clip(np.frombuffer(raw, "uint8").astype("int32") - 31, 0, 99)
    starts = np.random.default_rng(3).integers(0, len(codes) - length, 4096)
    return codes[starts[:, None] + np.arange(length)], codes[starts + length]


def moving_digits(shape):
    """Real digits that wander over eight frames."""
    x, y = digits()
    frames = [np.roll(x[:2048], (i, 2 * i), axis=(1, 2)) for i in range(-4, 4)]
    return np.stack(frames, axis=1), y[:2048]


def small_layers(keras):
    """The layers of the small MLP."""
    layers = keras.layers
    return [
        layers.Dense(64, activation="relu"),
        layers.Dropout(0.2),
        layers.Dense(32, activation="relu"),
        layers.Dense(10, activation="softmax"),
    ]


def mlp_small(keras, shape):
    return keras.Sequential([keras.Input(shape), *small_layers(keras)])


def own_step(keras, shape):
    return subclassed(keras, small_layers(keras), shape)


def mlp_large(keras, shape):
    layers = keras.layers
    hidden = [layers.Dense(2048, activation="relu") for _ in range(3)]
    return keras.Sequential([keras.Input(shape), *hidden, layers.Dense(10, activation="softmax")])


def convnet(keras, shape):
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input(shape),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )


def vgg_bn(keras, shape):
    layers = keras.layers
    stack = [keras.Input(shape)]
    for filters in (64, 128, 256):
        for _ in range(2):
            stack.append(layers.Conv2D(filters, 3, padding="same", use_bias=False))
            stack.append(layers.BatchNormalization())
            stack.append(layers.ReLU())
        stack.append(layers.MaxPooling2D(2))
    return keras.Sequential([*stack, layers.Flatten(), layers.Dense(10, activation="softmax")])


def separable(keras, shape):
    layers = keras.layers
    stack = [
        keras.Input(shape),
        layers.Conv2D(32, 3, padding="same", use_bias=False),
        layers.BatchNormalization(),
        layers.ReLU(),
    ]
    for filters, strides in ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1)):
        stack += [
            layers.DepthwiseConv2D(3, strides=strides, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Conv2D(filters, 1, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
        ]
    return keras.Sequential([*stack, layers.GlobalAveragePooling2D(), layers.Dense(10, activation="softmax")])


def conv1d(keras, shape):
    layers = keras.layers
    stack = [keras.Input(shape)]
    for filters in (64, 64, 128):
        stack.append(layers.Conv1D(filters, 5, padding="same", activation="relu"))
        stack.append(layers.MaxPooling1D(2))
    return keras.Sequential([*stack, layers.GlobalAveragePooling1D(), layers.Dense(10, activation="softmax")])


def resnet18(keras, shape):
    """ResNet-18 of He et al., 2015; for prediction."""
    layers = keras.layers

    def conv(x, filters, size, strides):
        if strides > 1 and size > 1:
            x = layers.ZeroPadding2D(size // 2)(x)
        padding = "same" if strides == 1 else "valid"
        x = layers.Conv2D(filters, size, strides=strides, padding=padding, use_bias=False)(x)
        return layers.BatchNormalization(epsilon=1e-5)(x)

    inputs = keras.Input(shape)
    x = layers.ReLU()(conv(inputs, 64, 7, 2))
    x = layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(x))
    for filters in (64, 128, 256, 512):
        for block in range(2):
            strides = 2 if block == 0 and filters > 64 else 1
            short = conv(x, filters, 1, strides) if strides > 1 else x
            x = layers.ReLU()(conv(x, filters, 3, strides))
            x = layers.ReLU()(layers.Add()([conv(x, filters, 3, 1), short]))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(x))


def transformer(keras, x, blocks, size, heads, inner, causal=False):
    """Blocks of attention and a network of two layers, each after a layer norm and around it a shortcut."""
    layers = keras.layers
    for _ in range(blocks):
        h = layers.LayerNormalization()(x)
        h = layers.MultiHeadAttention(heads, size // heads)(h, h, use_causal_mask=causal)
        x = layers.Add()([x, h])
        h = layers.LayerNormalization()(x)
        h = layers.Dense(inner, activation="gelu")(h)
        x = layers.Add()([x, layers.Dense(size)(h)])
    return layers.LayerNormalization()(x)


def encoder(keras, shape):
    layers = keras.layers
    inputs = keras.Input(shape)
    x = transformer(keras, inputs, 4, 256, 8, 1024)
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(x))


def chars(keras, shape):
    """A small decoder: predicts the next character; the places of characters are embedded as well."""
    layers = keras.layers
    inputs = keras.Input(shape, dtype="int32")
    places = layers.Embedding(shape[0], 128)(keras.ops.cumsum(keras.ops.ones_like(inputs), axis=1) - 1)
    x = layers.Add()([layers.Embedding(128, 128)(inputs), places])
    x = transformer(keras, x, 4, 128, 4, 512, causal=True)
    return keras.Model(inputs, layers.Dense(128, activation="softmax")(x))


def lstm(keras, shape):
    layers = keras.layers
    head = layers.Dense(100, activation="softmax")
    return keras.Sequential(
        [keras.Input(shape, dtype="int32"), layers.Embedding(100, 64), layers.LSTM(64), head]
    )


def gru(keras, shape):
    layers = keras.layers
    head = layers.Dense(100, activation="softmax")
    return keras.Sequential(
        [keras.Input(shape, dtype="int32"), layers.Embedding(100, 128), layers.GRU(128), head]
    )


def bidirectional(keras, shape):
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input(shape, dtype="int32"),
            layers.Embedding(100, 128),
            layers.Bidirectional(layers.LSTM(128)),
            layers.Dense(100, activation="softmax"),
        ]
    )


def conv_lstm(keras, shape):
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input(shape),
            layers.ConvLSTM2D(16, 3, padding="same"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )


@dataclass(frozen=True)
class Workload:
    """A model and how it is trained or predicted with.

    Args:
        what: what it is, in words.
        build: the model, made of the Keras module and the shape of a sample.
        data: samples and labels, made of that shape.
        shape: of a sample.
        batch: its size.
        batches: of one timed epoch.
        train: measured by `fit`? Else by `predict`.
    """

    what: str
    build: Callable
    data: Callable
    shape: tuple
    batch: int
    batches: int
    train: bool = True

    def model(self, keras):
        """Its model, with the same Glorot-like weights for every framework, whatever its own generator gives."""
        model = self.build(keras, self.shape)
        start_weights(model)
        return model

    def load(self, share=1.0):
        """The data of an epoch, or of a share of it: whole batches, at least four; repeated if there are fewer."""
        samples = self.batch * max(4, int(self.batches * share))
        x, y = self.data(self.shape)
        repeat = -(-samples // len(x))
        if repeat > 1:
            x, y = np.concatenate([x] * repeat), np.concatenate([y] * repeat)
        # Copies: a view would keep all of the data in memory, and count in the peak of whoever holds it.
        return x[:samples].reshape(-1, *self.shape).copy(), y[:samples].copy()


MLP = "MLP 784-64-dropout-32-10"
ENCODER = "Transformer encoder 4 x 256, length 128, batch 16"
WORKLOADS = {
    "mlp_small": Workload(f"{MLP}, batch 32", mlp_small, digits, (784,), 32, 1500),
    "mlp_large": Workload("MLP 784-2048x3-10, batch 256", mlp_large, digits, (784,), 256, 40),
    "convnet": Workload("MNIST convnet, batch 128", convnet, digits, (28, 28, 1), 128, 100),
    "vgg_bn": Workload("VGG with batch norm on 32x32, batch 64", vgg_bn, photos, (32, 32, 3), 64, 12),
    "separable": Workload(
        "Depthwise separable net on 32x32, batch 64", separable, photos, (32, 32, 3), 64, 40
    ),
    "conv1d": Workload("Conv1D stack, length 512, batch 64", conv1d, waves, (512, 8), 64, 40),
    "encoder": Workload(ENCODER, encoder, vectors, (128, 256), 16, 16),
    "encoder_predict": Workload(ENCODER, encoder, vectors, (128, 256), 16, 32, train=False),
    "chars": Workload(
        "Character transformer 4 x 128, length 128, batch 32", chars, characters, (128,), 32, 16
    ),
    "lstm": Workload("Embedding-LSTM(64) on text, length 100, batch 32", lstm, text, (100,), 32, 100),
    "gru": Workload("Embedding-GRU(128) on text, length 128, batch 64", gru, text, (128,), 64, 30),
    "bidirectional": Workload(
        "Bidirectional LSTM(128) on text, length 128, batch 64", bidirectional, text, (128,), 64, 20
    ),
    "conv_lstm": Workload(
        "ConvLSTM2D(16) on 8 frames of 28x28, batch 32", conv_lstm, moving_digits, (8, 28, 28, 1), 32, 20
    ),
    "resnet18": Workload(
        "ResNet-18 on 224x224, batch 16", resnet18, photos, (224, 224, 3), 16, 4, train=False
    ),
    "resnet18_one": Workload(
        "ResNet-18 on 224x224, batch 1", resnet18, photos, (224, 224, 3), 1, 32, train=False
    ),
    "subclassed": Workload(
        f"{MLP} with a train_step of its own, batch 32", own_step, digits, (784,), 32, 1500
    ),
}


def find(name):
    """A workload by its name; "gru@32" has another batch size, "gru@32x256" another length too."""
    name, _, sizes = name.partition("@")
    found = WORKLOADS[name]
    batch, *length = [int(n) for n in sizes.split("x")] if sizes else [found.batch]
    return replace(found, batch=batch, shape=(*length, *found.shape[len(length) :]))


def start_weights(model):
    """The same Glorot-like weights for every framework, whatever its own generator gives."""
    rng = np.random.default_rng(1)
    weights = []
    for w in model.get_weights():
        fan_in = int(np.prod(w.shape[:-1])) if w.ndim > 1 else 1
        weights.append(
            (rng.standard_normal(w.shape) / np.sqrt(fan_in)).astype(w.dtype)
            if w.ndim > 1
            else w  # biases are zeros and factors ones everywhere; with factors of zero nothing would be learned
        )
    model.set_weights(weights)
