"""The progress bar for loops of one's own."""

from rkeras.callbacks.progress import Bar


class Progbar:
    """A progress bar that shows means of values.

    Args:
        target: the number of steps, None if it is not known.
        width: accepted for compatibility; bars have one width.
        verbose: 1 for a bar, 2 for one line at the end, 0 for nothing.
        interval: the least time between two changes, in seconds.
        stateful_metrics: names of values that are shown as given; others are averaged over steps.
        stateless_metrics: names of values that are averaged; if given, all others are shown as given.
        unit_name: accepted for compatibility.

    Example:
        >>> bar = keras.utils.Progbar(2, verbose=0)
        >>> bar.update(1, [("loss", 1.0)])
        >>> bar.update(2, [("loss", 3.0)])
        >>> bar.values()
        {'loss': 2.0}
    """

    def __init__(
        self, target, width=20, verbose=1, interval=0.05, stateful_metrics=None, stateless_metrics=None, unit_name="step"
    ):  # fmt: skip
        self.target, self.width, self.verbose, self.interval, self.unit_name = (
            target,
            width,
            verbose,
            interval,
            unit_name,
        )
        self.stateful_metrics = set(stateful_metrics or ())
        self.stateless_metrics = None if stateless_metrics is None else set(stateless_metrics)
        self._sums = {}
        self._seen = 0
        self._shown = float("-inf")
        self._bar = Bar(target, verbose)

    def update(self, current, values=None, finalize=None):
        """Shows `current` steps done.

        Args:
            current: steps done so far.
            values: pairs (name, value) of the steps since the last update.
            finalize: whether this was the last; by default if `current` has reached the target.
        """
        import time

        for name, value in values or []:
            averaged = name not in self.stateful_metrics
            if self.stateless_metrics is not None:
                averaged = name in self.stateless_metrics
            weight = max(current - self._seen, 1) if averaged else 1
            total, count = self._sums.get(name, (0.0, 0)) if averaged else (0.0, 0)
            self._sums[name] = (total + float(value) * weight, count + weight)
        self._seen = current
        final = finalize if finalize is not None else self.target is not None and current >= self.target
        now = time.perf_counter()
        if self.verbose and (final or now - self._shown >= self.interval) and not self._bar.closed:
            self._shown = now
            self._bar.update(current, self.values(), final=final)

    def values(self):
        """What is shown: the values by name."""
        return {name: total / max(count, 1) for name, (total, count) in self._sums.items()}

    def add(self, n, values=None):
        """Shows `n` more steps done."""
        self.update(self._seen + n, values)
