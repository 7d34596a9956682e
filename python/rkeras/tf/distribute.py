"""Strategies of one replica (`tf.distribute`): there is one device, the CPU, and all its cores work on it."""

from rkeras import ops as _ops

_stack = []


class ReduceOp:
    """How values of replicas are combined."""

    SUM, MEAN = "SUM", "MEAN"


class Strategy:
    """Runs everything on the CPU, as one replica.

    Example:
        >>> import rkeras.tf as tf
        >>> with tf.distribute.get_strategy().scope():
        ...     layer = tf.keras.layers.Dense(2)
        >>> tf.distribute.get_strategy().num_replicas_in_sync
        1
    """

    num_replicas_in_sync = 1

    def scope(self):
        """A context in which `get_strategy` gives this strategy."""
        return _Scope(self)

    def run(self, fn, args=(), kwargs=None, options=None):
        """`fn(*args, **kwargs)`."""
        return fn(*args, **(kwargs or {}))

    def reduce(self, reduce_op, value, axis):
        """The value of the only replica, summed ("SUM") or averaged ("MEAN") along an axis unless that is None."""
        if axis is None:
            return value
        function = _ops.sum if str(reduce_op).upper().endswith("SUM") else _ops.mean
        return function(value, axis=axis)

    def experimental_distribute_dataset(self, dataset, options=None):
        """The data set itself."""
        return dataset

    def distribute_datasets_from_function(self, dataset_fn, options=None):
        """The data set that a function gives."""
        return dataset_fn(InputContext())

    def experimental_local_results(self, value):
        """The values of the replicas: (value,)."""
        return (value,)


class InputContext:
    """What is known where data is read: one replica."""

    num_input_pipelines = num_replicas_in_sync = 1
    input_pipeline_id = 0

    def get_per_replica_batch_size(self, global_batch_size):
        """The whole batch."""
        return global_batch_size


class _Scope:
    def __init__(self, strategy):
        self.strategy = strategy

    def __enter__(self):
        _stack.append(self.strategy)
        return self.strategy

    def __exit__(self, *exception):
        _stack.pop()


def _only_cpu(who, devices):
    wrong = [d for d in devices if "cpu" not in str(d).lower()]
    if wrong or len(devices) > 1:
        raise ValueError(f"{who}: expected the CPU. Received: {devices}. Hint: leave the devices out")


class MirroredStrategy(Strategy):
    """The devices of the machine, that is the CPU.

    Args:
        devices: None, or the CPU alone.
        cross_device_ops: accepted for compatibility.
    """

    def __init__(self, devices=None, cross_device_ops=None):
        _only_cpu("MirroredStrategy", list(devices or []))


class OneDeviceStrategy(Strategy):
    """One device, the CPU."""

    def __init__(self, device="/cpu:0"):
        _only_cpu("OneDeviceStrategy", [device])


_default = Strategy()


def get_strategy():
    """The strategy of the scope around, else the default one."""
    return _stack[-1] if _stack else _default


def has_strategy():
    """Is there a scope around?"""
    return bool(_stack)


def in_cross_replica_context():
    """Is there a scope around?"""
    return bool(_stack)


def __getattr__(name):
    from rkeras.tf.hints import absent

    raise absent("tf.distribute", name)
