"""What scripts ask and tell about the machine (`tf.config`): there is one device, the CPU."""

from typing import NamedTuple

from rkeras._core import settings as _settings


class PhysicalDevice(NamedTuple):
    """A device of the machine."""

    name: str
    device_type: str


_CPU = PhysicalDevice("/physical_device:CPU:0", "CPU")


def list_physical_devices(device_type=None):
    """The devices: the CPU.

    Example:
        >>> import rkeras.tf as tf
        >>> len(tf.config.list_physical_devices("GPU")), len(tf.config.list_physical_devices("CPU"))
        (0, 1)
    """
    return [_CPU] if device_type in (None, "CPU") else []


get_visible_devices = list_physical_devices


def list_logical_devices(device_type=None):
    """The devices that computations can be put on: the CPU."""
    return [PhysicalDevice("/device:CPU:0", "CPU")] if device_type in (None, "CPU") else []


def set_visible_devices(devices, device_type=None):
    """Accepts the CPU and an empty list of others.

    Raises:
        ValueError: for devices that do not exist.
    """
    devices = devices if isinstance(devices, (list, tuple)) else [devices]
    if any(d.device_type != "CPU" for d in devices):
        raise ValueError(f"tf.config.set_visible_devices: expected the CPU. Received: {devices}")


def run_functions_eagerly(run_eagerly):
    """Whether functions and training steps run op by op, as Python stands, instead of compiled."""
    _settings.run_eagerly_everywhere = bool(run_eagerly)


def functions_run_eagerly():
    """Whether `run_functions_eagerly(True)` holds."""
    return _settings.run_eagerly_everywhere


experimental_run_functions_eagerly = run_functions_eagerly


def set_soft_device_placement(enabled):
    """Accepted: everything is on the CPU."""


def get_soft_device_placement():
    """True."""
    return True


class optimizer:
    """Options of TensorFlow's graph optimizer, accepted: programs are always optimized and compiled."""

    @staticmethod
    def set_jit(enabled):
        """Accepted."""

    @staticmethod
    def get_jit():
        """ "autoclustering": programs are compiled."""
        return "autoclustering"

    @staticmethod
    def set_experimental_options(options):
        """Accepted."""


class threading:
    """The number of threads."""

    @staticmethod
    def set_intra_op_parallelism_threads(num_threads):
        """Sets the number of threads; 0 stands for all."""
        import os

        from rkeras._training import function

        function.set_num_threads(int(num_threads) or os.cpu_count() or 1)

    @staticmethod
    def get_intra_op_parallelism_threads():
        """The number of threads."""
        from rkeras._training import function

        return function.num_threads()

    @staticmethod
    def set_inter_op_parallelism_threads(num_threads):
        """Accepted: steps run one after the other."""

    @staticmethod
    def get_inter_op_parallelism_threads():
        """1."""
        return 1


class experimental:
    """Names that are experimental in TensorFlow."""

    list_physical_devices = staticmethod(list_physical_devices)
    list_logical_devices = staticmethod(list_logical_devices)
    set_visible_devices = staticmethod(set_visible_devices)

    @staticmethod
    def set_memory_growth(device, enable):
        """Accepted: memory is taken as it is needed."""

    @staticmethod
    def get_memory_growth(device):
        """True."""
        return True

    @staticmethod
    def enable_op_determinism():
        """Accepted: results are always the same for the same seed."""

    @staticmethod
    def enable_tensor_float_32_execution(enabled):
        """Accepted: there is no such hardware."""


def get_logical_device_configuration(device):
    """None: devices are not divided."""


def set_logical_device_configuration(device, logical_devices):
    """Not offered.

    Raises:
        NotImplementedError: always.
    """
    raise NotImplementedError(
        "tf.config.set_logical_device_configuration: expected one CPU. Hint: leave the call out"
    )
