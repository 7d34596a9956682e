"""Checkpoints in TensorFlow's format (`tf.train`), by the functions of `rkeras.saving.tf_checkpoint`."""

import os


def _checkpoints():
    try:
        from rkeras.saving import tf_checkpoint
    except ImportError as error:
        raise NotImplementedError(
            "tf.train: expected a format of this build of rkeras. Hint: use model.save_weights('x.weights.h5')"
        ) from error
    return tf_checkpoint


def latest_checkpoint(checkpoint_dir, latest_filename=None):
    """The path of the newest checkpoint of a folder, without the endings of its files; None if there is none."""
    import re

    path = os.path.join(os.fspath(checkpoint_dir), latest_filename or "checkpoint")
    if not os.path.isfile(path):
        return None
    with open(path, encoding="utf-8") as file:
        found = re.search(r'^model_checkpoint_path:\s*"((?:[^"\\]|\\.)*)"', file.read(), re.M)
    if not found:
        return None
    name = found.group(1).replace('\\"', '"').replace("\\\\", "\\")
    prefix = name if os.path.isabs(name) else os.path.join(os.fspath(checkpoint_dir), name)
    return prefix if os.path.exists(prefix + ".index") else None


def __getattr__(name):
    from rkeras.tf.hints import absent

    raise absent("tf.train", name)
