"""Files for TensorBoard from custom loops (`tf.summary`): numbers and histograms."""

import numpy as np

from rkeras import ops as _ops

_stack = []
_step = [None]


class _Writer:
    """What `create_file_writer` returns: a writer of events, and a context in which `scalar` writes to it."""

    def __init__(self, logdir):
        from rkeras.saving.events import EventWriter

        self._events = EventWriter(logdir)

    def as_default(self, step=None):
        """The context."""
        return _Default(self, step)

    def set_as_default(self, step=None):
        """Writes to it from now on."""
        _stack[:] = [self]
        _step[0] = step if step is not None else _step[0]

    def flush(self):
        """Hands what was written to the system."""
        self._events.flush()

    def close(self):
        """Ends the file."""
        self._events.close()

    def __enter__(self):
        _stack.append(self)
        return self

    def __exit__(self, *exception):
        _stack.pop()
        self.flush()


class _Default:
    def __init__(self, writer, step):
        self.writer, self.step = writer, step

    def __enter__(self):
        self.before = _step[0]
        if self.step is not None:
            _step[0] = self.step
        return self.writer.__enter__()

    def __exit__(self, *exception):
        _step[0] = self.before
        self.writer.__exit__()


def create_file_writer(logdir, max_queue=None, flush_millis=None, filename_suffix=None, name=None):
    """A writer of a file in a folder.

    Example:
        >>> import rkeras.tf as tf
        >>> writer = tf.summary.create_file_writer("logs")
        >>> with writer.as_default():
        ...     tf.summary.scalar("loss", 0.5, step=1)
        True
        >>> writer.close()
    """
    return _Writer(logdir)


def _write(kind, name, data, step):
    if not _stack:
        return False
    step = _step[0] if step is None else step
    if step is None:
        raise ValueError(f"tf.summary.{kind}: expected a step. Received: None. Hint: step=, or set_step")
    # In a trace the value is not known yet: the function around it runs as Python.
    value = np.asarray(_ops.convert_to_numpy(_ops.convert_to_tensor(data)))
    getattr(_stack[-1]._events, kind)(name, value, int(np.asarray(_ops.convert_to_tensor(step))))
    return True


def scalar(name, data, step=None, description=None):
    """Writes a number; False without a writer."""
    return _write("scalar", name, data, step)


def histogram(name, data, step=None, buckets=None, description=None):
    """Writes how numbers are spread; False without a writer."""
    return _write("histogram", name, data, step)


def set_step(step):
    """Sets the step of what is not told one."""
    _step[0] = step


def get_step():
    """The step of what is not told one."""
    return _step[0]


def flush(writer=None):
    """Hands what was written to the system."""
    for w in [writer] if writer is not None else _stack:
        w.flush()


def __getattr__(name):
    from rkeras.tf.hints import absent

    raise absent("tf.summary", name)
