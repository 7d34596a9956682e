"""What the wheel asks for and what an import pulls in."""

import importlib.metadata
import re
import subprocess
import sys


def test_requires_only_numpy_and_h5py():
    required = [r for r in importlib.metadata.requires("rkeras") if "extra ==" not in r]
    assert sorted(re.match(r"[A-Za-z0-9_]+", r)[0] for r in required) == ["h5py", "numpy"]


def test_import_is_lean():
    """h5py is imported when a file is opened, and nothing heavy comes with the import."""
    code = "import sys, rkeras; print([m for m in ('h5py', 'inspect', 'urllib.request', 'zipfile', 'asyncio', 'pandas') if m in sys.modules])"
    numpy_code = code.replace("rkeras", "numpy")
    ours = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    theirs = subprocess.run(
        [sys.executable, "-c", numpy_code], capture_output=True, text=True, check=True
    ).stdout
    assert set(eval(ours)) <= set(eval(theirs))
