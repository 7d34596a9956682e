"""Files that TensorBoard reads: results over time, in TensorFlow's records of events."""

import os
import struct
import time

from rkeras.saving.crc32c import crc32c, masked
from rkeras.saving.protobuf import REPEATED, encode

_HISTOGRAM = {
    "min": (1, "double"), "max": (2, "double"), "num": (3, "double"), "sum": (4, "double"), "sum_squares": (5, "double"),
    "bucket_limit": (6, "bytes"), "bucket": (7, "bytes"),
}  # fmt: skip
_VALUE = {"tag": (1, "string"), "simple_value": (2, "float"), "histo": (5, _HISTOGRAM)}
_SUMMARY = {"value": (1, _VALUE, REPEATED)}
_EVENT = {
    "wall_time": (1, "double"), "step": (2, "int"), "file_version": (3, "string"), "summary": (5, _SUMMARY),
}  # fmt: skip
_counts = iter(range(1 << 62))


class EventWriter:
    """Appends events to a file of its own in a folder.

    Args:
        folder: made where it is missing.
        suffix: what the name of the file ends with.
    """

    def __init__(self, folder, suffix=".v2"):
        import socket

        os.makedirs(folder, exist_ok=True)
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{next(_counts)}{suffix}"
        self.path = os.path.join(os.fspath(folder), name)
        self._file = open(self.path, "wb")  # noqa: SIM115 (closed by close())
        self._write({"wall_time": time.time(), "file_version": "brain.Event:2"})
        self.flush()

    def _write(self, event):
        data = encode(_EVENT, event)
        size = struct.pack("<Q", len(data))
        sums = [struct.pack("<I", masked(crc32c(part))) for part in (size, data)]
        self._file.write(size + sums[0] + data + sums[1])

    def scalar(self, tag, value, step):
        """A number at a step."""
        self._value({"tag": tag, "simple_value": float(value)}, step)

    def histogram(self, tag, values, step, buckets=30):
        """How numbers are spread at a step."""
        import numpy as np

        values = np.asarray(values, "float64").reshape(-1)
        values = values[np.isfinite(values)]
        counts, edges = np.histogram(values, bins=buckets)
        spread = {
            "min": values.min() if values.size else 0.0, "num": float(values.size),
            "max": values.max() if values.size else 0.0, "sum": values.sum(), "sum_squares": np.square(values).sum(),
            "bucket_limit": edges[1:].astype("<f8").tobytes(), "bucket": counts.astype("<f8").tobytes(),
        }  # fmt: skip
        self._value({"tag": tag, "histo": spread}, step)

    def _value(self, value, step):
        self._write({"wall_time": time.time(), "step": int(step), "summary": {"value": [value]}})

    def flush(self):
        """Hands what was written to the system."""
        if not self._file.closed:
            self._file.flush()

    def close(self):
        """Ends the file."""
        if not self._file.closed:
            self._file.close()
