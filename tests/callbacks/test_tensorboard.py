"""Event files: what is in them, read by an own reader of the format."""

import struct

import numpy as np
import pytest
import rkeras as keras
import rkeras.tf as tf
from rkeras.saving import events
from rkeras.saving.crc32c import crc32c, masked
from rkeras.saving.protobuf import decode


def read(folder):
    """(tag, step, value or histogram) of all events of the only file in a folder."""
    (path,) = folder.glob("events.out.tfevents.*")
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        head = data[at : at + 8]
        (size,) = struct.unpack("<Q", head)
        body = data[at + 12 : at + 12 + size]
        sums = struct.unpack("<I", data[at + 8 : at + 12]) + struct.unpack(
            "<I", data[at + 12 + size : at + 16 + size]
        )
        assert sums == (masked(crc32c(head)), masked(crc32c(body)))
        event = decode(events._EVENT, body)
        for value in event.get("summary", {}).get("value", []):
            found.append((value["tag"], event.get("step", 0), value.get("simple_value", value.get("histo"))))
        at += 16 + size
    return found


def fit(folder, **arguments):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="d")])
    model.compile("sgd", "mse")
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 2)), rng.standard_normal(40)
    board = keras.callbacks.TensorBoard(folder, **arguments)
    history = model.fit(x, y, batch_size=10, epochs=2, validation_data=(x, y), verbose=0, callbacks=[board])
    return history.history


def test_results_of_epochs(tmp_path):
    history = fit(tmp_path, histogram_freq=1, write_steps_per_second=True)
    train = read(tmp_path / "train")
    losses = [(step, value) for tag, step, value in train if tag == "epoch_loss"]
    assert [s for s, _ in losses] == [0, 1]
    np.testing.assert_allclose([v for _, v in losses], history["loss"], rtol=1e-6)
    tags = {tag.removeprefix("sequential/") for tag, _, _ in train}
    assert tags == {
        "epoch_loss",
        "epoch_learning_rate",
        "epoch_steps_per_second",
        "d/kernel/histogram",
        "d/bias/histogram",
    }
    spread = next(value for tag, _, value in train if tag.endswith("d/kernel/histogram"))
    counts = np.frombuffer(spread["bucket"], "<f8")
    assert counts.sum() == spread["num"] == 2 and len(counts) == 30 and spread["min"] <= spread["max"]
    validation = read(tmp_path / "validation")
    np.testing.assert_allclose(
        [v for t, _, v in validation if t == "epoch_loss"], history["val_loss"], rtol=1e-6
    )
    assert [s for t, s, _ in validation if t == "evaluation_loss_vs_iterations"] == [4, 8]


def test_results_of_batches(tmp_path):
    fit(tmp_path, update_freq=2)
    assert [s for t, s, _ in read(tmp_path / "train") if t == "batch_loss"] == [1, 3, 5, 7]
    with pytest.raises(NotImplementedError, match="profile_batch"):
        keras.callbacks.TensorBoard(profile_batch=5)
    with pytest.raises(ValueError, match="update_freq"):
        keras.callbacks.TensorBoard(update_freq="often")


def test_summary_of_custom_loops(tmp_path):
    writer = tf.summary.create_file_writer(str(tmp_path))
    with writer.as_default():
        for step in range(3):
            assert tf.summary.scalar("loss", tf.constant(0.5) * step, step=step)
        tf.summary.histogram("w", tf.constant([1.0, 2.0]), step=3)
    assert not tf.summary.scalar("loss", 1.0, step=1)
    writer.close()
    found = read(tmp_path)
    assert found[:3] == [("loss", 0, 0.0), ("loss", 1, 0.5), ("loss", 2, 1.0)] and found[3][0] == "w"
    with writer.as_default(), pytest.raises(ValueError, match="step"):
        tf.summary.scalar("loss", 1.0)


def test_tensorflow_reads_them(tmp_path):
    tensorflow = pytest.importorskip("tensorflow")
    fit(tmp_path)
    (path,) = (tmp_path / "train").glob("events*")
    found = [v.tag for e in tensorflow.compat.v1.train.summary_iterator(str(path)) for v in e.summary.value]
    assert found.count("epoch_loss") == 2
