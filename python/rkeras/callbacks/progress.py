"""The progress bar of `fit`, `evaluate` and `predict`."""

import sys
import time

from rkeras.callbacks.callback import Callback

WIDTH = 20


def format_value(value):
    """A result with four digits, in scientific notation where that is shorter."""
    if getattr(value, "ndim", 0):
        value = float(value.mean())
    return f"{value:.4f}" if abs(value) > 1e-3 or value == 0 else f"{value:.4e}"


def format_seconds(seconds):
    """A duration: 3s, 1:05, 2:00:07."""
    seconds = int(seconds)
    if seconds >= 3600:
        return f"{seconds // 3600}:{seconds % 3600 // 60:02d}:{seconds % 60:02d}"
    return f"{seconds // 60}:{seconds % 60:02d}" if seconds >= 60 else f"{seconds}s"


def format_step(seconds):
    """The time of a step: 2s, 31ms, 45us."""
    if seconds >= 1 or seconds == 0:
        return f"{seconds:.0f}s/step"
    return f"{seconds * 1e3:.0f}ms/step" if seconds >= 1e-3 else f"{seconds * 1e6:.0f}us/step"


class Bar:
    """A line that fills up.

    Args:
        target: steps in all; None if that is not known.
        verbose: 1 moves the line, 2 prints it once at the end.
        stream: where to; standard output by default.
    """

    def __init__(self, target, verbose=1, stream=None):
        self.target, self.verbose, self.stream = target, verbose, stream
        self.start = time.perf_counter()
        self.seen = 0
        self.width = 0
        self.closed = False

    def update(self, current, logs, final=False):
        """Shows `current` steps done."""
        out = self.stream or sys.stdout
        elapsed = time.perf_counter() - self.start
        self.seen = current
        if self.verbose == 2 and not final:
            return
        moving = self.verbose == 1 and _moves(out)
        if not final and not moving:
            return
        per_step = elapsed / max(current, 1)
        target = current if final and self.target is None else self.target
        results = "".join(f" - {k}: {format_value(v)}" for k, v in logs.items())
        count = f"{current}/{target}" if target is not None else f"{current}/Unknown"
        if target is not None:
            count = f"{current:>{len(str(target))}}/{target}"
        if self.verbose == 2:
            line = f"{count} - {format_seconds(elapsed)} - {format_step(per_step)}{results}"
        else:
            left = (
                f"{format_seconds(per_step * (target - current))}"
                if target is not None and not final
                else format_seconds(elapsed)
            )
            line = f"{count} {self._bar(current, target, out)} {left} {format_step(per_step)}{results}"
        padding = " " * max(0, self.width - len(line))
        self.width = len(line)
        if moving:
            out.write("\r" + line + padding)
        else:
            out.write(line)
        if final:
            out.write("\n")
            self.closed = True
        out.flush()

    @staticmethod
    def _bar(current, target, out):
        if target is None:
            return ""
        done = WIDTH if current >= target else int(WIDTH * current / max(target, 1))
        try:
            "━".encode(getattr(out, "encoding", None) or "utf-8")
        except (UnicodeEncodeError, LookupError):
            return "[" + "=" * done + "." * (WIDTH - done) + "]"
        if _moves(out):
            return "\x1b[32m" + "━" * done + "\x1b[37m" + "━" * (WIDTH - done) + "\x1b[0m"
        return "━" * done + " " * (WIDTH - done)


def _moves(out):
    """Can a line be written over: is it a terminal or a notebook?"""
    return (hasattr(out, "isatty") and out.isatty()) or "ipykernel" in sys.modules


class ProgbarLogger(Callback):
    """Shows a progress bar (`verbose=1`) or a line per epoch (`verbose=2`)."""

    def __init__(self):
        super().__init__()
        self.bar = None
        self.inside_fit = False

    def set_params(self, params):
        super().set_params(params)
        self.verbose = params.get("verbose", 1)
        self.epochs = params.get("epochs", 1)
        self.target = params.get("steps")

    def on_train_begin(self, logs=None):
        self.inside_fit = True

    def on_epoch_begin(self, epoch, logs=None):
        if self.verbose and self.epochs > 1:
            print(f"Epoch {epoch + 1}/{self.epochs}")
        self.bar = Bar(self.target, self.verbose)

    def at_batch(self, kind, done, logs):
        """Moves the bar."""
        if self.bar is not None and (kind == "train" or not self.inside_fit):
            self.bar.update(done, logs)

    def on_train_batch_end(self, batch, logs=None):
        self.at_batch("train", batch + 1, logs or {})

    def on_test_batch_end(self, batch, logs=None):
        self.at_batch("test", batch + 1, logs or {})

    def on_predict_batch_end(self, batch, logs=None):
        self.at_batch("predict", batch + 1, {})

    def on_epoch_end(self, epoch, logs=None):
        self._finish(logs or {})

    def on_test_begin(self, logs=None):
        if not self.inside_fit:
            self.bar = Bar(self.target, self.verbose)

    def on_test_end(self, logs=None):
        if not self.inside_fit:
            self._finish(logs or {})

    def on_predict_begin(self, logs=None):
        self.bar = Bar(self.target, self.verbose)

    def on_predict_end(self, logs=None):
        self._finish({})

    def _finish(self, logs):
        if self.verbose and self.bar is not None and not self.bar.closed:
            target = self.target if self.target is not None else self.bar.seen
            self.bar.target = target
            self.bar.update(target, logs, final=True)
