"""tf.function: one trace per signature, the numbers of Python, variables assigned inside, honest fallback."""

import numpy as np
import pytest
import rkeras.tf as tf


def test_traces_once_per_signature():
    traced = []

    @tf.function
    def f(x, k=2, flag=True):
        traced.append((x.shape, k))
        return {"y": x * k if flag else x, "n": None, "pair": (x + 1.0, "text")}

    for _ in range(3):
        out = f(tf.constant([1.0, 2.0]))
    assert out["y"].numpy().tolist() == [2.0, 4.0] and out["n"] is None and out["pair"][1] == "text"
    assert len(traced) == 1
    f(tf.constant([1.0, 2.0, 3.0]))
    f(np.array([1.0, 2.0], "float32"))  # an array is a tensor of the same signature
    assert len(traced) == 2
    assert f(tf.constant([1.0, 2.0]), k=5)["y"].numpy().tolist() == [5.0, 10.0]
    assert f(tf.constant([1, 2]))["y"].dtype == "int32"
    assert len(traced) == 4 and f.experimental_get_tracing_count() == 4


def test_variables_and_training():
    v = tf.Variable([1.0, 2.0])

    @tf.function
    def grow(x):
        v.assign_add(x)
        return v * 2.0

    assert grow(tf.constant([1.0, 1.0])).numpy().tolist() == [4.0, 6.0]
    assert grow(tf.constant([1.0, 1.0])).numpy().tolist() == [6.0, 8.0]
    assert v.numpy().tolist() == [3.0, 4.0]
    assert grow.experimental_get_tracing_count() == 1


def steps(compiled):
    tf.keras.utils.set_random_seed(3)
    model = tf.keras.Sequential([tf.keras.layers.Dense(8, activation="relu"), tf.keras.layers.Dense(3)])
    optimizer = tf.keras.optimizers.Adam(0.05)
    loss_fn = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    metric = tf.keras.metrics.Mean()

    def step(x, y):
        with tf.GradientTape() as tape:
            loss = loss_fn(y, model(x, training=True))
        grads = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(grads, model.trainable_variables, strict=True))
        metric.update_state(loss)
        return loss

    run = tf.function(step) if compiled else step
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 5)).astype("float32"), rng.integers(0, 3, 40)
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(16)
    losses = [float(run(a, b)) for _ in range(3) for a, b in data]
    if compiled:
        assert run.experimental_get_tracing_count() == 2 and not run.untraceable
    return losses, float(metric.result()), int(optimizer.iterations)


def test_custom_loop_is_the_same_compiled():
    eager, compiled = steps(False), steps(True)
    np.testing.assert_allclose(eager[0], compiled[0], rtol=1e-5)
    assert eager[2] == compiled[2] == 9
    np.testing.assert_allclose(eager[1], compiled[1], rtol=1e-5)
    assert compiled[0][-1] < compiled[0][0]


def test_values_make_it_fall_back():
    @tf.function
    def f(x):
        return x * 2.0 if tf.reduce_sum(x) > 0 else x * 3.0

    with pytest.warns(UserWarning, match="runs eagerly"):
        assert f(tf.constant([1.0])).numpy().tolist() == [2.0]
    assert f(tf.constant([-1.0])).numpy().tolist() == [-3.0]
    assert f.untraceable


def test_gradients_flow_through_and_errors_pass():
    @tf.function
    def square(x):
        return x * x

    square(tf.constant(3.0))
    x = tf.constant(3.0)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = square(x)
    assert float(tape.gradient(y, x)) == 6.0

    @tf.function
    def broken(x):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        broken(x)


def test_methods_signatures_and_eager_switch():
    class Scale(tf.Module):
        def __init__(self, k):
            super().__init__()
            self.k = tf.Variable(k)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
        def __call__(self, x):
            return x * self.k

    a, b = Scale(2.0), Scale(3.0)
    assert a(tf.constant([1.0])).numpy() == [2.0] and b(tf.constant([1.0])).numpy() == [3.0]
    with pytest.raises(TypeError, match="expected TensorSpec"):
        a(tf.constant([[1.0]]))
    assert len(a.trainable_variables) == 1
    seen = []

    @tf.function
    def f(x):
        seen.append(tf.executing_eagerly())
        return x

    tf.config.run_functions_eagerly(True)
    try:
        f(tf.constant(1.0))
    finally:
        tf.config.run_functions_eagerly(False)
    f(tf.constant(1.0))
    assert seen == [True, False]


def test_random_numbers_move_on():
    @tf.function
    def draw():
        return tf.random.normal([3])

    tf.random.set_seed(1)
    a, b = draw().numpy(), draw().numpy()
    assert not np.array_equal(a, b)
    tf.random.set_seed(1)
    model = tf.keras.layers.Dense(2)
    model.build((None, 3))
    first = model.kernel.numpy()
    tf.random.set_seed(1)
    model = tf.keras.layers.Dense(2)
    model.build((None, 3))
    np.testing.assert_array_equal(first, model.kernel.numpy())


def test_jacobian_and_persistent_tape():
    x = tf.Variable([1.0, 2.0, 3.0])
    with tf.GradientTape(persistent=True) as tape:
        y = x * x
        z = tf.reduce_sum(y)
    np.testing.assert_allclose(tape.jacobian(y, x), np.diag([2.0, 4.0, 6.0]))
    assert tape.gradient(z, x).numpy().tolist() == [2.0, 4.0, 6.0]
    assert tape.gradient(z, tf.Variable(1.0)) is None
    zero = tape.gradient(z, tf.Variable(1.0), unconnected_gradients=tf.UnconnectedGradients.ZERO)
    assert float(zero) == 0.0


def test_control_flow_and_python_functions():
    @tf.function
    def f(x):
        y = tf.cond(tf.reduce_sum(x) > 0, lambda: x * 2.0, lambda: x)
        n, y = tf.while_loop(lambda n, a: n < 3, lambda n, a: (n + 1, a + 1.0), (tf.constant(0), y))
        return y

    assert f(tf.constant([1.0])).numpy().tolist() == [5.0] and not f.untraceable
    out = tf.numpy_function(lambda a: a[::-1], [tf.constant([1.0, 2.0])], tf.float32)
    assert out.numpy().tolist() == [2.0, 1.0]
    data = tf.data.Dataset.range(3).map(lambda n: tf.py_function(lambda v: int(v) * 10, [n], tf.int64))
    assert [int(v) for v in data] == [0, 10, 20]


def test_loops_over_data_sets_inside_see_every_element():
    data = tf.data.Dataset.range(4).shuffle(4, seed=1)
    seen = []

    @tf.function
    def epoch(total):
        for x in data:
            seen.append(int(x))
            total = total + tf.cast(x, tf.float32)
        return total

    with pytest.warns(UserWarning, match="runs eagerly"):
        assert float(epoch(tf.constant(0.0))) == 6.0
    assert float(epoch(tf.constant(1.0))) == 7.0
    assert len(seen) == 8 and seen[:4] != seen[4:]  # another order, not the first one once more
