"""`tf.keras`: all of rkeras under the names of tf.keras, and the names that only tf.keras 2 has."""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types

import rkeras as _rkeras_package
from rkeras.tf.keras import _additions

_HERE = __name__
_THERE = "rkeras"


class _Mirror(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Makes `rkeras.tf.keras.a.b` a view of `rkeras.a.b`, with the additions of tf.keras 2."""

    def find_spec(self, fullname, path=None, target=None):
        """The spec of a module below this one, if rkeras or the additions have it."""
        if not fullname.startswith(_HERE + "."):
            return None
        inner = fullname[len(_HERE) + 1 :]
        if inner.split(".")[0].startswith("_") or inner in ("backend",):
            return None
        if inner not in _additions.MODULES and _real(inner) is None:
            return None
        spec = importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        return spec

    def create_module(self, spec):
        """A new, empty module."""
        return types.ModuleType(spec.name)

    def exec_module(self, module):
        """Gives it the names."""
        inner = module.__name__[len(_HERE) + 1 :]
        real = _real(inner)
        own = _additions.MODULES.get(inner, {})
        module.__doc__ = getattr(real, "__doc__", None) or f"tf.keras.{inner}"
        for name, make in own.items():
            module.__dict__[name] = make
        module.__path__ = []

        def find(name):
            if name == "__all__":
                return [n for n in names() if not n.startswith("_")]
            if name.startswith("__"):
                raise AttributeError(name)
            if f"{inner}.{name}" in _additions.MODULES or _is_module(real, name):
                return importlib.import_module(f"{module.__name__}.{name}")
            if real is not None:
                try:
                    return getattr(real, name)
                except AttributeError:
                    pass
            hint = _additions.HINTS.get(name, "")
            raise AttributeError(
                f"module 'tf.keras.{inner}': expected a name of rkeras. Received: {name!r}, which is absent.{hint}"
            )

        def names():
            return sorted({*own, *(dir(real) if real is not None else ())})

        module.__getattr__ = find  # type: ignore[method-assign]
        module.__dir__ = names  # type: ignore[method-assign]


def _real(inner):
    """The module of rkeras that stands behind, or None."""
    name = f"{_THERE}.{_additions.RENAMED.get(inner, inner)}"
    if name in sys.modules:
        return sys.modules[name]
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if not name.startswith(str(error.name)):
            raise
        return None


def _is_module(real, name):
    return real is not None and isinstance(getattr(real, name, None), types.ModuleType)


if not any(type(f).__name__ == "_Mirror" for f in sys.meta_path):
    sys.meta_path.append(_Mirror())

__version__ = _rkeras_package.__version__


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    try:
        return importlib.import_module(f"{_HERE}.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"{_HERE}.{name}":
            raise
    try:
        return getattr(_rkeras_package, name)
    except AttributeError:
        hint = _additions.HINTS.get(name, "")
        raise AttributeError(
            f"module 'tf.keras': expected a name of rkeras. Received: {name!r}, which is absent.{hint}"
        ) from None


def __dir__():
    return sorted({*dir(_rkeras_package), "backend", "experimental"})
