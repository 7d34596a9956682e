"""The workloads in plain PyTorch: the loop that its tutorials show, without a data loader in the way."""

import time

from measuring import peak_mib, predictions, reset_peak, timed
from rivals import ABSENT


def prepared(framework, workload, share):
    """What a process measures: the workload, its model, samples and labels as PyTorch wants them.

    Args:
        framework: "torch", "torch-channels-last" or "torch-compile".
        workload, share: as for `worker.py`.
    """
    import torch
    from torch_models import CHANNELS_FIRST, MODELS
    from workloads import find

    work, name = find(workload), workload.partition("@")[0]
    images = name in CHANNELS_FIRST and len(work.shape) == 3
    if name not in MODELS or (framework == "torch-channels-last" and not images):
        raise SystemExit(ABSENT)
    x, y = work.load(share)
    torch.manual_seed(1)
    x, y = torch.from_numpy(x), torch.from_numpy(y).long()
    model = MODELS[name]()
    if name in CHANNELS_FIRST:
        # The data lies channels last; plain PyTorch wants it the other way round in memory too.
        x = x.movedim(-1, 1)
        if framework == "torch-channels-last":
            model = model.to(memory_format=torch.channels_last)
        else:
            x = x.contiguous()
    reset_peak()
    return work, torch.compile(model) if framework == "torch-compile" else model, x, y


def trainer(model, x, y, batch):
    """A function that trains an epoch (or so many rows of it) and returns its loss."""
    import torch

    optimizer = torch.optim.Adam(model.parameters(), eps=1e-7)
    criterion = torch.nn.CrossEntropyLoss()

    def epoch(rows=None):
        rows, total = rows or len(x), 0.0
        for i in range(0, rows, batch):
            optimizer.zero_grad(set_to_none=True)
            loss = criterion(model(x[i : i + batch]), y[i : i + batch])
            loss.backward()
            optimizer.step()
            total += loss.item()
        return total / (rows // batch)

    return epoch


def measure(framework, workload, epochs, share):
    """Samples per second per epoch, the loss of each, seconds until the first batches are done, peak memory."""
    begin = time.perf_counter()
    import torch

    work, model, x, y = prepared(framework, workload, share)
    if work.train:
        epoch = trainer(model, x, y, work.batch)
        epoch(4 * work.batch)
        ready = time.perf_counter() - begin
        speeds, losses = timed(epoch, len(x), epochs)
    else:
        model.eval()

        def predict(rows):
            return torch.softmax(model(rows), -1).numpy()

        with torch.inference_mode():
            predict(x[: work.batch])
            ready = time.perf_counter() - begin
            speeds, check = predictions(predict, x, work.batch, epochs)
        losses = [check]
    return {"speeds": speeds, "losses": losses, "ready": ready, "peak_mib": peak_mib()}
