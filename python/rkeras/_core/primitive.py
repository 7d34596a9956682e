"""The ops of the core, by name."""

from rkeras import _rkeras

_known = frozenset(_rkeras.primitives())


def primitive(name):
    """The core's op of that name; calling one that this build lacks raises NotImplementedError."""
    if name in _known:
        return _rkeras.primitive(name)

    def absent(*_, **__):
        raise NotImplementedError(
            f"op {name!r}: expected an op of this build of rkeras. Received: a name it lacks"
        )

    return absent
