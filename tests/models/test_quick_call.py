"""A model called on values answers as its layers do, whatever is changed in between."""

import numpy as np
import rkeras as keras


def small_model():
    return keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(5, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(3),
        ]
    )


def by_layers(model, x):
    for layer in model.layers:
        x = layer(x)
    return np.asarray(x)


def test_repeated_calls_give_what_the_layers_give():
    keras.utils.set_random_seed(1)
    model = small_model()
    for rows in (1, 4):
        x = np.random.default_rng(rows).standard_normal((rows, 6)).astype("float32")
        for _ in range(4):
            y = model(x)
            assert isinstance(y, type(keras.ops.ones(1)))
            np.testing.assert_allclose(np.asarray(y), by_layers(model, x), rtol=1e-5, atol=1e-6)
        for given in (keras.ops.convert_to_tensor(x), x.astype("float64")):
            for _ in range(3):
                y = model(given)
                assert y.dtype == "float32"
                np.testing.assert_allclose(np.asarray(y), by_layers(model, x), rtol=1e-5, atol=1e-6)


def test_new_weights_and_attributes_are_seen():
    keras.utils.set_random_seed(2)
    model = small_model()
    x = np.random.default_rng(0).standard_normal((2, 6)).astype("float32")
    for _ in range(3):
        model(x)
    model.layers[0].kernel.assign(model.layers[0].kernel * 2)
    np.testing.assert_allclose(np.asarray(model(x)), by_layers(model, x), rtol=1e-5, atol=1e-6)
    model.layers[0].activation = keras.activations.tanh
    for _ in range(3):
        np.testing.assert_allclose(np.asarray(model(x)), by_layers(model, x), rtol=1e-5, atol=1e-6)
    model.add(keras.layers.Dense(2))
    for _ in range(3):
        assert model(x).shape == (2, 2)


def test_tapes_and_training_go_through_the_layers():
    keras.utils.set_random_seed(3)
    model = small_model()
    x = np.random.default_rng(0).standard_normal((8, 6)).astype("float32")
    for _ in range(3):
        model(x)
    with keras.GradientTape() as tape:
        loss = keras.ops.sum(model(x) ** 2)
    assert all(g is not None for g in tape.gradient(loss, model.trainable_variables))
    assert np.any(np.asarray(model(x, training=True)) != np.asarray(model(x)))


def test_layers_of_the_user_run_every_time():
    calls = []

    class Counting(keras.layers.Layer):
        def call(self, x):
            calls.append(1)
            return x + 1.0

    model = keras.Sequential([keras.Input((2,)), Counting()])
    before = len(calls)
    for _ in range(4):
        model(np.zeros((1, 2), "float32"))
    assert len(calls) == before + 4


def test_single_batches_are_the_same_at_every_turn():
    keras.utils.set_random_seed(4)
    x = np.random.default_rng(0).standard_normal((8, 6)).astype("float32")
    y = np.arange(8) % 3
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    losses = []
    for eagerly in (False, True):
        keras.utils.set_random_seed(4)
        model = small_model()
        model.compile("sgd", loss, metrics=["accuracy"], run_eagerly=eagerly)
        losses.append([model.train_on_batch(x, y) for _ in range(4)])
        np.testing.assert_array_equal(model.predict(x, verbose=0), model.predict_on_batch(x))
        np.testing.assert_array_equal(model.predict(x, verbose=0), model.predict(x, batch_size=3, verbose=0))
    np.testing.assert_allclose(*losses, rtol=1e-5)
