"""Files on disk: written whole or not at all."""

import os


class UnsafeFileError(ValueError):
    """A file that asks for something a model file must not ask for; it was not loaded."""


def replace_file(path, write):
    """Writes a file through a temporary one beside it, which takes its place when all is on disk.

    Whoever reads meanwhile sees the old file; a crash leaves the old file. A symbolic link at `path` is replaced, not
    followed.

    Args:
        path: where the file goes.
        write: a function that is given the open temporary file.
    """
    import tempfile

    path = os.fspath(path)
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise FileNotFoundError(
            f"save: expected an existing folder. Received: {folder!r}. Hint: make it with os.makedirs()."
        )
    handle, temporary = tempfile.mkstemp(prefix=".", suffix=".part", dir=folder)
    try:
        with os.fdopen(handle, "w+b") as f:
            write(f)
            f.flush()
            os.fsync(f.fileno())
        os.chmod(temporary, _mode(path))
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise
    if os.name == "posix":
        # The new name itself has to reach the disk.
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _mode(path):
    """The permissions of the file that is replaced, or those of a new one."""
    if os.path.isfile(path) and not os.path.islink(path):
        return os.stat(path).st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def may_write(path, overwrite):
    """Asks (on a terminal) before a file is overwritten that should not be; False for a no."""
    import sys

    if overwrite or not os.path.exists(path):
        return True
    if not (sys.stdin and sys.stdin.isatty()):
        raise FileExistsError(
            f"save: expected a path without a file, as overwrite=False. Received: {os.fspath(path)!r}. "
            "Hint: choose another path, or pass overwrite=True."
        )
    return input(f"{path} exists. Overwrite it? [y/n] ").strip().lower() in ("y", "yes")
