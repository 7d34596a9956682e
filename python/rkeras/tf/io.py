"""Files of this machine (`tf.io`, `tf.io.gfile`)."""

import glob as _glob
import os
import shutil

from rkeras import ops
from rkeras.tf.dtypes import as_dtype
from rkeras.tf.errors import NotFoundError
from rkeras.tf.text import StringTensor


def _path(path):
    path = os.fspath(path) if not isinstance(path, bytes) else path
    path = path.decode() if isinstance(path, bytes) else path
    if path.startswith("file://"):
        return path[7:]
    if "://" in path:
        scheme = path.split("://")[0]
        raise ValueError(
            f"tf.io: expected a path of this machine. Received: {scheme}://... Hint: download it first"
        )
    return path


def read_file(filename, name=None):
    """The content of a file, as text of one element.

    Raises:
        NotFoundError: if there is none.
    """
    try:
        with open(_path(filename), "rb") as file:
            return StringTensor(file.read())
    except FileNotFoundError as error:
        raise NotFoundError(f"tf.io.read_file: expected an existing file. Received: {filename}") from error


def write_file(filename, contents, name=None):
    """Writes text of one element to a file; folders are made."""
    path = _path(filename)
    if os.path.dirname(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(StringTensor(contents).numpy())


def decode_raw(input_bytes, out_type, little_endian=True, name=None):
    """The bytes of text as numbers."""
    import numpy as np

    kind = np.dtype(str(as_dtype(out_type))).newbyteorder("<" if little_endian else ">")
    array = np.frombuffer(StringTensor(input_bytes).numpy(), kind)
    return ops.convert_to_tensor(array.astype(kind.newbyteorder("=")))


def matching_files(pattern, name=None):
    """The paths that fit a pattern, sorted."""
    return StringTensor(sorted(_glob.glob(_path(pattern))))


def _decode(contents, channels):
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(
            "tf.io.decode_image: expected Pillow, which reads images. Received: none. Hint: pip install pillow"
        ) from error
    import io as _io

    import numpy as np

    image = Image.open(_io.BytesIO(StringTensor(contents).numpy()))
    modes = {1: "L", 3: "RGB", 4: "RGBA"}
    if channels:
        image = image.convert(modes[channels])
    elif image.mode not in modes.values():
        image = image.convert("RGB")
    array = np.asarray(image)
    return array if array.ndim == 3 else array[..., None]


def decode_image(contents, channels=None, dtype="uint8", name=None, expand_animations=True):
    """An image (PNG, JPEG, BMP or the first of a GIF) as a tensor of shape (height, width, channels); needs Pillow.

    Args:
        contents: the bytes of the file.
        channels: 1, 3 or 4; those of the file if None or 0.
        dtype: uint8, or a float dtype for numbers from 0 to 1.
    """
    image = ops.convert_to_tensor(_decode(contents, channels))
    dtype = str(as_dtype(dtype))
    return image if dtype == "uint8" else ops.divide(ops.cast(image, dtype), 255)


def decode_png(contents, channels=0, dtype="uint8", name=None):
    """See `decode_image`."""
    return decode_image(contents, channels, dtype)


def decode_jpeg(contents, channels=0, **kwargs):
    """See `decode_image`."""
    return decode_image(contents, channels)


def decode_bmp(contents, channels=0, name=None):
    """See `decode_image`."""
    return decode_image(contents, channels)


class gfile:
    """Files and folders under the names of `tf.io.gfile`."""

    @staticmethod
    def GFile(name, mode="r"):
        """The open file; see `open`."""
        path = _path(name)
        return open(path, mode) if "b" in mode else open(path, mode, encoding="utf-8")

    @staticmethod
    def exists(path):
        """Is there such a file or folder?"""
        return os.path.exists(_path(path))

    @staticmethod
    def isdir(path):
        """Is it a folder?"""
        return os.path.isdir(_path(path))

    @staticmethod
    def listdir(path):
        """The names in a folder."""
        return os.listdir(_path(path))

    @staticmethod
    def glob(pattern):
        """The paths that fit a pattern, or several."""
        patterns = pattern if isinstance(pattern, (list, tuple)) else [pattern]
        return [p for one in patterns for p in sorted(_glob.glob(_path(one)))]

    @staticmethod
    def makedirs(path):
        """Makes a folder and those around it; there may be one already."""
        os.makedirs(_path(path), exist_ok=True)

    @staticmethod
    def mkdir(path):
        """Makes a folder."""
        os.mkdir(_path(path))

    @staticmethod
    def remove(path):
        """Removes a file."""
        os.remove(_path(path))

    @staticmethod
    def rmtree(path):
        """Removes a folder and all in it."""
        shutil.rmtree(_path(path))

    @staticmethod
    def copy(src, dst, overwrite=False):
        """Copies a file."""
        if os.path.exists(_path(dst)) and not overwrite:
            raise FileExistsError(
                f"tf.io.gfile.copy: expected no file yet. Received: {dst}. Hint: overwrite=True"
            )
        shutil.copyfile(_path(src), _path(dst))

    @staticmethod
    def rename(src, dst, overwrite=False):
        """Gives a file another name."""
        if os.path.exists(_path(dst)) and not overwrite:
            raise FileExistsError(
                f"tf.io.gfile.rename: expected no file yet. Received: {dst}. Hint: overwrite=True"
            )
        os.replace(_path(src), _path(dst))

    @staticmethod
    def stat(path):
        """What the system knows of a file: an object with `length`."""
        found = os.stat(_path(path))

        class Stat:
            length, mtime_nsec, is_directory = found.st_size, found.st_mtime_ns, os.path.isdir(_path(path))

        return Stat

    @staticmethod
    def walk(top, topdown=True, onerror=None):
        """Folders below a folder: (path, folders, files)."""
        return os.walk(_path(top), topdown, onerror)

    @staticmethod
    def join(path, *paths):
        """A path of parts."""
        return os.path.join(_path(path), *paths)
