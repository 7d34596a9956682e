"""A save that is cut off leaves the file that was there: by kill -9, by a full disk, by an error."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import rkeras as keras

# The whole experiment is 200 kills; a few show that it works.
KILLS = int(os.environ.get("RKERAS_KILLS", "12"))

# Imports once, then forks a writer for every line it reads, before it has run any op (and so has any thread).
NURSERY = """
import os, sys
import numpy as np, rkeras as keras

def write(path, kind):
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(256), keras.layers.Dense(64)])
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    n = int.from_bytes(os.urandom(2), "little")  # what the file holds tells which writer wrote it
    while True:
        n += 1
        for v in model.weights:
            v.assign(np.full(v.shape, n, "float32"))
        model.optimizer.iterations.assign(n)
        if kind == "folder":
            model.save(path, zipped=False)
        elif kind == "shards":
            model.save_weights(path, max_shard_size=1e-4)
        elif kind in ("keras", "h5", "saved_model"):
            model.save(path)
        else:
            model.save_weights(path)
        os.write(1, b"saved\\n")

for line in sys.stdin:
    path, kind = line.split()
    child = os.fork()
    if child == 0:
        write(path, kind)
    os.write(1, f"child {child}\\n".encode())
    os.waitpid(child, 0)
    os.write(1, b"\\ngone\\n")
"""

KINDS = {
    "keras": "m.keras", "h5": "m.h5", "weights": "m.weights.h5", "safetensors": "m.safetensors", "folder": "m",
    "shards": "m.weights.json", "checkpoint": "m", "saved_model": "m",
}  # fmt: skip
WHOLE = ("keras", "h5", "folder", "saved_model")


def check(path, kind):
    """Loads the file; all weights in it have to be of one save."""
    inside = {"folder": "model.weights.h5", "saved_model": os.path.join("variables", "variables")}
    if kind in WHOLE:
        model = keras.models.load_model(path)
        model.load_weights(os.path.join(path, inside[kind]) if kind in inside else path)
    else:
        model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(256), keras.layers.Dense(64)])
        model.load_weights(path)
    values = {float(x) for w in model.get_weights() for x in np.unique(w)}
    assert len(values) == 1, values
    if kind in WHOLE:
        assert int(model.optimizer.iterations.numpy()) == values.pop()


@pytest.fixture(scope="module")
def nursery():
    """The process that forks writers."""
    process = subprocess.Popen(
        [sys.executable, "-c", NURSERY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    yield process
    process.stdin.close()
    process.wait()
    process.stdout.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and kill -9")
@pytest.mark.parametrize("kind", KINDS)
def test_kill_in_the_middle(tmp_path, nursery, kind):
    """Processes that save over and over are killed at random moments: the old file or the new one is whole."""
    path = str(tmp_path / KINDS[kind])
    rng = np.random.RandomState(len(kind))
    kills = max(KILLS // len(KINDS) + (list(KINDS).index(kind) < KILLS % len(KINDS)), 1)
    for _ in range(kills):
        print(path, kind, file=nursery.stdin, flush=True)
        word, child = nursery.stdout.readline().split()
        assert word == "child"
        # From the second save on, the file is there; what is killed is one of the next.
        while nursery.stdout.readline() != "saved\n":
            pass
        time.sleep(rng.uniform(0, 0.03))
        os.kill(int(child), signal.SIGKILL)
        while nursery.stdout.readline() != "gone\n":
            pass
        check(path, kind)


class Full(OSError):
    """What a full disk says."""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("moment", ["write", "sync", "rename"])
def test_failure_in_the_middle(tmp_path, monkeypatch, kind, moment):
    """An error while writing leaves the old file, and nothing beside it."""
    path = str(tmp_path / KINDS[kind])
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])

    def save():
        if kind == "folder":
            model.save(path, zipped=False)
        elif kind == "shards":
            model.save_weights(path, max_shard_size=1)
        elif kind in ("keras", "h5", "saved_model"):
            model.save(path)
        else:
            model.save_weights(path)

    def load():
        if kind in WHOLE:
            return keras.models.load_model(path).get_weights()[0]
        other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
        other.load_weights(path)
        return other.get_weights()[0]

    save()
    old, names = model.get_weights()[0], sorted(os.listdir(tmp_path))
    model.set_weights([w + 1 for w in model.get_weights()])

    def fail(*args):
        raise Full(28, "No space left on device")

    from rkeras.saving import files

    with monkeypatch.context() as patch:
        if moment == "write":
            real = os.fdopen

            def fdopen(*args):
                file = real(*args)
                file.close()
                return file  # every write to it fails

            patch.setattr(files.os, "fdopen", fdopen)
        else:
            patch.setattr(files.os, {"sync": "fsync", "rename": "replace"}[moment], fail)
        with pytest.raises((OSError, ValueError)):
            save()
    np.testing.assert_array_equal(load(), old)
    assert sorted(os.listdir(tmp_path)) == names
    save()
    np.testing.assert_array_equal(load(), old + 1)


def test_real_full_disk(tmp_path):
    """With a limit on the size of files, which the system enforces as it does a full disk."""
    path = tmp_path / "m.keras"
    code = f"""
import resource, signal, numpy as np, rkeras as keras
model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(256)])
model.save({str(path)!r})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
model.set_weights([w + 1 for w in model.get_weights()])
try:
    model.save({str(path)!r})
except OSError as error:
    print("refused", error.errno)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("refused")
    keras.models.load_model(path)
    assert os.listdir(tmp_path) == ["m.keras"]


def test_files_are_replaced_with_their_permissions(tmp_path):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    path = tmp_path / "m.keras"
    model.save(path)
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()
    path.chmod(0o600)
    model.save(path)
    assert path.stat().st_mode & 0o777 == 0o600
    model.save(tmp_path / "folder", zipped=False)
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o777 & ~_umask()


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_folder_keeps_what_is_not_ours(tmp_path):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    folder = tmp_path / "m"
    model.save(folder, zipped=False)
    (folder / "README.md").write_text("mine")
    model.save(folder, zipped=False)
    assert (folder / "README.md").read_text() == "mine"
    assert sorted(p.name for p in folder.iterdir()) == [
        "README.md",
        "config.json",
        "metadata.json",
        "model.weights.h5",
    ]
