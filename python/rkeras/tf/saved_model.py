"""SavedModel folders (`tf.saved_model`), by the functions of `rkeras.saving`."""


def _saving(name, what):
    import rkeras.saving as saving

    function = getattr(saving, name, None)
    if function is None:
        raise NotImplementedError(
            f"tf.saved_model.{what}: expected a format of this build of rkeras. Hint: use model.save('model.keras') and "
            "tf.keras.models.load_model"
        )
    return function


def save(obj, export_dir, signatures=None, options=None):
    """Writes a model to a SavedModel folder.

    Args:
        obj: a Keras model.
        export_dir: the folder.
        signatures, options: None: the signature of a model is its call.
    """
    if signatures is not None:
        raise NotImplementedError(
            "tf.saved_model.save: expected signatures=None. Received: some. Hint: leave them out"
        )
    return _saving("save_saved_model", "save")(obj, export_dir)


def load(export_dir, tags=None, options=None):
    """Reads a SavedModel folder of a Keras model."""
    return _saving("load_saved_model", "load")(export_dir)
