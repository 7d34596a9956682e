"""Records the dtypes of layers, losses and metrics of real Keras under mixed policies.

KERAS_BACKEND=jax python tests/golden/record_mixed.py  (needs keras and a backend; writes mixed.json beside it)
"""

import json
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
POLICIES = ("mixed_bfloat16", "mixed_float16")

# class name, constructor arguments, shapes of the inputs (None: integers of shape (2, 5))
LAYERS = [
    ("Dense", {"units": 3, "activation": "gelu"}, [(2, 4)]),
    ("Dense", {"units": 3, "dtype": "float32"}, [(2, 4)]),
    ("EinsumDense", {"equation": "ab,bc->ac", "output_shape": 3, "bias_axes": "c"}, [(2, 4)]),
    ("Embedding", {"input_dim": 5, "output_dim": 3}, [None]),
    ("Conv1D", {"filters": 3, "kernel_size": 3}, [(2, 6, 4)]),
    ("Conv2D", {"filters": 3, "kernel_size": 3, "activation": "relu"}, [(2, 6, 6, 4)]),
    ("Conv2DTranspose", {"filters": 3, "kernel_size": 3}, [(2, 6, 6, 4)]),
    ("DepthwiseConv2D", {"kernel_size": 3}, [(2, 6, 6, 4)]),
    ("SeparableConv2D", {"filters": 3, "kernel_size": 3}, [(2, 6, 6, 4)]),
    ("BatchNormalization", {}, [(2, 6, 6, 4)]),
    ("LayerNormalization", {}, [(2, 6, 4)]),
    ("GroupNormalization", {"groups": 2}, [(2, 6, 4)]),
    ("RMSNormalization", {}, [(2, 6, 4)]),
    ("LSTM", {"units": 3, "return_state": True}, [(2, 6, 4)]),
    ("GRU", {"units": 3, "return_sequences": True}, [(2, 6, 4)]),
    ("SimpleRNN", {"units": 3}, [(2, 6, 4)]),
    ("MultiHeadAttention", {"num_heads": 2, "key_dim": 3}, [(2, 6, 4), (2, 6, 4)]),
    ("MaxPooling2D", {}, [(2, 6, 6, 4)]),
    ("AveragePooling2D", {"pool_size": 2}, [(2, 6, 6, 4)]),
    ("GlobalAveragePooling2D", {}, [(2, 6, 6, 4)]),
    ("Dropout", {"rate": 0.5}, [(2, 4)]),
    ("Softmax", {}, [(2, 4)]),
    ("LeakyReLU", {}, [(2, 4)]),
    ("PReLU", {}, [(2, 4)]),
    ("Rescaling", {"scale": 0.5}, [(2, 4)]),
    ("Flatten", {}, [(2, 6, 4)]),
    ("UpSampling2D", {}, [(2, 6, 6, 4)]),
]


def dtypes_of_layers(keras, policy):
    """Per layer: of the computation, of new variables, of the variables there are, of the outputs."""
    name = keras.backend.standardize_dtype
    keras.mixed_precision.set_global_policy(policy)
    rows = []
    for kind, arguments, shapes in LAYERS:
        layer = getattr(keras.layers, kind)(**arguments)
        x = [np.ones((2, 5), "int32") if s is None else np.ones(s, "float32") for s in shapes]
        y = layer(*x)
        y = y if isinstance(y, (list, tuple)) else [y]
        held = sorted({name(v.dtype) for v in layer.variables})
        rows.append([kind, layer.compute_dtype, layer.variable_dtype, held, [name(v.dtype) for v in y]])
    return rows


def dtypes_of_training(keras, policy):
    """What a compiled model computes its losses and counts its metrics in."""
    name = keras.backend.standardize_dtype
    keras.mixed_precision.set_global_policy(policy)
    mean = keras.metrics.Mean()
    mean.update_state([1.0, 2.0])
    loss = keras.losses.MeanSquaredError()
    y = loss(np.ones((2, 4), "float32"), np.zeros((2, 4), "float32"))
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(np.ones((2, 4), "float32"), np.array([0, 1]), verbose=0)
    return {
        "metric": [mean.dtype, name(mean.variables[0].dtype), name(mean.result().dtype)],
        "loss": [loss.dtype, name(y.dtype)],
        "model": [model.inputs[0].dtype, model.outputs[0].dtype, name(model(np.ones((2, 4))).dtype)],
        "weights": sorted({name(v.dtype) for v in model.trainable_variables}),
        "metrics": sorted({name(v.dtype) for m in model.metrics for v in m.variables}),
    }


def record(keras):
    """Everything, by policy."""
    found = {
        p: {"layers": dtypes_of_layers(keras, p), "training": dtypes_of_training(keras, p)} for p in POLICIES
    }
    keras.mixed_precision.set_global_policy("float32")
    return found


if __name__ == "__main__":
    import keras

    (HERE / "mixed.json").write_text(
        json.dumps({"keras": keras.__version__, **record(keras)}, indent=1) + "\n"
    )
