"""What to use in place of names of TensorFlow that are absent."""

_HINTS = {
    "estimator": "use tf.keras.Model.fit",
    "feature_column": "use the preprocessing layers of tf.keras.layers",
    "lite": "use model.export(path, format='onnx')",
    "tpu": "there is one device, the CPU",
    "TPUStrategy": "there is one device, the CPU: use tf.distribute.get_strategy()",
    "ParameterServerStrategy": "there is one machine: use tf.distribute.get_strategy()",
    "MultiWorkerMirroredStrategy": "there is one machine: use tf.distribute.get_strategy()",
    "raw_ops": "use the function of tf, tf.math or tf.nn",
    "sparse": "tensors are dense; use tf.zeros and tf.tensor_scatter_nd_update",
    "SparseTensor": "tensors are dense",
    "ragged": "tensors are dense: pad rows with tf.keras.utils.pad_sequences or Dataset.padded_batch",
    "RaggedTensor": "tensors are dense: pad rows with tf.keras.utils.pad_sequences or Dataset.padded_batch",
    "placeholder": "use tf.keras.Input",
    "Session": "values are computed at once; call x.numpy()",
    "global_variables_initializer": "variables have their value when they are made",
    "layers": "use tf.keras.layers",
    "losses": "use tf.keras.losses",
    "metrics": "use tf.keras.metrics",
    "optimizers": "use tf.keras.optimizers",
    "complex64": "there are no complex tensors; keep real and imaginary parts",
    "complex128": "there are no complex tensors; keep real and imaginary parts",
    "complex": "there are no complex tensors; keep real and imaginary parts",
    "TFRecordDataset": "use Dataset.from_generator with a reader of the file",
    "TFRecordWriter": "write arrays with numpy.savez",
    "FixedLengthRecordDataset": "use numpy.fromfile and from_tensor_slices",
    "decode_csv": "use numpy.loadtxt or a reader in Dataset.from_generator",
    "ragged_batch": "use padded_batch",
    "dense_to_ragged_batch": "use padded_batch",
    "save": "write arrays with numpy.savez",
    "load": "read arrays with numpy.load and use from_tensor_slices",
    "dynamic_rnn": "use tf.keras.layers.RNN",
    "contrib": "TensorFlow 2 has none",
}


def absent(module, name):
    """The error for a name that a module lacks."""
    hint = _HINTS.get(name)
    return AttributeError(
        f"module {module!r}: expected a name of rkeras. Received: {name!r}, which is absent."
        + (f" Hint: {hint}." if hint else " Hint: rkeras.ops and numpy have most functions.")
    )
