"""tf.train: checkpoints of models, optimizers, modules and variables."""

import numpy as np
import pytest
import rkeras.tf as tf


def test_checkpoint_of_a_custom_loop(tmp_path):
    def fresh():
        model = tf.keras.Sequential([tf.keras.Input((2,)), tf.keras.layers.Dense(3)])
        return model, tf.keras.optimizers.Adam(0.1), tf.Variable(0, trainable=False, dtype=tf.int64)

    model, optimizer, step = fresh()
    optimizer.build(model.trainable_variables)
    optimizer.apply([tf.ones_like(v) for v in model.trainable_variables], model.trainable_variables)
    step.assign_add(1)
    checkpoint = tf.train.Checkpoint(model=model, optimizer=optimizer, step=step)
    manager = tf.train.CheckpointManager(checkpoint, str(tmp_path), max_to_keep=2)
    for _ in range(3):
        manager.save()
    assert (
        len(manager.checkpoints) == 2
        and tf.train.latest_checkpoint(str(tmp_path)) == manager.latest_checkpoint
    )

    again, other, counter = fresh()
    tf.train.Checkpoint(model=again, optimizer=other, step=counter).restore(manager.latest_checkpoint)
    other.build(again.trainable_variables)
    for a, b in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert int(counter) == 1 and int(other.iterations.numpy()) == 1
    np.testing.assert_array_equal(other._momentums[0].numpy(), optimizer._momentums[0].numpy())
    assert tf.train.latest_checkpoint(str(tmp_path / "none")) is None


@pytest.mark.parametrize(
    "name",
    [
        "Adadelta",
        "Adafactor",
        "Adagrad",
        "Adamax",
        "Ftrl",
        "Lamb",
        "Lion",
        "Muon",
        "Nadam",
        "ScheduleFreeAdamW",
    ],
)
def test_every_optimizer_is_stored(tmp_path, name):
    def fresh():
        v = [tf.Variable(np.ones((2, 3), "float32")), tf.Variable(np.ones(3, "float32"))]
        optimizer = getattr(tf.keras.optimizers, name)(0.1)
        optimizer.build(v)
        return v, optimizer

    v, optimizer = fresh()
    grads = [tf.constant(np.arange(6).reshape(2, 3) - 2.5, tf.float32), tf.constant([1.0, -2.0, 3.0])]
    optimizer.apply(grads, v)
    prefix = tf.train.Checkpoint(v=v, optimizer=optimizer).save(str(tmp_path / "c"))
    w, other = fresh()
    tf.train.Checkpoint(v=w, optimizer=other).restore(prefix).assert_existing_objects_matched()
    optimizer.apply(grads, v)
    other.apply(grads, w)
    for a, b in zip(v, w, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_module(tmp_path):
    class Net(tf.Module):
        def __init__(self):
            super().__init__()
            self.w = tf.Variable([1.0, 2.0])
            self.parts = [tf.Variable(3.0), {"k": tf.Variable(4.0)}]

    a, b = Net(), Net()
    a.w.assign([5.0, 6.0])
    a.parts[1]["k"].assign(7.0)
    prefix = tf.train.Checkpoint(net=a).save(str(tmp_path / "net"))
    assert ("net/w/.ATTRIBUTES/VARIABLE_VALUE", [2]) in tf.train.list_variables(prefix)
    tf.train.Checkpoint(net=b).restore(prefix).assert_consumed()
    assert b.w.numpy().tolist() == [5.0, 6.0] and float(b.parts[1]["k"]) == 7.0
    with pytest.raises(AttributeError, match=r"tf\.train"):
        tf.train.AdamOptimizer


def test_checkpoint_callback_writes_checkpoints(tmp_path):
    model = tf.keras.Sequential([tf.keras.Input((2,)), tf.keras.layers.Dense(1)])
    model.compile("adam", "mse")
    path = str(tmp_path / "training" / "cp-{epoch:04d}.ckpt")
    callback = tf.keras.callbacks.ModelCheckpoint(filepath=path, save_weights_only=True)
    model.fit(np.ones((8, 2)), np.ones(8), epochs=2, verbose=0, callbacks=[callback])
    latest = tf.train.latest_checkpoint(str(tmp_path / "training"))
    assert latest.endswith("cp-0002.ckpt")
    again = tf.keras.Sequential([tf.keras.Input((2,)), tf.keras.layers.Dense(1)])
    again.load_weights(latest)
    np.testing.assert_array_equal(again.get_weights()[0], model.get_weights()[0])
    with pytest.raises(ValueError, match="for weights"):
        tf.keras.callbacks.ModelCheckpoint("x.npz", save_weights_only=True)
