"""Files from the net: downloaded once, checked, kept; archives unpacked with care."""

import os

_MAX_FILES = 1_000_000
_MAX_UNPACKED_BYTES = 1 << 40
_HASHES = {32: "md5", 64: "sha256"}


def cache_folder():
    """Where downloads are kept: the environment variable RKERAS_HOME, or ~/.rkeras."""
    return os.environ.get("RKERAS_HOME") or os.path.join(os.path.expanduser("~"), ".rkeras")


def get_file(
    fname=None, origin=None, untar=False, md5_hash=None, file_hash=None, cache_subdir="datasets", hash_algorithm="auto",
    extract=False, archive_format="auto", cache_dir=None, force_download=False,
):  # fmt: skip
    """Downloads a file unless it was downloaded before.

    The file appears under its name only when it is complete and its hash is right; a kept file is checked again.

    Args:
        fname: its name (or absolute path) on disk; the last part of the address if None.
        origin: its address.
        untar, extract: whether to unpack an archive.
        md5_hash, file_hash: the hash that it has to have.
        cache_subdir: the folder in the cache.
        hash_algorithm: "auto" (by length), "md5" or "sha256".
        archive_format: "auto", "tar" or "zip".
        cache_dir: the cache; RKERAS_HOME or ~/.rkeras if None.
        force_download: whether a kept file is downloaded again.

    Returns:
        The path of the file, or of the folder it was unpacked into.

    Raises:
        ValueError: without an address, or if the hash is wrong.
        OSError: if it cannot be downloaded.
    """
    if origin is None:
        raise ValueError("get_file: expected origin as an address. Received: None")
    import urllib.parse

    address = urllib.parse.urlparse(str(origin))
    if address.scheme not in ("https", "http", "ftp", "file"):
        raise ValueError(f"get_file: expected an https address. Received: {origin!r}")
    fname = os.fspath(fname) if fname else os.path.basename(address.path)
    if not fname:
        raise ValueError(
            f"get_file: expected fname, as the address names no file. Received: origin={origin!r}"
        )
    if not os.path.isabs(fname) and ".." in fname.replace("\\", "/").split("/"):
        raise ValueError(f"get_file: expected a name without '..'. Received: fname={fname!r}")
    if md5_hash is not None and file_hash is None:
        file_hash, hash_algorithm = md5_hash, "md5"
    path = os.path.join(cache_dir or cache_folder(), cache_subdir, fname)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if force_download or not os.path.isfile(path) or not _is_right(path, file_hash, hash_algorithm):
        _download(str(origin), path, file_hash, hash_algorithm)
    if not (untar or extract):
        return path
    folder = path + "_extracted"
    if force_download or not os.path.isdir(folder):
        unpack(path, folder, archive_format)
    return folder


def _is_right(path, file_hash, algorithm):
    return file_hash is None or hash_of(path, file_hash, algorithm) == file_hash.lower()


def hash_of(path, like=None, algorithm="auto"):
    """The hash of a file in hexadecimal digits, by md5, sha256, or whichever has the length of `like`."""
    import hashlib

    if algorithm == "auto":
        algorithm = _HASHES.get(len(like or "0" * 64))
    if algorithm not in ("md5", "sha256"):
        raise ValueError(
            f'get_file: expected hash_algorithm "auto", "md5" or "sha256". Received: {algorithm!r} for {like!r}'
        )
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _download(origin, path, file_hash, algorithm):
    import shutil
    import tempfile
    import urllib.error
    import urllib.request

    handle, temporary = tempfile.mkstemp(prefix=".", suffix=".part", dir=os.path.dirname(path))
    try:
        try:
            with os.fdopen(handle, "wb") as f, urllib.request.urlopen(origin, timeout=60) as answer:
                expected = answer.headers.get("Content-Length")
                shutil.copyfileobj(answer, f, 1 << 20)
                received = f.tell()
        except (urllib.error.URLError, TimeoutError, OSError) as error:
            reason = getattr(error, "reason", None) or error
            raise OSError(
                f"get_file: expected {origin} to be reachable. Received: {reason}. Hint: without a network, put the file at "
                f"{path!r} yourself."
            ) from error
        if expected and expected.isdigit() and int(expected) != received:
            raise OSError(
                f"get_file: expected {expected} bytes from {origin}. Received: {received}. Hint: try again."
            )
        if not _is_right(temporary, file_hash, algorithm):
            got = hash_of(temporary, file_hash, algorithm)
            raise ValueError(
                f"get_file: expected a file of hash {file_hash} from {origin}. Received: one of hash {got}. It was not kept."
            )
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise


def unpack(path, folder, archive_format="auto"):
    """Unpacks a tar or zip archive into a new folder: regular files and folders only, all inside it.

    Raises:
        ValueError: for links, devices, names that lead outside, and files that are no archive.
    """
    import shutil
    import tarfile
    import tempfile
    import zipfile

    if archive_format is None:
        raise ValueError('get_file: expected archive_format "auto", "tar" or "zip". Received: None')
    formats = ("tar", "zip") if archive_format == "auto" else (archive_format,)
    parent = os.path.dirname(os.path.abspath(folder))
    temporary = tempfile.mkdtemp(prefix=".", suffix=".part", dir=parent)
    try:
        if "tar" in formats and tarfile.is_tarfile(path):
            with tarfile.open(path) as archive:
                entries = [(m.name, m.isdir(), m.isreg(), m.size, m) for m in archive]
                _unpack_entries(entries, archive.extractfile, temporary)
        elif "zip" in formats and zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                entries = [
                    (m.filename, m.is_dir(), _is_plain_file(m), m.file_size, m) for m in archive.infolist()
                ]
                _unpack_entries(entries, archive.open, temporary)
        else:
            raise ValueError(
                f"get_file: expected an archive ({' or '.join(formats)}). Received: {path!r}, which is none"
            )
        if os.path.isdir(folder):
            shutil.rmtree(folder)
        os.replace(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _is_plain_file(member):
    kind = member.external_attr >> 16 & 0o170000
    return not member.is_dir() and kind in (0, 0o100000)


def _unpack_entries(entries, opener, folder):
    import shutil

    if len(entries) > _MAX_FILES or sum(e[3] for e in entries) > _MAX_UNPACKED_BYTES:
        raise ValueError(
            f"get_file: expected an archive of at most {_MAX_FILES} files. Received: a larger one"
        )
    for name, is_folder, is_file, size, member in entries:
        target = inside(folder, name)
        if is_folder:
            os.makedirs(target, exist_ok=True)
            continue
        if not is_file:
            raise ValueError(
                f"get_file: expected files and folders in the archive. Received: a link or device, {name!r}"
            )
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with opener(member) as source, open(target, "xb") as out:
            shutil.copyfileobj(_Limited(source, size), out, 1 << 20)


class _Limited:
    """A stream that gives no more than it was said to hold."""

    def __init__(self, stream, size):
        self._stream, self._left = stream, size

    def read(self, n=-1):
        block = self._stream.read(self._left if n < 0 else min(n, self._left))
        self._left -= len(block)
        return block


def inside(folder, name):
    """The path of an archive's entry in a folder.

    Raises:
        ValueError: if it would lie outside.
    """
    parts = name.replace("\\", "/").split("/")
    bad = (
        name.startswith(("/", "\\"))
        or ".." in parts
        or "\0" in name
        or (len(parts[0]) > 1 and parts[0][1] == ":")
    )
    if bad:
        raise ValueError(f"get_file: expected names inside the archive's folder. Received: {name!r}")
    return os.path.join(folder, *[p for p in parts if p not in ("", ".")])
