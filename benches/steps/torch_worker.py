"""The workloads in plain PyTorch: the loop that its tutorials show, without a data loader in the way."""

import time

from measuring import peak_mib, predictions, reset_peak, timed
from rivals import ABSENT


def measure(framework, workload, epochs, share):
    """Samples per second per epoch, the loss of each, seconds until the first batches are done, peak memory.

    Args:
        framework: "torch", "torch-channels-last" or "torch-compile".
        workload, epochs, share: as for `worker.py`.
    """
    begin = time.perf_counter()
    import torch
    from torch_models import CHANNELS_FIRST, MODELS
    from workloads import PREDICTED, WORKLOADS, load, samples_of

    _, _, shape, batch, _ = WORKLOADS[workload]
    images = workload in CHANNELS_FIRST and len(shape) == 3
    if workload not in MODELS or (framework == "torch-channels-last" and not images):
        raise SystemExit(ABSENT)
    x, y = load(workload, samples_of(workload, share))
    torch.manual_seed(1)
    x, y = torch.from_numpy(x), torch.from_numpy(y).long()
    model = MODELS[workload]()
    if workload in CHANNELS_FIRST:
        # The data lies channels last; plain PyTorch wants it the other way round in memory too.
        x = x.movedim(-1, 1)
        if framework == "torch-channels-last":
            model = model.to(memory_format=torch.channels_last)
        else:
            x = x.contiguous()
    reset_peak()
    if framework == "torch-compile":
        model = torch.compile(model)
    if workload in PREDICTED:
        model.eval()

        def predict(rows):
            return torch.softmax(model(rows), -1).numpy()

        with torch.inference_mode():
            predict(x[:batch])
            ready = time.perf_counter() - begin
            speeds, check = predictions(predict, x, batch, epochs)
        return {"speeds": speeds, "losses": [check], "ready": ready, "peak_mib": peak_mib()}
    optimizer = torch.optim.Adam(model.parameters(), eps=1e-7)
    criterion = torch.nn.CrossEntropyLoss()

    def epoch(rows=None):
        rows = len(x) if rows is None else rows
        total = 0.0
        for i in range(0, rows, batch):
            optimizer.zero_grad(set_to_none=True)
            loss = criterion(model(x[i : i + batch]), y[i : i + batch])
            loss.backward()
            optimizer.step()
            total += loss.item()
        return total / (rows // batch)

    epoch(4 * batch)
    ready = time.perf_counter() - begin
    speeds, losses = timed(epoch, len(x), epochs)
    return {"speeds": speeds, "losses": losses, "ready": ready, "peak_mib": peak_mib()}
