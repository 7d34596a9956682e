"""Records summaries of real Keras: python tests/golden/record_summary.py (with Keras 3 installed).

`models` is also run by tests/utils/test_summary.py with rkeras, so it may use nothing but the module it is given.
"""

import json
from pathlib import Path


def models(keras):
    """(name, model, arguments of summary) of every case."""
    L = keras.layers

    def mlp():
        return keras.Sequential(
            [keras.Input((784,)), L.Dense(64, activation="relu"), L.Dropout(0.2), L.Dense(10)], name="mlp"
        )

    def convnet():
        return keras.Sequential(
            [
                keras.Input((28, 28, 1)), L.Conv2D(32, 3, name="a_convolution_with_a_rather_long_name"),
                L.BatchNormalization(), L.MaxPooling2D(), L.Flatten(),
                L.Dense(1000, name="tall"), L.Dense(10),
            ],
            name="convnet",
        )  # fmt: skip

    def residual():
        inputs = keras.Input((8, 8, 4), name="image")
        y = L.Conv2D(4, 3, padding="same", name="conv")(inputs)
        y = L.ReLU(name="relu")(L.BatchNormalization(name="norm")(y))
        y = L.Add(name="add")([y, inputs])
        return keras.Model(
            inputs, L.Dense(3, name="out")(L.GlobalAveragePooling2D(name="pool")(y)), name="residual"
        )

    def branches():
        a, b = keras.Input((8,), name="left"), keras.Input((3,), name="right")
        c = L.Concatenate(name="join")([L.Dense(4, name="d1")(a), b])
        return keras.Model([a, b], [L.Dense(1, name="p")(c), L.Dense(2, name="q")(c)], name="branches")

    def nested():
        i = keras.Input((8,), name="inner_in")
        inner = keras.Model(i, L.Dense(4, name="inner_dense")(L.ReLU(name="inner_relu")(i)), name="inner")
        tail = keras.Sequential(
            [keras.Input((4,)), L.Dense(3, name="t1"), L.Dense(1, name="t2")], name="tail"
        )
        x = keras.Input((8,), name="x")
        return keras.Model(x, tail(inner(x)), name="nested")

    def shared():
        d = L.Dense(4, name="twice")
        x = keras.Input((4,), name="x")
        return keras.Model(x, d(d(x)), name="shared")

    def ops():
        x = keras.Input((4, 3), name="x")
        y = keras.ops.transpose(x, (0, 2, 1)) * 2.0
        return keras.Model(x, keras.ops.sum(y, axis=-1) + 1.0, name="ops")

    def frozen():
        model = mlp()
        model.layers[0].trainable = False
        return model

    def compiled():
        model = mlp()
        model.compile("adam", "mse")
        model.optimizer.build(model.trainable_variables)
        return model

    def unbuilt():
        return keras.Sequential([L.Dense(3, name="a"), L.Dense(2, name="b")], name="unbuilt")

    def many():
        x = keras.Input((4,), name="x")
        y = L.Concatenate(name="all")([L.Dense(2, name=f"branch_number_{i}")(x) for i in range(5)])
        return keras.Model(x, y, name="many")

    cases = [
        (mlp, {}), (mlp, {"line_length": 60}), (mlp, {"positions": [0.3, 0.6, 0.9]}),
        (mlp, {"line_length": 70, "positions": [0.5, 0.8, 1.0], "show_trainable": True}),
        (mlp, {"layer_range": ["dense", "dropout"]}),
        (convnet, {}), (convnet, {"line_length": 45}), (convnet, {"show_trainable": True}),
        (residual, {}), (residual, {"line_length": 64}), (residual, {"show_trainable": True}),
        (residual, {"layer_range": ["conv", "relu"]}),
        (branches, {}), (nested, {}), (nested, {"expand_nested": True}),
        (nested, {"expand_nested": True, "show_trainable": True}),
        (shared, {}), (ops, {}), (frozen, {"show_trainable": True}), (compiled, {}), (unbuilt, {}), (many, {}),
    ]  # fmt: skip
    for i, (make, arguments) in enumerate(cases):
        keras.utils.clear_session()
        yield f"{i:02}_{make.__name__}", make(), arguments


if __name__ == "__main__":
    import os

    os.environ["COLUMNS"] = "80"
    import keras

    found = {}
    for name, model, arguments in models(keras):
        texts = []
        model.summary(print_fn=texts.append, **arguments)
        found[name] = "".join(texts)
    path = Path(__file__).parent / "summaries.json"
    path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", "utf-8")
