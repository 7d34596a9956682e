"""One framework, one workload, one process: prints a line of JSON with the measured epochs."""

import json
import os
import resource
import sys
import time


def load_framework(name):
    if name == "rkeras":
        import rkeras

        return rkeras, {}
    os.environ["KERAS_BACKEND"] = name.split("-")[1]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras

    return keras, {"jit_compile": name.endswith("-xla")} if "tensorflow" in name else {}


def measure_predict(model, x, batch, epochs):
    """Rows per second of `predict`, and a number that tells whether the same was computed."""
    model.predict(x[:batch], batch_size=batch, verbose=0)
    speeds = []
    for _ in range(epochs):
        start = time.perf_counter()
        y = model.predict(x, batch_size=batch, verbose=0)
        speeds.append(len(x) / (time.perf_counter() - start))
    return speeds, [float((y**2).sum() / len(y))]


def main():
    framework, workload, epochs, share = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    begin = time.perf_counter()
    if framework.startswith("torch"):
        import torch_worker

        return print(json.dumps(torch_worker.measure(framework, workload, epochs, share)))
    keras, options = load_framework(framework)

    from workloads import PREDICTED, WORKLOADS, load, start_weights

    _, build, _, batch, samples = WORKLOADS[workload]
    samples = max(batch * 4, int(samples * share) // batch * batch)
    x, y = load(workload, samples)
    keras.utils.set_random_seed(1)
    model = build(keras)
    start_weights(model)
    if workload in PREDICTED:
        model.predict(x[:batch], batch_size=batch, verbose=0)
        ready = time.perf_counter() - begin
        speeds, losses = measure_predict(model, x, batch, epochs)
        return report(speeds, losses, ready)
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"], **options)
    model.fit(x[: 4 * batch], y[: 4 * batch], batch_size=batch, epochs=1, shuffle=False, verbose=0)
    ready = time.perf_counter() - begin
    speeds, losses = [], []
    for _ in range(epochs):
        start = time.perf_counter()
        history = model.fit(x, y, batch_size=batch, epochs=1, shuffle=False, verbose=0)
        speeds.append(samples / (time.perf_counter() - start))
        losses.append(float(history.history["loss"][-1]))
    report(speeds, losses, ready)


def report(speeds, losses, ready):
    """A line of JSON for `run.py`."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"speeds": speeds, "losses": losses, "ready": ready, "peak_mib": peak}))


if __name__ == "__main__":
    main()
