"""What the processes of all frameworks share: peak memory, epochs until the time is up."""

import resource
import time
from contextlib import suppress
from pathlib import Path

SECONDS = 4.0  # after so many measured seconds no other epoch begins


def reset_peak():
    """Forgets the most memory held so far (reading the data takes more than its part of an epoch)."""
    with suppress(OSError):  # on another system the peak is that of the whole process
        Path("/proc/self/clear_refs").write_text("5")


def peak_mib():
    """The most memory that this process held, in MiB."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def timed(epoch, samples, epochs):
    """Samples per second and result of every epoch; at least one, no new one after `SECONDS`."""
    speeds, results, begin = [], [], time.perf_counter()
    while len(speeds) < epochs and (not speeds or time.perf_counter() - begin < SECONDS):
        start = time.perf_counter()
        results.append(epoch())
        speeds.append(samples / (time.perf_counter() - start))
    return speeds, results


def predictions(predict, x, batch, epochs):
    """Samples per second of a function of a batch, and a number that tells whether the same was computed."""
    import numpy as np

    def epoch():
        return [predict(x[i : i + batch]) for i in range(0, len(x), batch)]

    speeds, parts = timed(epoch, len(x), epochs)
    y = np.concatenate(parts[-1])
    return speeds, float((y**2).sum() / len(y))
