"""Prediction by ONNX Runtime, of the file that rkeras's `export` wrote."""

import time

from measuring import peak_mib, predictions, reset_peak


def export(workload, path):
    """Writes the model of a workload with the weights that all frameworks start from."""
    import rkeras as keras
    from workloads import find

    find(workload).model(keras).export(path, format="onnx", verbose=False)


def measure(workload, path, epochs, share):
    """Samples per second per epoch; the rest as in `worker.py`."""
    begin = time.perf_counter()
    import onnxruntime
    from workloads import find

    work = find(workload)
    batch = work.batch
    x, _ = work.load(share)
    reset_peak()
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def predict(rows):
        return session.run(None, {name: rows})[0]

    predict(x[:batch])
    ready = time.perf_counter() - begin
    speeds, check = predictions(predict, x, batch, epochs)
    return {"speeds": speeds, "losses": [check], "ready": ready, "peak_mib": peak_mib()}
