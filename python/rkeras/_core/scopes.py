"""What holds while a call or a block runs: the layers being called, whether it is training."""

from rkeras import _rkeras


class CallContext:
    """The outermost layer call going on and what its nested calls inherit."""

    __slots__ = ("entry_layer", "training")

    def __init__(self, entry_layer):
        self.entry_layer = entry_layer
        self.training = None


set_autocast = _rkeras.set_autocast
mode = _rkeras.mode
EagerScope = _rkeras.EagerScope

call_context = None  # the CallContext of the calls going on, or None
changes = 0  # how often an attribute of a layer was set; compiled calls of models are made anew when it moves
weight_budget = None  # while a model is made from a file: what counts the bytes of its weights


class SymbolicScope:
    """Context in which code sees shapes and dtypes only; assignments to variables do nothing."""

    def __enter__(self):
        self._scope = _rkeras.SpecScope()
        self._scope.__enter__()
        return self

    def __exit__(self, *exception):
        self._scope.__exit__(*exception)


class device:
    """Context of a device; there is one, the CPU.

    Raises:
        ValueError: for any device other than "cpu" or "cpu:0".
    """

    def __init__(self, device_name):
        if str(device_name).lower() not in ("cpu", "cpu:0", "/cpu:0", "/device:cpu:0"):
            raise ValueError(f'device: expected "cpu". Received: {device_name!r}')

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        return None
