"""What a recording cannot show of recurrent layers: dropout, custom cells, kept states, training, messages."""

import numpy as np
import pytest
import rkeras as keras
from checks.check_op import run_compiled

layers = keras.layers
RNG = np.random.default_rng(0)


def draw(*shape):
    return RNG.standard_normal(shape).astype("float32")


@keras.saving.register_keras_serializable("tests")
class Leaky(keras.layers.Layer):
    """A cell of a user: two states, one of them a count, output of another size."""

    def __init__(self, units, rate=0.5, **kwargs):
        super().__init__(**kwargs)
        self.units, self.rate = units, rate
        self.state_size = [units, 1]
        self.output_size = 2 * units

    def build(self, input_shape):
        self.kernel = self.add_weight((input_shape[-1], self.units), name="kernel")

    def call(self, inputs, states):
        h, n = states
        h = self.rate * h + keras.ops.matmul(inputs, self.kernel)
        return keras.ops.concatenate([h, -h], axis=-1), [h, n + 1]

    def get_config(self):
        return {**super().get_config(), "units": self.units, "rate": self.rate}


def leaky(x, kernel, rate, mask=None):
    h, n = np.zeros((len(x), kernel.shape[1])), np.zeros((len(x), 1))
    out = []
    before = np.zeros((len(x), 2 * kernel.shape[1]))
    for t in range(x.shape[1]):
        new = rate * h + x[:, t] @ kernel
        keep = np.ones((len(x), 1), bool) if mask is None else mask[:, t, None]
        h, n = np.where(keep, new, h), n + keep
        before = np.where(keep, np.concatenate([new, -new], -1), before)
        out.append(before)
    return np.stack(out, 1), h, n


@pytest.mark.parametrize("masked", [False, True])
def test_a_cell_of_the_users(masked, tmp_path):
    layer = layers.RNN(Leaky(3), return_sequences=True, return_state=True)
    x = draw(4, 6, 5)
    mask = RNG.random((4, 6)) > 0.4 if masked else None
    expected = leaky(x, layer(x) and layer.get_weights()[0], 0.5, mask)
    for got in (
        layer(x, mask=mask),
        run_compiled(lambda t: list(layer(t, mask=mask)), x),
    ):
        for y, want in zip(got, expected, strict=True):
            np.testing.assert_allclose(np.asarray(y), want, rtol=1e-5, atol=1e-5)
    model = keras.Sequential([keras.Input((None, 5)), layers.RNN(Leaky(3))])
    model.save(tmp_path / "leaky.keras")
    again = keras.models.load_model(tmp_path / "leaky.keras")
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))


@pytest.mark.parametrize("make", [layers.SimpleRNN, layers.LSTM, layers.GRU])
@pytest.mark.parametrize("kind", ["dropout", "recurrent_dropout"])
def test_dropout_patterns_hold_for_all_steps(make, kind):
    """With one input repeated and the state multiplied by nothing, all steps give the same."""
    layer = make(16, return_sequences=True, seed=3, activation="linear", **{kind: 0.5})
    x = np.repeat(draw(2, 1, 8), 7, axis=1)
    plain, again = np.asarray(layer(x)), np.asarray(layer(x, training=True))
    assert not np.allclose(plain, again)
    other = np.asarray(layer(x, training=True))
    assert not np.allclose(again, other), "the next batch has another pattern"
    same = make(16, return_sequences=True, seed=3, activation="linear", **{kind: 0.5})
    same(x)
    same.set_weights(layer.get_weights())
    np.testing.assert_allclose(np.asarray(same(x, training=True)), again, rtol=1e-6)
    if kind == "dropout":
        weights = layer.get_weights()
        weights[1] = np.zeros_like(weights[1])
        layer.set_weights(weights)
        y = np.asarray(layer(x, training=True))
        if make is layers.SimpleRNN:
            np.testing.assert_allclose(y, y[:, :1].repeat(7, 1), rtol=1e-5)


def test_dropout_of_inputs_is_scaled():
    layer = layers.SimpleRNN(1, dropout=0.25, use_bias=False, activation=None, kernel_initializer="ones")
    x = np.ones((500, 1, 40), "float32")
    y = np.asarray(layer(x, training=True))
    assert abs(y.mean() - 40) < 1


@pytest.mark.parametrize("make", [layers.SimpleRNN, layers.LSTM, layers.GRU])
def test_dropout_trains_alike_eagerly_and_compiled(make):
    x, y = draw(24, 5, 3), draw(24, 2)
    results = []
    for eager in (False, True):
        keras.utils.set_random_seed(5)
        model = keras.Sequential(
            [
                keras.Input((5, 3)), make(4, dropout=0.3, recurrent_dropout=0.2, return_sequences=True),
                layers.Bidirectional(make(3, dropout=0.1)), layers.Dense(2),
            ]
        )  # fmt: skip
        model.compile("adam", "mse", run_eagerly=eager)
        model.fit(x, y, batch_size=8, epochs=2, verbose=0)
        results.append(model.get_weights())
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def test_states_are_kept_over_batches_of_predict_and_fit():
    model = keras.Sequential([keras.Input(batch_shape=(2, 3, 4)), layers.LSTM(5, stateful=True)])
    long = layers.LSTM(5)
    x = draw(2, 6, 4)
    long(x)
    long.set_weights(model.get_weights())
    want = np.asarray(long(x))
    halves = np.concatenate([x[:, :3], x[:, 3:]])
    np.testing.assert_allclose(model.predict(halves, batch_size=2, verbose=0)[2:], want, rtol=1e-5, atol=1e-6)
    model.layers[0].reset_state()
    assert not np.any(model.layers[0].states[0].numpy())
    np.testing.assert_allclose(model.predict(halves, batch_size=2, verbose=0)[2:], want, rtol=1e-5, atol=1e-6)
    model.compile("sgd", "mse")
    model.layers[0].reset_states()
    model.fit(halves, draw(4, 5), batch_size=2, shuffle=False, verbose=0)
    assert np.any(model.layers[0].states[1].numpy())
    assert len(model.weights) == 3, "states are no weights"


def test_states_of_one_layer_go_into_another():
    """The encoder and decoder of a translation model."""
    x, z = keras.Input((None, 3)), keras.Input((None, 2))
    _, *states = layers.LSTM(4, return_state=True)(x)
    y = layers.LSTM(4, return_sequences=True)(z, initial_state=states)
    model = keras.Model([x, z], y)
    assert model.predict([draw(5, 7, 3), draw(5, 4, 2)], verbose=0).shape == (5, 4, 4)
    model.compile("adam", "mse")
    a, b, c = draw(8, 7, 3), draw(8, 4, 2), draw(8, 4, 4)
    loss = [model.fit([a, b], c, verbose=0).history["loss"][0] for _ in range(3)]
    assert loss[-1] < loss[0]


def test_mask_of_embedding_reaches_the_layer():
    ids = np.array([[3, 2, 0, 0], [1, 0, 0, 0]])
    model = keras.Sequential(
        [keras.Input((4,), dtype="int32"), layers.Embedding(5, 3, mask_zero=True), layers.GRU(4)]
    )
    whole = model.predict(ids, verbose=0)
    for row, n in zip(range(2), (2, 1), strict=True):
        part = model.predict(ids[row : row + 1, :n], verbose=0)
        np.testing.assert_allclose(whole[row : row + 1], part, rtol=1e-5, atol=1e-6)


def test_bfloat16_policy():
    layer = layers.LSTM(4, return_sequences=True, dtype="mixed_bfloat16")
    y = layer(draw(2, 3, 4))
    assert y.dtype == "bfloat16" and layer.weights[0].dtype == "float32"


def test_masked_convolutions_keep_their_state():
    layer = layers.ConvLSTM2D(2, 2, return_sequences=True)
    x = draw(2, 4, 5, 5, 1)
    mask = np.array([[True, True, False, False], [True] * 4])
    y = np.asarray(layer(x, mask=mask))
    np.testing.assert_allclose(y[0, 3], y[0, 1], rtol=1e-6)
    np.testing.assert_allclose(y[1], np.asarray(layer(x))[1], rtol=1e-5, atol=1e-6)


def test_time_distributed_normalises_step_by_step():
    """Batch statistics are those of one step, not of all."""
    layer = layers.TimeDistributed(layers.BatchNormalization())
    y = np.asarray(layer(draw(6, 3, 4) * [[[1], [10], [100]]], training=True))
    np.testing.assert_allclose(y.std(axis=0), 1, atol=0.05)


def test_messages():
    x = draw(2, 3, 4)
    with pytest.raises(ValueError, match="units as a positive integer"):
        layers.LSTM(0)
    with pytest.raises(ValueError, match="different go_backwards"):
        layers.Bidirectional(layers.GRU(2), backward_layer=layers.GRU(2))
    with pytest.raises(ValueError, match="same return_sequences"):
        layers.Bidirectional(
            layers.GRU(2), backward_layer=layers.GRU(2, go_backwards=True, return_sequences=True)
        )
    with pytest.raises(ValueError, match="merge_mode"):
        layers.Bidirectional(layers.GRU(2), merge_mode="max")
    with pytest.raises(ValueError, match="expected a layer"):
        layers.TimeDistributed(3)
    with pytest.raises(ValueError, match="known batch size"):
        layers.LSTM(2, stateful=True)(keras.Input((3, 4)))
    with pytest.raises(ValueError, match="known number of steps"):
        layers.LSTM(2, unroll=True)(keras.Input((None, 4)))
    with pytest.raises(ValueError, match="use_cudnn"):
        layers.LSTM(2, use_cudnn=True)
    with pytest.raises(ValueError, match="batches of 2"):
        layer = layers.LSTM(2, stateful=True)
        layer(x)
        layer(draw(3, 3, 4))
    with pytest.raises(ValueError, match="state_size"):
        layers.RNN(layers.Dense(3))
    with pytest.raises(ValueError, match="mask"):
        layers.TimeDistributed(layers.Dense(2))(x, mask=np.ones((2, 4), bool))
    with pytest.raises(AttributeError, match="stateful"):
        layers.Bidirectional(layers.LSTM(2)).reset_state()
