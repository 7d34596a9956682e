"""Files on disk: written whole or not at all."""

import os

# The version of Keras whose formats these are.
FORMAT_VERSION = "3.15.1"


class UnsafeFileError(ValueError):
    """A file that asks for something a model file must not ask for; it was not loaded."""


class OversizeError(UnsafeFileError):
    """Data larger than what it is for; it was not read."""


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
    sync_folder(folder)


def sync_folder(folder):
    """Waits until the names in a folder are on disk."""
    if os.name == "posix":
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


def replace_folder(path, files):
    """Writes the files of a folder through a temporary folder beside it, which takes its place when all is on disk.

    A folder that holds other files than these keeps them: then the files are replaced one after the other.

    Args:
        path: where the folder goes.
        files: dict of file name to a function that is given the open file.
    """
    path = os.path.abspath(os.fspath(path))
    parent = os.path.dirname(path)
    if not os.path.isdir(parent):
        raise FileNotFoundError(
            f"save: expected an existing folder. Received: {parent!r}. Hint: make it with os.makedirs()."
        )
    if os.path.lexists(path) and not os.path.isdir(path):
        raise FileExistsError(f"save: expected a folder, or nothing yet. Received: the file {path!r}")
    if os.path.isdir(path) and (os.path.islink(path) or not set(os.listdir(path)) <= set(files)):
        for name, write in files.items():
            replace_file(os.path.join(path, name), write)
        return

    def write_all(folder):
        for name, write in files.items():
            replace_file(os.path.join(folder, name), write)

    _replace_folder(path, parent, write_all)


def replace_tree(path, write):
    """Writes a folder with all below it through a temporary folder beside it, which takes its place when all is on disk.

    What the old folder held is gone afterwards.

    Args:
        path: where the folder goes.
        write: a function that is given the path of the temporary folder.
    """
    path = os.path.abspath(os.fspath(path))
    parent = os.path.dirname(path)
    os.makedirs(parent, exist_ok=True)
    if os.path.islink(path) or (os.path.lexists(path) and not os.path.isdir(path)):
        raise FileExistsError(f"save: expected a folder, or nothing yet. Received: {path!r}")

    def write_all(folder):
        write(folder)
        for inner, _, names in os.walk(folder):
            for name in names:
                descriptor = os.open(os.path.join(inner, name), os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
            sync_folder(inner)

    _replace_folder(path, parent, write_all)


def _replace_folder(path, parent, write):
    import shutil
    import tempfile

    temporary = tempfile.mkdtemp(prefix=".", suffix=".part", dir=parent)
    try:
        write(temporary)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o777 & ~mask)
        if not os.path.isdir(path):
            os.rename(temporary, path)
        elif _exchange(temporary, path):
            shutil.rmtree(temporary)
        else:
            # This system cannot exchange two folders: for a moment there is only the old one, under another name.
            old = temporary + ".old"
            os.rename(path, old)
            os.rename(temporary, path)
            shutil.rmtree(old)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_folder(parent)


def _exchange(one, other):
    """Exchanges two paths in one step; False where the system cannot."""
    import ctypes
    import sys

    if not sys.platform.startswith("linux"):
        return False
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return rename(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0
