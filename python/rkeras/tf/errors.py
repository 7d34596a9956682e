"""Exceptions under TensorFlow's names (`tf.errors`); they are kinds of Python's own."""


class OpError(Exception):
    """The base of them."""

    @property
    def message(self):
        """What went wrong."""
        return str(self)


class InvalidArgumentError(OpError, ValueError):
    """A value does not fit."""


class NotFoundError(OpError, FileNotFoundError):
    """There is no such file."""


class OutOfRangeError(OpError, IndexError):
    """There is no more data."""


class ResourceExhaustedError(OpError, MemoryError):
    """There is no more memory."""


class UnimplementedError(OpError, NotImplementedError):
    """It cannot be done."""


class FailedPreconditionError(OpError, RuntimeError):
    """It cannot be done yet."""


class DataLossError(OpError, ValueError):
    """A file is damaged."""


class AlreadyExistsError(OpError, FileExistsError):
    """It is there already."""
