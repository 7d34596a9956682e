"""One framework, one workload, one process: prints a line of JSON with the measured epochs.

python worker.py FRAMEWORK WORKLOAD EPOCHS SHARE [FILE]     measure; FILE is the model for ONNX Runtime
python worker.py export WORKLOAD FILE                       write that file
"""

import json
import sys
import time
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parents[1]))

from measuring import peak_mib, reset_peak, timed
from rivals import ABSENT, keras_of


def epochs_of(keras, options, model, x, y, batch, train):
    """A function that trains or predicts an epoch (or so many rows of it) in order; returns a number that tells what was computed."""

    def predicted(rows=None):
        y = model.predict(x[:rows], batch_size=batch, verbose=0)
        return float((y**2).sum() / len(y))

    def trained(rows=None):
        history = model.fit(x[:rows], y[:rows], batch_size=batch, epochs=1, shuffle=False, verbose=0)
        return float(history.history["loss"][-1])

    if train:
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], **options)
    elif options.get("jit_compile"):
        model.compile(jit_compile=True)
    return trained if train else predicted


def measure(framework, workload, epochs, share):
    """Samples per second per epoch, the loss of each, seconds until the first batches are done, peak memory."""
    begin = time.perf_counter()
    keras, options = keras_of(framework)
    from workloads import find

    work = find(workload)
    x, y = work.load(share)
    reset_peak()
    keras.utils.set_random_seed(1)
    epoch = epochs_of(keras, options, work.model(keras), x, y, work.batch, work.train)
    epoch(4 * work.batch)
    ready = time.perf_counter() - begin
    speeds, losses = timed(epoch, len(x), epochs)
    return {"speeds": speeds, "losses": losses, "ready": ready, "peak_mib": peak_mib()}


def main():
    framework, workload, *rest = sys.argv[1:]
    if framework == "export":
        import onnx_worker

        onnx_worker.export(workload, rest[0])
        return print(json.dumps({}))
    epochs, share = int(rest[0]), float(rest[1])
    if framework == "onnxruntime":
        import onnx_worker

        if len(rest) < 3:
            raise SystemExit(ABSENT)
        row = onnx_worker.measure(workload, rest[2], epochs, share)
    elif framework.startswith("torch"):
        import torch_worker

        row = torch_worker.measure(framework, workload, epochs, share)
    else:
        row = measure(framework, workload, epochs, share)
    print(json.dumps(row))


if __name__ == "__main__":
    main()
