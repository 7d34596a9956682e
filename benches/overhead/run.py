"""What rkeras costs beside the arithmetic: import, first batch, eager ops, single calls, compile time.

python benches/overhead/run.py [--quick]
"""

import argparse
import os
import statistics
import subprocess
import sys
import time

FIRST_BATCH = """
import time; start = time.perf_counter()
import numpy as np, rkeras as keras
model = keras.Sequential([keras.Input((784,)), keras.layers.Dense(64, activation="relu"), keras.layers.Dense(10)])
model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
model.train_on_batch(np.zeros((32, 784), "float32"), np.zeros((32,), "int32"))
print(time.perf_counter() - start)
"""


def process_seconds(code, repeats):
    """Median wall seconds of a fresh interpreter that runs `code`, byte code in place as an installer leaves it."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, env=environment)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def call_micros(call, seconds):
    """Median microseconds of a call, over batches of calls."""
    call()
    times = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(20):
            call()
        times.append((time.perf_counter() - start) / 20)
    return 1e6 * statistics.median(times)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    repeats, seconds = (3, 0.1) if args.quick else (15, 1.0)

    bare = process_seconds("pass", repeats)
    numpy_time = process_seconds("import numpy", repeats) - bare
    ours = process_seconds("import rkeras", repeats) - bare
    print(f"import numpy                    {1e3 * numpy_time:9.1f} ms")
    print(f"import rkeras                   {1e3 * ours:9.1f} ms   ({ours / numpy_time:.2f} x numpy)")
    first = [
        float(
            subprocess.run(
                [sys.executable, "-c", FIRST_BATCH], check=True, capture_output=True, text=True
            ).stdout
        )
        for _ in range(repeats)
    ]
    print(f"import to first trained batch   {1e3 * statistics.median(first):9.1f} ms")

    import numpy as np
    import rkeras as keras

    a, b = keras.ops.ones((4, 4)), keras.ops.ones((4, 4))
    na, nb = np.ones((4, 4), "float32"), np.ones((4, 4), "float32")
    rows = {
        "eager a + b, 4x4": lambda: a + b,
        "  numpy a + b, 4x4": lambda: na + nb,
        "eager ops.add(a, b), 4x4": lambda: keras.ops.add(a, b),
        "eager ops.matmul(a, b), 4x4": lambda: keras.ops.matmul(a, b),
        "eager ops.softmax(a), 4x4": lambda: keras.ops.softmax(a),
    }
    layers = keras.layers
    mlp = keras.Sequential(
        [keras.Input((784,)), layers.Dense(64, activation="relu"), layers.Dense(10, activation="softmax")]
    )
    mlp.compile("adam", "sparse_categorical_crossentropy")
    convnet = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )
    convnet.compile("adam", "sparse_categorical_crossentropy")
    tiny = keras.Sequential([keras.Input((8,)), layers.Dense(8, activation="relu"), layers.Dense(1)])
    tiny.compile("sgd", "mse")
    row, image = np.zeros((1, 784), "float32"), np.zeros((1, 28, 28, 1), "float32")
    xt, yt = np.zeros((8, 8), "float32"), np.zeros((8, 1), "float32")
    x32, y32 = np.zeros((32, 784), "float32"), np.zeros((32,), "int32")
    rows |= {
        "train_on_batch, MLP 8-8-1, 8 rows": lambda: tiny.train_on_batch(xt, yt),
        "train_on_batch, MLP 784-64-10, 32 rows": lambda: mlp.train_on_batch(x32, y32),
        "model(x), one row, MLP": lambda: mlp(row),
        "model(x), one row, convnet": lambda: convnet(image),
        "model.predict(x), one row, MLP": lambda: mlp.predict(row, verbose=0),
        "model.predict(x), one row, convnet": lambda: convnet.predict(image, verbose=0),
    }
    for name, call in rows.items():
        print(f"{name:40} {call_micros(call, seconds):9.2f} us")

    stack = [keras.Input((32, 32, 3))]
    for _ in range(50):
        stack.append(layers.Conv2D(8, 3, padding="same", activation="relu"))
    stack += [layers.GlobalAveragePooling2D(), layers.Dense(10, activation="softmax")]
    deep = keras.Sequential(stack)
    deep.compile("adam", "sparse_categorical_crossentropy")
    x, y = np.zeros((2, 32, 32, 3), "float32"), np.zeros((2,), "int32")
    start = time.perf_counter()
    deep.train_on_batch(x, y)
    first_call = time.perf_counter() - start
    start = time.perf_counter()
    deep.train_on_batch(x, y)
    second_call = time.perf_counter() - start
    print(f"trace + compile, 50 conv layers         {1e3 * (first_call - second_call):9.1f} ms")


if __name__ == "__main__":
    main()
