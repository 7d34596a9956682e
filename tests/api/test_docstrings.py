"""Every example in a public docstring runs and shows what it says."""

import doctest
import importlib
import pkgutil

import numpy as np
import pytest
import rkeras


class Finder(doctest.DocTestFinder):
    """Finds the examples of decorated functions too: they belong to the module that they name."""

    def _from_module(self, module, obj):
        return getattr(obj, "__module__", None) == module.__name__ or super()._from_module(module, obj)


def modules():
    names = ["rkeras"]
    for info in pkgutil.walk_packages(rkeras.__path__, "rkeras."):
        if not info.name.endswith("_rkeras"):
            names.append(info.name)
    return names


@pytest.mark.parametrize("name", modules())
def test_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    finder = Finder(exclude_empty=True)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    for test in finder.find(module, name):
        test.globs |= {"keras": rkeras, "rkeras": rkeras, "np": np}
        runner.run(test)
    assert runner.failures == 0
