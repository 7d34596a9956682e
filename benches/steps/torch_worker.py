"""The workloads in plain PyTorch: the loop that its tutorials show, without a data loader in the way."""

import resource
import time

ABSENT = 3  # exit status: this framework has no such model


def measure(framework, workload, epochs, share):
    """Samples per second per epoch, the loss of each, seconds until the first batches are done, peak memory.

    Args:
        framework: "torch", "torch-channels-last" or "torch-compile".
        workload, epochs, share: as for `worker.py`.
    """
    begin = time.perf_counter()
    import torch
    from torch_models import MODELS
    from workloads import PREDICTED, WORKLOADS, load

    _, _, shape, batch, samples = WORKLOADS[workload]
    samples = max(batch * 4, int(samples * share) // batch * batch)
    x, y = load(workload, samples)
    if workload not in MODELS:
        raise SystemExit(ABSENT)
    torch.manual_seed(1)
    x, y = torch.from_numpy(x), torch.from_numpy(y).long()
    model = MODELS[workload]()
    if len(shape) > 1:
        # The data lies channels last; plain PyTorch wants it the other way round in memory too.
        x = x.movedim(-1, 1)
        if framework == "torch-channels-last" and len(shape) == 3:
            model = model.to(memory_format=torch.channels_last)
        else:
            x = x.contiguous()
    if framework == "torch-compile":
        model = torch.compile(model)
    if workload in PREDICTED:
        return measure_predict(torch, model.eval(), x, batch, epochs, begin)
    optimizer = torch.optim.Adam(model.parameters(), eps=1e-7)
    criterion = torch.nn.CrossEntropyLoss()

    def epoch(rows):
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
    speeds, losses = [], []
    for _ in range(epochs):
        start = time.perf_counter()
        losses.append(epoch(samples))
        speeds.append(samples / (time.perf_counter() - start))
    return {"speeds": speeds, "losses": losses, "ready": ready, "peak_mib": peak_mib()}


def measure_predict(torch, model, x, batch, epochs, begin):
    """The same for predictions."""
    with torch.inference_mode():
        model(x[:batch])
        ready = time.perf_counter() - begin
        speeds = []
        for _ in range(epochs):
            start = time.perf_counter()
            parts = [model(x[i : i + batch]) for i in range(0, len(x), batch)]
            speeds.append(len(x) / (time.perf_counter() - start))
        y = torch.softmax(torch.cat(parts), -1)
    return {
        "speeds": speeds,
        "losses": [float((y**2).sum() / len(y))],
        "ready": ready,
        "peak_mib": peak_mib(),
    }


def peak_mib():
    """The most memory that this process held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
