"""Weights in files: which format, by the ending of the name while writing and by the content while reading."""

import os

from rkeras.saving import hdf5
from rkeras.saving.files import may_write, replace_file
from rkeras.saving.state import HDF5Source, read_state, state_bytes


def save_weights(model, filepath, overwrite=True, max_shard_size=None, **kwargs):
    """Writes the weights of a model to a file that Keras reads too.

    The ending says the format: ".weights.h5" is Keras 3's, with the state of the optimizer; ".weights.json" splits that
    into several files; another ".h5" or ".hdf5" is the layout of Keras 2; ".safetensors" is for programs beyond Keras; a
    path without ending (or ".ckpt", or save_format="tf") is that of a TensorFlow checkpoint, as in tf.keras 2.

    Args:
        model: a built model.
        filepath: the path.
        overwrite: whether a file that exists is replaced without asking.
        max_shard_size: with ".weights.json": the largest size of one file in GiB.

    Raises:
        ValueError: for another ending, or a model that is not built.

    Example:
        >>> import os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> model.save_weights(path)
        >>> model.load_weights(path)
    """
    path = os.fspath(filepath)
    save_format = kwargs.pop("save_format", None)
    if kwargs:
        raise ValueError(f"save_weights: expected arguments that it knows. Received: {list(kwargs)}")
    if max_shard_size is not None:
        if not path.endswith(("weights.h5", "weights.json")) or save_format == "tf":
            raise ValueError(
                f'save_weights: expected a path that ends in ".weights.json" with max_shard_size. Received: {path!r}'
            )
    elif save_format == "tf" or os.path.splitext(path)[1] in ("", ".ckpt"):
        from rkeras.saving import tf_checkpoint

        _check_built(model, "save_weights")
        if may_write(path + ".index", overwrite):
            tf_checkpoint.save_weights(model, path)
        return
    elif not path.endswith((".h5", ".hdf5", ".safetensors")):
        raise ValueError(
            'save_weights: expected a path that ends in ".weights.h5" (or ".h5", ".safetensors", nothing; ".weights.json" with '
            f"max_shard_size). Received: {path!r}"
        )
    _check_built(model, "save_weights")
    if not may_write(path, overwrite):
        return
    if max_shard_size is not None:
        from rkeras.saving.shards import save_shards

        save_shards(model, path, max_shard_size)
    elif path.endswith(".safetensors"):
        from rkeras.saving.safetensors import save_safetensors

        save_safetensors(model, path)
    elif path.endswith(".weights.h5") and save_format != "h5":
        replace_file(path, lambda f: f.write(state_bytes(model)))
    else:
        from rkeras.saving.legacy_h5 import weights_bytes

        replace_file(path, lambda f: f.write(weights_bytes(model)))


def load_weights(model, filepath, skip_mismatch=False, **kwargs):
    """Reads weights into a built model, in any format that `save_weights` writes, and from `.keras` files.

    The content of the file says the format; the layouts of Keras 2 and 3 are both read from any ".h5".

    Args:
        model: a built model of the same structure.
        filepath: the file.
        skip_mismatch: whether objects that do not fit are left as they are, with a warning.
        by_name: for Keras 2's layout: layers are matched by name rather than by order.
        objects_to_skip: for Keras 3's layout: objects that are left as they are.

    Returns:
        None; for a TensorFlow checkpoint a status with `expect_partial()` and other checks, as in tf.keras 2. Layers that
        are not built yet get weights of such a checkpoint when they are.

    Raises:
        ValueError: if model and file do not fit, or the model is not built.
        UnsafeFileError: if the file points to other files or holds data larger than the model's.
    """
    path = os.fspath(filepath)
    by_name = kwargs.pop("by_name", None)
    skip = kwargs.pop("objects_to_skip", None) or ()
    kwargs.pop("options", None)  # of tf.keras: where checkpoints are read
    if kwargs:
        raise ValueError(f"load_weights: expected arguments that it knows. Received: {list(kwargs)}")
    if not os.path.isfile(path) or path.endswith(".index"):
        from rkeras.saving import tf_checkpoint

        if tf_checkpoint.is_checkpoint(path):
            return tf_checkpoint.LoadStatus(tf_checkpoint.load_weights(model, path, skip_mismatch))
    kind = weights_format(path)
    _check_built(model, "load_weights")
    if by_name and kind != "hdf5":
        raise ValueError(
            f"load_weights: expected by_name only for .h5 files in Keras 2's layout. Received: {path!r}"
        )
    with hdf5.reading(path):
        _read(model, path, kind, skip_mismatch, by_name, skip)


def _read(model, path, kind, skip_mismatch, by_name, skip):
    if kind == "zip":
        from rkeras.saving.archive import Archive

        with Archive(path) as archive, hdf5.open_file(archive.weights(model)) as file:
            read_state(model, HDF5Source(file), skip_mismatch, skip)
    elif kind == "shards":
        from rkeras.saving.shards import ShardedSource

        with ShardedSource(path) as source:
            read_state(model, source, skip_mismatch, skip)
    elif kind == "safetensors":
        from rkeras.saving.safetensors import SafetensorsSource, skipped_objects

        with SafetensorsSource(path) as source:
            read_state(model, source, skip_mismatch, [*skip, *skipped_objects(model)])
    else:
        with hdf5.open_file(path) as file:
            _read_hdf5(model, file, path, skip_mismatch, by_name, skip)
    return None


def _read_hdf5(model, file, path, skip_mismatch, by_name, skip):
    from rkeras.saving import legacy_h5

    if legacy_h5.is_legacy(file):
        if skip:
            raise ValueError(
                f"load_weights: expected objects_to_skip only for Keras 3's layout. Received: {path!r}, in Keras 2's"
            )
        legacy_h5.read_weights(model, legacy_h5.weights_group(file), skip_mismatch, bool(by_name))
        return
    if by_name:
        raise ValueError(
            f"load_weights: expected by_name only for Keras 2's layout. Received: {path!r}, in Keras 3's. Hint: leave it out."
        )
    read_state(model, HDF5Source(file), skip_mismatch, skip)


def weights_format(path):
    """The format of a file: "hdf5", "zip", "shards" or "safetensors", by its first bytes.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is none of these.
    """
    if os.path.isdir(path):
        inner = os.path.join(path, "model.weights.h5")
        raise ValueError(
            f"load_weights: expected a file. Received: the folder {path!r}."
            + (f" Hint: pass {inner!r}." if os.path.isfile(inner) else "")
        )
    if not os.path.isfile(path):
        raise FileNotFoundError(f"load_weights: expected an existing file. Received: {path!r}")
    with open(path, "rb") as f:
        start = f.read(16)
    if start.startswith(hdf5.SIGNATURE):
        return "hdf5"
    if start.startswith(b"PK"):
        return "zip"
    if path.endswith(".safetensors"):
        return "safetensors"
    if path.endswith(".json"):
        return "shards"
    if path.endswith((".h5", ".hdf5")):
        return "hdf5"  # HDF5 says what is wrong with it
    raise ValueError(
        "load_weights: expected a file in HDF5 (.h5), .keras, .weights.json or .safetensors. Received: "
        f"{path!r}, which begins with {start!r}"
    )


def _check_built(model, who):
    if not model.built:
        raise ValueError(
            f"{who}: expected a built model. Received: {model.name!r}, which has no weights yet. Hint: call it on data, "
            "or build it, first."
        )
