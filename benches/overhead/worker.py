"""What one framework costs beside the arithmetic, in one fresh process: prints a line of JSON, quantity -> numbers.

python worker.py FRAMEWORK WALL_CLOCK_AT_START SECONDS_PER_CALL ROUND [ONNX_FILES...]
"""

import importlib
import json
import statistics
import sys
import time
from functools import partial
from pathlib import Path

BENCHES = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(BENCHES), str(BENCHES / "steps")]

from closure import closure_mib  # noqa: E402
from rivals import ABSENT, keras_of, module_of  # noqa: E402


def micros(call, seconds):
    """Microseconds of a call: the median of batches of calls."""
    for _ in range(3):
        call()
    start = time.perf_counter()
    call()
    count = max(1, min(20, int(0.01 / (time.perf_counter() - start + 1e-9))))
    times, end = [], time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(count):
            call()
        times.append((time.perf_counter() - start) / count)
    return 1e6 * statistics.median(times)


def seconds_of(call):
    """Wall seconds of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def keras_numbers(framework, born, seconds, deep):
    """The rows of a Keras, rkeras among them.

    Args:
        framework: its name.
        born: wall clock when the process was started.
        seconds: to repeat each call for.
        deep: measure the model of 200 layers too? Some compile it for minutes.
    """
    numbers = {}
    start = time.perf_counter()
    keras, options = keras_of(framework)
    numbers["import"] = time.perf_counter() - start
    import numpy as np
    from workloads import find

    layers = keras.layers

    def trained(model, loss="sparse_categorical_crossentropy"):
        model.compile("adam", loss, **options)
        return model

    def start_of(name):
        work = find(name)
        x, y = np.zeros((work.batch, *work.shape), "float32"), np.zeros((work.batch,), "int32")
        model = work.build(keras, work.shape)
        return model, seconds_of(lambda: trained(model).train_on_batch(x, y))

    mlp, _ = start_of("mlp_small")
    numbers["first_batch"] = time.time() - born
    _, numbers["first_encoder"] = start_of("encoder")
    work = find("convnet")
    convnet = trained(work.build(keras, work.shape))
    tiny = trained(
        keras.Sequential([keras.Input((8,)), layers.Dense(8, activation="relu"), layers.Dense(1)]), "mse"
    )
    row, image = np.zeros((1, 784), "float32"), np.zeros((1, 28, 28, 1), "float32")
    xt, yt = np.zeros((8, 8), "float32"), np.zeros((8, 1), "float32")
    a = keras.ops.ones((4, 4))
    calls = {
        "call_mlp": lambda: mlp(row),
        "call_convnet": lambda: convnet(image),
        "predict_mlp": lambda: mlp.predict(row, verbose=0),
        "predict_convnet": lambda: convnet.predict(image, verbose=0),
        "train_tiny": lambda: tiny.train_on_batch(xt, yt),
        "add": lambda: a + a,
        "softmax": lambda: keras.ops.softmax(a),
    }
    numbers |= {name: micros(call, seconds) for name, call in calls.items()}
    if deep:
        stack = [keras.Input((8, 8, 3))]
        for _ in range(66):
            stack += [layers.Conv2D(8, 3, padding="same"), layers.BatchNormalization(), layers.ReLU()]
        stack += [layers.GlobalAveragePooling2D(), layers.Dense(10, activation="softmax")]
        model = trained(keras.Sequential(stack))
        x, y = np.zeros((2, 8, 8, 3), "float32"), np.zeros((2,), "int32")
        first = seconds_of(lambda: model.train_on_batch(x, y))
        numbers["compile"] = first - seconds_of(lambda: model.train_on_batch(x, y))
    return numbers


def torch_numbers(born, seconds):
    """The rows of plain PyTorch; it compiles nothing and has no `predict`."""
    numbers = {"import": seconds_of(lambda: importlib.import_module("torch"))}
    import torch
    from torch import nn
    from torch_models import MODELS
    from torch_worker import trainer

    def start_of(name, *shape):
        x, y = torch.zeros(shape), torch.zeros(shape[0], dtype=torch.long)
        model = MODELS[name]()
        return model, seconds_of(trainer(model, x, y, len(x)))

    mlp, _ = start_of("mlp_small", 32, 784)
    numbers["first_batch"] = time.time() - born
    _, numbers["first_encoder"] = start_of("encoder", 16, 128, 256)
    convnet = MODELS["convnet"]().eval()
    mlp.eval()
    row, image = torch.zeros((1, 784)), torch.zeros((1, 1, 28, 28))
    tiny = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    a = torch.ones((4, 4))
    calls = {
        "train_tiny": trainer(tiny, torch.zeros((8, 8)), torch.zeros(8, dtype=torch.long), 8),
        "add": lambda: a + a,
        "softmax": lambda: torch.softmax(a, -1),
    }
    numbers |= {name: micros(call, seconds) for name, call in calls.items()}
    with torch.inference_mode():
        calls = {"call_mlp": lambda: mlp(row), "call_convnet": lambda: convnet(image)}
        return numbers | {name: micros(call, seconds) for name, call in calls.items()}


def onnx_numbers(seconds, files):
    """The rows of ONNX Runtime: one row through a session."""
    numbers = {"import": seconds_of(lambda: importlib.import_module("onnxruntime"))}
    import numpy as np
    import onnxruntime
    from workloads import find

    for path in map(Path, files):
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        feed = {session.get_inputs()[0].name: np.zeros((1, *find(path.stem).shape), "float32")}
        call = partial(session.run, None, feed)
        numbers[f"call_{path.stem.removesuffix('_small')}"] = micros(call, seconds)
    return numbers


def main():
    framework, born, seconds, turn, *files = sys.argv[1:]
    born, seconds = float(born), float(seconds)
    if framework in ("torch-channels-last", "torch-compile"):
        raise SystemExit(ABSENT)
    if framework == "onnxruntime":
        numbers = onnx_numbers(seconds, files)
    elif framework == "torch":
        numbers = torch_numbers(born, seconds)
    else:
        numbers = keras_numbers(framework, born, seconds, turn == "0")
    parts = {"keras", module_of(framework)} if framework.startswith("keras") else {module_of(framework)}
    print(json.dumps(numbers | {"closure": closure_mib(parts)}))


if __name__ == "__main__":
    main()
