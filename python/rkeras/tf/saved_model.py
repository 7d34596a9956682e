"""SavedModel folders of Keras models (`tf.saved_model`)."""


def save(obj, export_dir, signatures=None, options=None):
    """Writes a model to a SavedModel folder, which TensorFlow and its servers run.

    Args:
        obj: a Keras model.
        export_dir: the folder.
        signatures, options: None: the signature of a model is its call.
    """
    if signatures is not None:
        raise NotImplementedError(
            "tf.saved_model.save: expected signatures=None. Received: some. Hint: leave them out"
        )
    if not hasattr(obj, "save_weights"):
        raise TypeError(f"tf.saved_model.save: expected a Keras model. Received: {type(obj).__name__}")
    obj.save(export_dir, save_format="tf")


def load(export_dir, tags=None, options=None):
    """Reads a SavedModel folder of a Keras model that tf.keras 2 or rkeras wrote; returns the model."""
    from rkeras.saving.saved_model import load_saved_model

    return load_saved_model(export_dir)
