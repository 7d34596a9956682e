"""TensorFlow checkpoints: the bytes, the object graph, what tf_keras and Keras 3 wrote, damage, the classes."""

import contextlib
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import rkeras as keras
from checks import zoo
from checks.interop import needs_real_programs, run_real
from rkeras.saving import tf_bundle
from rkeras.saving.crc32c import crc32c, masked
from rkeras.saving.table import read_table, write_table
from rkeras.saving.tf_checkpoint import (
    Checkpoint,
    CheckpointManager,
    list_variables,
    load_checkpoint,
    load_weights,
    save_weights,
)

GOLDEN = Path(__file__).parents[1] / "golden"
MODELS = ["mlp", "convnet", "nested", "lstm", "subclassed"]
if hasattr(keras.layers, "MultiHeadAttention"):
    MODELS.append("transformer")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Folders of what the real programs wrote."""
    folder = tmp_path_factory.mktemp("checkpoints")
    for program in ("tf_keras", "keras"):
        with zipfile.ZipFile(GOLDEN / f"tf-checkpoints-{program}.zip") as archive:
            archive.extractall(folder / program)
    return folder


def fresh(name):
    """A model of the zoo with other weights."""
    keras.utils.set_random_seed(99)
    model = zoo.architecture(keras, name)
    model.compile(zoo.optimizer(keras, name), **zoo.losses(name))
    zoo.predict(model, name)
    return model


def check(model, name, expected, when, atol):
    for i, ours in enumerate(zoo.predict(model, name)):
        np.testing.assert_allclose(ours, expected[f"{when}_{i}"], atol=atol)


@pytest.mark.parametrize("name", MODELS)
def test_weights_and_optimizer_of_tf_keras(recorded, name):
    folder = recorded / "tf_keras" / name
    model, expected = fresh(name), np.load(folder / "expected.npz")
    restored = load_weights(model, folder / "weights")
    assert restored.unused == []
    check(model, name, expected, "before", 1e-5)
    zoo.train(model, name)
    check(model, name, expected, "after", 1e-4)


@pytest.mark.parametrize("name", [m for m in MODELS if m != "subclassed"])
def test_model_and_optimizer_of_keras_3(recorded, name):
    folder = recorded / "keras" / name
    model, expected = fresh(name), np.load(folder / "expected.npz")
    status = Checkpoint(model=model, optimizer=model.optimizer).restore(folder / "weights")
    status.assert_existing_objects_matched()
    check(model, name, expected, "before", 1e-5)
    # Keras 3 on TensorFlow squares gradients of embeddings lookup by lookup, before adding them up.
    if name != "transformer":
        zoo.train(model, name)
        check(model, name, expected, "after", 1e-4)


def test_layers_in_lists_that_keras_3_stores_with_the_optimizer_only(recorded):
    model = fresh("subclassed")
    before = [w.numpy().copy() for w in model.trainable_weights]
    restored = (
        Checkpoint(model=model, optimizer=model.optimizer)
        .restore(recorded / "keras" / "subclassed" / "weights")
        ._restored
    )
    # Keras 3 itself loses the moving averages of layers in lists.
    assert all("moving" in path or path == "save_counter" for path in restored.missing())
    assert any((w.numpy() != b).any() for w, b in zip(model.trainable_weights, before, strict=True))


def test_weights_wait_for_layers_that_are_not_built(recorded):
    folder = recorded / "tf_keras" / "subclassed"
    model = zoo.architecture(keras, "subclassed")
    model.compile(zoo.optimizer(keras, "subclassed"), **zoo.losses("subclassed"))
    restored = load_weights(model, folder / "weights")
    assert restored.waiting > 0
    check(model, "subclassed", np.load(folder / "expected.npz"), "before", 1e-5)
    zoo.train(model, "subclassed")
    check(model, "subclassed", np.load(folder / "expected.npz"), "after", 1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_round_trip(tmp_path, name):
    model = fresh(name)
    zoo.train(model, name)
    save_weights(model, tmp_path / "weights")
    assert sorted(os.listdir(tmp_path)) == ["checkpoint", "weights.data-00000-of-00001", "weights.index"]
    assert tf_bundle.latest_checkpoint(tmp_path) == str(tmp_path / "weights")
    other = fresh(name)
    assert load_weights(other, tmp_path / "weights").unused == []
    for a, b in zip(zoo.predict(model, name), zoo.predict(other, name), strict=True):
        np.testing.assert_array_equal(a, b)
    zoo.train(model, name)
    zoo.train(other, name)
    for a, b in zip(zoo.predict(model, name), zoo.predict(other, name), strict=True):
        np.testing.assert_array_equal(a, b)


def test_another_architecture_is_refused(recorded):
    with pytest.raises(ValueError, match="not in the file|shape"):
        load_weights(fresh("mlp"), recorded / "tf_keras" / "convnet" / "weights")
    load_weights(fresh("mlp"), recorded / "tf_keras" / "convnet" / "weights", skip_mismatch=True)


def test_checksums_known_and_in_pieces():
    assert crc32c(b"123456789") == 0xE3069283 and crc32c(b"") == 0
    assert crc32c(bytes(32)) == 0x8A9136AA and crc32c(b"\xff" * 32) == 0x62A8AB43
    data = np.random.default_rng(0).integers(0, 256, 70_001, dtype=np.uint8)
    whole = crc32c(data)
    for cut in (1, 1024, 5000, 65_536):
        assert crc32c(data[cut:], crc32c(data[:cut])) == whole
    assert masked(0) == 0xA282EAD8


def test_tables_come_back_and_are_checked():
    rng = np.random.default_rng(0)
    entries = {
        f"layer-{i:05d}/kernel".encode(): bytes(rng.integers(0, 256, i % 300, dtype=np.uint8))
        for i in range(3000)
    }
    data = write_table(entries)
    assert read_table(data) == entries
    assert read_table(write_table({})) == {}
    for _ in range(300):
        damaged = bytearray(data[-4000:] if rng.random() < 0.5 else data)
        damaged[rng.integers(len(damaged))] ^= 1 << rng.integers(8)
        with contextlib.suppress(ValueError):
            # Only padding of the footer is free.
            assert read_table(bytes(damaged)) == entries


def test_dtypes_and_texts(tmp_path):
    tensors = {
        f"t/{d}": np.arange(6).reshape(2, 3).astype(d)
        for d in (
            "float32",
            "float64",
            "float16",
            "int8",
            "int16",
            "int32",
            "int64",
            "uint8",
            "uint16",
            "uint32",
            "uint64",
            "bool",
        )
    }
    tensors.update(
        {
            "text": b"some\0bytes",
            "empty": np.zeros((0, 4), "float32"),
            "half": (np.array([0x3F80], "uint16"), "bfloat16"),
        }
    )
    tf_bundle.write_checkpoint(tmp_path / "all", tensors)
    reader = load_checkpoint(tmp_path)
    for key, value in tensors.items():
        if isinstance(value, np.ndarray):
            got = reader.get_tensor(key)
            assert got.dtype == value.dtype and reader.shape(key) == value.shape
            np.testing.assert_array_equal(got, value)
    assert reader.get_tensor("text") == b"some\0bytes" and reader.get_tensor("half").tolist() == [1.0]
    assert reader.get_variable_to_shape_map()["t/int8"] == [2, 3] and reader.has_tensor("text")
    assert ("empty", [0, 4]) in list_variables(tmp_path)
    with pytest.raises(KeyError):
        reader.get_tensor("missing")


def test_damaged_tensors_and_lies_about_sizes_are_refused(tmp_path):
    prefix = tmp_path / "x"
    tf_bundle.write_checkpoint(prefix, {"a": np.ones(1000, "float32")})
    path = tmp_path / "x.data-00000-of-00001"
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(ValueError, match="checksum"):
        load_checkpoint(prefix).get_tensor("a")
    entry = {"dtype": 1, "shape": {"dim": [{"size": 1 << 40}]}, "size": 1 << 42}
    from rkeras.saving.protobuf import encode

    index = write_table(
        {b"": encode(tf_bundle._HEADER, {"num_shards": 1}), b"a": encode(tf_bundle._ENTRY, entry)}
    )
    (tmp_path / "x.index").write_bytes(index)
    with pytest.raises(ValueError, match="file without them"):
        load_checkpoint(prefix).get_tensor("a")


def test_the_state_file_cannot_lead_out_of_its_folder(tmp_path):
    (tmp_path / "checkpoint").write_text(
        'model_checkpoint_path: "/etc/../secret"\nall_model_checkpoint_paths: "../up"\n'
    )
    assert tf_bundle.read_state(tmp_path) == (str(tmp_path / "secret"), [str(tmp_path / "up")])
    assert tf_bundle.latest_checkpoint(tmp_path) is None


def test_a_crash_at_any_step_leaves_a_whole_checkpoint(tmp_path, monkeypatch):
    prefix, step = tmp_path / "w", {"left": None}

    def dying(function):
        def call(*args, **kwargs):
            if step["left"] == 0:
                raise KeyboardInterrupt
            step["left"] -= 1
            return function(*args, **kwargs)

        return call

    old, new = np.zeros(5000, "float32"), np.ones(5000, "float32")
    for steps in range(12):
        step["left"] = 1 << 30
        tf_bundle.write_checkpoint(prefix, {"a": old})
        with monkeypatch.context() as patch:
            for name in ("replace", "link", "unlink", "fsync"):
                patch.setattr(os, name, dying(getattr(os, name)))
            step["left"] = steps
            with contextlib.suppress(KeyboardInterrupt):
                tf_bundle.write_checkpoint(prefix, {"a": new})
        got = load_checkpoint(prefix).get_tensor("a")
        assert (got == old).all() or (got == new).all()
        step["left"] = 1 << 30
    assert (got == new).all()


def test_crash_after_crash(tmp_path, monkeypatch):
    prefix = tmp_path / "w"
    tf_bundle.write_checkpoint(prefix, {"a": np.zeros(50)})

    def die(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tf_bundle, "_name_too", die)
        with pytest.raises(KeyboardInterrupt):
            tf_bundle.write_checkpoint(prefix, {"a": np.full(50, 1.0)})
    assert load_checkpoint(prefix).shards == 2 and load_checkpoint(prefix).get_tensor("a")[0] == 1
    replace = os.replace
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda a, b: die() if b.endswith(".index") else replace(a, b))
        with pytest.raises(KeyboardInterrupt):
            tf_bundle.write_checkpoint(prefix, {"a": np.full(50, 2.0)})
    assert (load_checkpoint(prefix).get_tensor("a") == 1).all()
    tf_bundle.write_checkpoint(prefix, {"a": np.full(50, 3.0)})
    assert (load_checkpoint(prefix).get_tensor("a") == 3).all()
    assert sorted(os.listdir(tmp_path)) == ["checkpoint", "w.data-00000-of-00001", "w.index"]


def test_manager_keeps_the_newest(tmp_path):
    v, step = keras.Variable(0.0), keras.Variable(0, dtype="int64")
    manager = CheckpointManager(Checkpoint(v=v, step=step), tmp_path / "runs", max_to_keep=2)
    assert manager.restore_or_initialize() is None and manager.latest_checkpoint is None
    for i in range(1, 5):
        v.assign(float(i))
        assert manager.save() == str(tmp_path / "runs" / f"ckpt-{i}")
    assert [os.path.basename(p) for p in manager.checkpoints] == ["ckpt-3", "ckpt-4"]
    assert sorted(os.listdir(tmp_path / "runs")) == [
        "checkpoint", "ckpt-3.data-00000-of-00001", "ckpt-3.index", "ckpt-4.data-00000-of-00001", "ckpt-4.index",
    ]  # fmt: skip
    v.assign(9.0)
    again = CheckpointManager(Checkpoint(v=v, step=step), tmp_path / "runs", max_to_keep=2)
    assert again.restore_or_initialize() == str(tmp_path / "runs" / "ckpt-4") and float(v.numpy()) == 4.0
    again.save()
    assert os.path.basename(again.latest_checkpoint) == "ckpt-5"


def test_status_says_what_did_not_fit(tmp_path):
    a, b = keras.Variable(1.0, name="a"), keras.Variable([2.0], name="b")
    path = Checkpoint(a=a).write(tmp_path / "c")
    with pytest.raises(AssertionError, match="'b'"):
        Checkpoint(a=a, b=b).restore(path).assert_consumed()
    with pytest.raises(AssertionError, match="none|None"):
        Checkpoint(b=b).restore(path).assert_nontrivial_match()
    Checkpoint(b=b).restore(path).expect_partial()
    with pytest.raises(ValueError, match="x=int"):
        Checkpoint(x=1)
    with pytest.raises(FileNotFoundError):
        load_checkpoint(tmp_path / "none")


def test_paths_without_ending_are_checkpoints(tmp_path):
    model = fresh("mlp")
    model.save_weights(tmp_path / "weights")
    other = fresh("mlp")
    other.load_weights(tmp_path / "weights").expect_partial()
    np.testing.assert_array_equal(zoo.predict(other, "mlp")[0], zoo.predict(model, "mlp")[0])
    with pytest.raises(FileExistsError):
        model.save_weights(tmp_path / "weights", overwrite=False)
    model.save_weights(tmp_path / "w.x", save_format="tf")
    assert os.path.isfile(tmp_path / "w.x.index")


READ = """
import sys, numpy as np, tensorflow as tf, keras, tf_keras, zoo
folder = sys.argv[1]
for name in sys.argv[2:]:
    expected = np.load(f"{folder}/{name}.npz")
    for k in (tf_keras, keras):
        if k is keras and name == "subclassed":
            continue  # Keras 3 does not see layers in lists
        k.utils.set_random_seed(5)
        model = zoo.architecture(k, name)
        model.compile(zoo.optimizer(k, name), **zoo.losses(name))
        zoo.predict(model, name)
        if k is tf_keras:
            model.load_weights(f"{folder}/{name}").expect_partial()
        else:
            model.optimizer.build(model.trainable_variables)
            checkpoint = tf.train.Checkpoint(model=model, optimizer=model.optimizer)
            checkpoint.restore(f"{folder}/{name}-1").assert_existing_objects_matched()
        for when, atol in (("before", 1e-5), ("after", 1e-4)):
            if when == "after" and k is keras and name == "transformer":
                continue  # other squares of embedding gradients, see above
            for i, p in enumerate(zoo.predict(model, name)):
                np.testing.assert_allclose(p, expected[f"{when}_{i}"], atol=atol, err_msg=f"{k.__name__} {name} {when}")
            zoo.train(model, name)
    reader = tf.train.load_checkpoint(f"{folder}/{name}")
    assert all(np.isfinite(reader.get_tensor(n)).all() for n in reader.get_variable_to_shape_map() if "GRAPH" not in n)
print("read", *sys.argv[2:])
"""


@needs_real_programs
def test_tensorflow_and_both_kerases_read_ours(tmp_path):
    for name in MODELS:
        model = fresh(name)
        zoo.train(model, name)
        save_weights(model, tmp_path / name)
        Checkpoint(model=model, optimizer=model.optimizer).save(tmp_path / name)
        results = {f"before_{i}": p for i, p in enumerate(zoo.predict(model, name))}
        zoo.train(model, name)
        results.update({f"after_{i}": p for i, p in enumerate(zoo.predict(model, name))})
        np.savez(tmp_path / f"{name}.npz", **results)
    assert "read" in run_real(READ, tmp_path, *MODELS)
