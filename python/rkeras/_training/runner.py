"""The loop over batches: in Rust for arrays, batch by batch where Python makes or watches the batches."""

import time

import numpy as np

from rkeras import _rkeras
from rkeras._core import tree
from rkeras._training import data as data_module
from rkeras._training.data import pack_x_y_sample_weight
from rkeras._training.step import fill, to_number

TICK = 0.1


class Runner:
    """Runs the steps of one kind over a source of data.

    Args:
        model: the model.
        kind: "train", "test" or "predict".
        source: `ArrayData` or `BatchData`.
        batch_size: rows per step, for arrays.
        shuffle: draw rows in random order.
        steps: batches per run; all if None.
        seed: of the order.
    """

    def __init__(self, model, kind, source, batch_size, shuffle, steps, seed):
        self.model, self.kind, self.source = model, kind, source
        self.stepper = model._steps_or_new()
        self.batches = isinstance(source, data_module.BatchData)
        self.loader = None
        self.epoch = 0
        self.last = None
        if self.batches:
            self.steps = steps if steps is not None else source.num_batches
            self.limit = steps
            self.pending = None
        else:
            self.batch_size = batch_size
            self.structure = source.structure()
            self.loader = source.loader(batch_size, shuffle, seed)
            self.limit = None if steps is None else min(steps, 10**9)
            self.steps = self.loader.batches if steps is None else steps

    # Arrays.

    def _programs(self):
        """The compiled step for every number of rows that occurs; None if steps run eagerly."""
        programs = {}
        sizes = {self.loader.batch_rows(0), self.loader.batch_rows(self.loader.batches - 1)}
        for rows in sorted(sizes, reverse=True):
            arrays = [a[:rows] for a in self.source.flat]
            compiled = self.stepper.get(self.kind, arrays, self.structure)
            if compiled is None:
                return None
            programs[rows] = compiled
        return programs

    def run(self, callbacks, epoch, verbose):
        """One epoch; returns the results by name."""
        if self.batches:
            return self._run_batches(callbacks)
        hooks = callbacks.batch_hooks(self.kind)
        programs = self._programs()
        self._start()
        if programs is None:
            return self._run_eagerly(callbacks)
        self.last = next(iter(programs.values()))
        raw = {rows: c.program for rows, c in programs.items()}
        done, total = 0, self.steps
        while done < total and not self.model.stop_training:
            if hooks:
                steps = min(self.model.steps_per_execution, total - done)
                callbacks.batch_begin(self.kind, done)
                ran = self._advance(raw, steps, None)
                if not ran:
                    break
                done += ran
                callbacks.batch_end(self.kind, done - 1, self._logs())
            else:
                ran = self._advance(raw, total - done, TICK)
                if not ran:
                    break
                done += ran
                if verbose == 1 and done < total:
                    callbacks.tick(self.kind, done, self._logs)
        self.model.__dict__["_last_steps"] = done
        return self._logs()

    def _start(self):
        self.loader.start(self.epoch)
        self.epoch += 1

    def _advance(self, programs, steps, seconds):
        """Runs up to `steps` batches; an epoch of more steps than the data has begins anew."""
        ran = _rkeras.run_epoch(programs, self.loader, steps=steps, seconds=seconds)
        if not ran and self.limit is not None:
            self._start()
            ran = _rkeras.run_epoch(programs, self.loader, steps=steps, seconds=seconds)
        return ran

    def _logs(self):
        return dict(sorted(self.stepper.read_logs(self.last).items()))

    def _run_eagerly(self, callbacks):
        step, own = self.stepper.function(self.kind)
        done, result = 0, {}
        while done < self.steps and not self.model.stop_training:
            batch = self.loader.next()
            if batch is None:
                if self.limit is None:
                    break
                self._start()
                continue
            callbacks.batch_begin(self.kind, done)
            result = step(pack_x_y_sample_weight(*fill(self.structure, batch)))
            done += 1
            callbacks.batch_end(self.kind, done - 1, self._own_logs(result, own))
        return self._own_logs(result, own)

    def _own_logs(self, result, own):
        logs = {k: to_number(v) for k, v in result.items()} if own else self.stepper.read_logs(None)
        return dict(sorted(logs.items()))

    # Batches made by Python.

    def _next_batches(self):
        """The batches of this run. A generator goes on where the last run ended."""
        if self.pending is None or self.limit is None:
            self.pending = self.source.batches()
        count = 0
        while self.limit is None or count < self.limit:
            try:
                yield next(self.pending)
            except StopIteration:
                self.pending = None
                if self.limit is None or self.source.one_shot or count == 0:
                    return
                self.pending = self.source.batches()
                continue
            count += 1

    def _run_batches(self, callbacks):
        if self.limit is None and self.source.infinite:
            raise ValueError(
                f"{self.kind}: expected a data set with an end, or a number of steps. Received: one that repeats for ever. "
                "Hint: pass steps_per_epoch (validation_steps, steps)"
            )
        hooks = callbacks.batch_hooks(self.kind)
        logs, done, compiled, shown = None, 0, None, time.perf_counter()

        def results():
            found = self.stepper.read_logs(compiled) if logs is None else logs
            return dict(sorted(found.items()))

        for x, y, weight in self._next_batches():
            if hooks:
                callbacks.batch_begin(self.kind, done)
            arrays = data_module.ArrayData(x, y, weight)
            compiled = self.stepper.get(self.kind, arrays.flat, arrays.structure())
            if compiled is None:
                logs = self.stepper.call_eagerly(self.kind, arrays)
            else:
                compiled.program(*arrays.flat)
                self.last = compiled
                logs = None
            done += 1
            if hooks:
                callbacks.batch_end(self.kind, done - 1, results())
            elif time.perf_counter() - shown > TICK:
                callbacks.tick(self.kind, done, results)
                shown = time.perf_counter()
            if self.model.stop_training:
                break
        if not done:
            raise ValueError(
                f"{self.kind}: expected at least one batch. Received: none. Hint: a generator may be used up"
            )
        if self.steps is None:
            self.steps = done
            if callbacks.progbar is not None:
                callbacks.progbar.at_batch(self.kind, done, results())
        return results()

    # Predictions.

    def predict(self, callbacks, verbose):
        """The outputs for all batches, as NumPy arrays."""
        if self.batches:
            parts = []
            for n, (x, _, _) in enumerate(self._next_batches()):
                callbacks.batch_begin("predict", n)
                parts.append(self.stepper.predict(x))
                callbacks.batch_end("predict", n, {})
            if not parts:
                raise ValueError("predict: expected at least one batch. Received: none")
            return tree.map_structure(lambda *a: np.concatenate(a), *parts)
        programs = self._programs()
        self.loader.start(0)
        if programs is None or callbacks.batch_hooks("predict"):
            return self._predict_slowly(callbacks)
        first = programs[self.loader.batch_rows(0)]
        if any(not shape or shape[0] != self.loader.batch_rows(0) for shape, _ in first.outputs):
            return self._predict_slowly(callbacks)
        rows = sum(self.loader.batch_rows(i) for i in range(min(self.steps, self.loader.batches)))
        results = [_empty((rows, *shape[1:]), dtype) for shape, dtype in first.outputs]
        raw = {n: c.program for n, c in programs.items()}
        done = 0
        while done < self.steps:
            ran = _rkeras.run_epoch(raw, self.loader, steps=self.steps - done, seconds=TICK, collect=results)
            if not ran:
                break
            done += ran
            if verbose == 1 and done < self.steps:
                callbacks.tick("predict", done, dict)
        return tree.map_structure(lambda i: results[i].numpy(), first.structure)

    def _predict_slowly(self, callbacks):
        parts, n = [], 0
        while n < self.steps:
            batch = self.loader.next()
            if batch is None:
                break
            callbacks.batch_begin("predict", n)
            x = fill(self.structure, batch)[0]
            parts.append(self.stepper.predict(x))
            callbacks.batch_end("predict", n, {"outputs": parts[-1]})
            n += 1
        return tree.map_structure(lambda *a: np.concatenate(a), *parts)


def _empty(shape, dtype):
    """A tensor to write results to."""
    import sys

    if dtype == "bfloat16" and "ml_dtypes" not in sys.modules:
        import ml_dtypes  # noqa: F401 (registers the dtype with NumPy)
    return _rkeras.tensor(np.zeros(shape, dtype))
