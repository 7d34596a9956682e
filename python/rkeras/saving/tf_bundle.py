"""TensorFlow checkpoints as files: `prefix.index`, `prefix.data-00000-of-00001`, and the state file `checkpoint`.

The data file is the tensors one after the other; the index says of each its dtype, shape, place and checksum.
"""

import os
import re

import numpy as np

from rkeras.saving.crc32c import crc32c, masked
from rkeras.saving.files import UnsafeFileError, replace_file
from rkeras.saving.protobuf import REPEATED, decode, encode, read_varint, varint
from rkeras.saving.table import read_table, write_table

OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
_MAX_INDEX_BYTES = 256 << 20
_MAX_STATE_BYTES = 1 << 20

# TensorFlow's numbers of dtypes.
DTYPES = {
    1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 7: "string", 9: "int64", 10: "bool",
    14: "bfloat16", 17: "uint16", 19: "float16", 22: "uint32", 23: "uint64",
}  # fmt: skip
NUMBERS = {name: number for number, name in DTYPES.items()}
_HEADER = {"num_shards": (1, "int"), "endianness": (2, "int"), "version": (3, {"producer": (1, "int")})}
SHAPE = {"dim": (2, {"size": (1, "int"), "name": (2, "string")}, REPEATED), "unknown_rank": (3, "bool")}
_ENTRY = {
    "dtype": (1, "int"), "shape": (2, SHAPE), "shard_id": (3, "int"), "offset": (4, "int"), "size": (5, "int"),
    "crc32c": (6, "fixed32"), "slices": (7, "bytes", REPEATED),
}  # fmt: skip


class Checkpoint:
    """An open checkpoint: tensors by key.

    Args:
        prefix: the path without ".index".

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is damaged.
    """

    def __init__(self, prefix):
        self.prefix = os.fspath(prefix)
        path = self.prefix + ".index"
        if not os.path.isfile(path):
            raise FileNotFoundError(
                f"checkpoint: expected an existing checkpoint. Received: {self.prefix!r}, beside which there is no .index file"
            )
        if os.path.getsize(path) > _MAX_INDEX_BYTES:
            raise UnsafeFileError(
                f"checkpoint: expected an index of at most {_MAX_INDEX_BYTES} bytes. Received: {path!r}"
            )
        with open(path, "rb") as f:
            table = read_table(f.read())
        header = decode(_HEADER, table.pop(b"", b""))
        if header.get("endianness", 0) != 0:
            raise ValueError("checkpoint: expected little-endian tensors. Received: big-endian ones")
        self.shards = header.get("num_shards", 1)
        self._entries = {k.decode("utf-8", "replace"): decode(_ENTRY, v) for k, v in table.items()}

    def keys(self):
        """The keys of all tensors."""
        return list(self._entries)

    def __iter__(self):
        return iter(self._entries)

    def __contains__(self, key):
        return key in self._entries

    has_tensor = __contains__

    def _entry(self, key):
        if key not in self._entries:
            raise KeyError(f"checkpoint: expected one of {self.keys()[:20]}. Received: {key!r}")
        return self._entries[key]

    def shape(self, key):
        """The shape of a tensor."""
        return tuple(d.get("size", 0) for d in self._entry(key).get("shape", {}).get("dim", ()))

    def dtype(self, key):
        """The name of the dtype of a tensor; "string" for texts."""
        number = self._entry(key).get("dtype", 0)
        if number not in DTYPES:
            raise ValueError(
                f"checkpoint: expected a dtype of numbers or text at {key!r}. Received: number {number}"
            )
        return DTYPES[number]

    def get_variable_to_shape_map(self):
        """Dict of keys to shapes, as lists."""
        return {k: list(self.shape(k)) for k in self._entries}

    def get_variable_to_dtype_map(self):
        """Dict of keys to names of dtypes."""
        return {k: self.dtype(k) for k in self._entries}

    def get_tensor(self, key):
        """A tensor as an array (bfloat16 as float32), a text as bytes, texts as an array of bytes.

        Raises:
            KeyError: if there is none of that key.
            ValueError: if its bytes are damaged.
        """
        entry, shape, dtype = self._entry(key), self.shape(key), self.dtype(key)
        if entry.get("slices"):
            raise NotImplementedError(
                f"checkpoint: expected whole tensors. Received: a partitioned one at {key!r}"
            )
        if any(d < 0 for d in shape):
            raise ValueError(f"checkpoint: expected sizes of zero or more at {key!r}. Received: {shape}")
        count = 1
        for d in shape:
            count *= d
        size, offset, shard = entry.get("size", 0), entry.get("offset", 0), entry.get("shard_id", 0)
        if dtype != "string":
            width = 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize
            if size != count * width:
                raise ValueError(
                    f"checkpoint: expected {count * width} bytes at {key!r} for shape {shape}. Received: {size}"
                )
        path = f"{self.prefix}.data-{shard:05d}-of-{self.shards:05d}"
        if offset < 0 or size < 0 or not os.path.isfile(path) or offset + size > os.path.getsize(path):
            raise ValueError(
                f"checkpoint: expected the bytes of {key!r} in {path!r}. Received: a file without them"
            )
        with open(path, "rb") as f:
            f.seek(offset)
            data = f.read(size)
        if dtype == "string":
            return _texts(key, data, count, shape, entry.get("crc32c", 0))
        if masked(crc32c(data)) != entry.get("crc32c", 0):
            raise ValueError(
                f"checkpoint: expected a sound tensor at {key!r}. Received: one whose checksum is wrong"
            )
        if dtype == "bfloat16":
            return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32).reshape(shape)
        return np.frombuffer(data, np.dtype(dtype).newbyteorder("<")).reshape(shape)


def _texts(key, data, count, shape, stored):
    if count > len(data):
        raise ValueError(f"checkpoint: expected {count} texts at {key!r}. Received: {len(data)} bytes")
    at, lengths, sum_ = 0, [], 0
    for _ in range(count):
        n, at = read_varint(data, at, len(data))
        lengths.append(n)
        sum_ = crc32c(n.to_bytes(4 if n < 1 << 32 else 8, "little"), sum_)
    if masked(crc32c(data[at:], sum_)) != stored or at + 4 + sum(lengths) != len(data):
        raise ValueError(f"checkpoint: expected sound texts at {key!r}. Received: damaged ones")
    at += 4
    texts = []
    for n in lengths:
        texts.append(data[at : at + n])
        at += n
    return texts[0] if shape == () else np.array(texts, object).reshape(shape)


def _text_bytes(texts):
    lengths, sum_ = b"", 0
    for text in texts:
        lengths += varint(len(text))
        sum_ = crc32c(len(text).to_bytes(4 if len(text) < 1 << 32 else 8, "little"), sum_)
    behind = masked(sum_).to_bytes(4, "little") + b"".join(texts)
    return lengths + behind, masked(crc32c(behind, sum_))


def write_checkpoint(prefix, tensors, state=True):
    """Writes a checkpoint: whoever reads meanwhile, or after a crash, finds the old one or the new one, whole.

    Args:
        prefix: the path without ".index".
        tensors: dict of key to array, text (bytes), or pair (array, name of the dtype) for bfloat16 as its upper halves.
        state: whether the folder's file `checkpoint` names it as the latest.
    """
    prefix = os.fspath(prefix)
    # The index decides which data file counts. An old one goes on counting until the new index is in place, so new
    # data goes beside it under the name of a second shard first.
    before = _shards_of(prefix)
    shard, shards = (1, 2) if before == 1 else (0, 1)
    table = {}

    def write_data(file):
        offset = 0
        for key in sorted(tensors):
            value = tensors[key]
            if isinstance(value, bytes):
                dtype, shape = "string", ()
                data, sum_ = _text_bytes([value])
            else:
                array, dtype = value if isinstance(value, tuple) else (np.asarray(value), None)
                dtype, shape = dtype or array.dtype.name, array.shape
                array = np.ascontiguousarray(array)
                data = memoryview(array.reshape(-1).view(np.uint8)) if array.size else b""
                sum_ = masked(crc32c(data))
            if dtype not in NUMBERS:
                raise ValueError(
                    f"checkpoint: expected a dtype of {sorted(NUMBERS)} at {key!r}. Received: {dtype}"
                )
            file.write(data)
            table[key] = {
                "dtype": NUMBERS[dtype], "shape": {"dim": [{"size": d} for d in shape]}, "offset": offset,
                "size": len(data), "crc32c": sum_,
            }  # fmt: skip
            offset += len(data)

    def write_index(file):
        header = encode(_HEADER, {"num_shards": shards, "version": {"producer": 1}})
        entries = {k.encode(): encode(_ENTRY, {**e, "shard_id": shard}) for k, e in table.items()}
        file.write(write_table({b"": header, **entries}))

    data = f"{prefix}.data-{shard:05d}-of-{shards:05d}"
    replace_file(data, write_data)
    replace_file(prefix + ".index", write_index)
    if shards == 2:
        # Back to the usual names, in the same manner.
        shard, shards = 0, 1
        usual = f"{prefix}.data-00000-of-00001"
        _name_too(data, usual)
        replace_file(prefix + ".index", write_index)
    for number in range(min(before, 1 << 16) if before > 1 else 2):
        # What other programs split, or a save that was cut off left behind.
        left = f"{prefix}.data-{number:05d}-of-{max(before, 2):05d}"
        if os.path.isfile(left):
            os.unlink(left)
    if state:
        write_state(os.path.dirname(prefix) or ".", os.path.basename(prefix))


def _shards_of(prefix):
    """How many data files the checkpoint that is there has; 0 if there is none, or none that could be read."""
    try:
        return Checkpoint(prefix).shards
    except (ValueError, OSError):
        return 0


def _name_too(source, target):
    """Gives a file another name, which may be taken."""
    import shutil
    import tempfile

    folder = tempfile.mkdtemp(prefix=".", suffix=".part", dir=os.path.dirname(target) or ".")
    try:
        spare = os.path.join(folder, "data")
        try:
            os.link(source, spare)
        except OSError:  # a file system without links
            shutil.copyfile(source, spare)
        os.replace(spare, target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_state(folder, latest, all_names=None):
    """Writes the file `checkpoint` of a folder: which checkpoint is the latest, and which there are."""
    names = [latest] if all_names is None else all_names
    lines = [f'model_checkpoint_path: "{_escape(latest)}"']
    lines += [f'all_model_checkpoint_paths: "{_escape(n)}"' for n in names]
    replace_file(os.path.join(folder, "checkpoint"), lambda f: f.write(("\n".join(lines) + "\n").encode()))


def read_state(folder):
    """(the latest prefix or None, all prefixes) that the file `checkpoint` of a folder names.

    Whatever it says, the prefixes lie in that folder.
    """
    path = os.path.join(os.fspath(folder), "checkpoint")
    if not os.path.isfile(path) or os.path.getsize(path) > _MAX_STATE_BYTES:
        return None, []
    with open(path, encoding="utf-8", errors="replace") as f:
        text = f.read()

    def named(field):
        found = re.findall(rf'^\s*{field}:\s*"((?:[^"\\]|\\.)*)"\s*$', text, re.M)
        names = [re.sub(r"\\(.)", r"\1", n).replace("\\", "/").rsplit("/", 1)[-1] for n in found]
        return [os.path.join(os.fspath(folder), n) for n in names if n not in ("", ".", "..")]

    latest = named("model_checkpoint_path")
    return (latest[0] if latest else None), named("all_model_checkpoint_paths")


def latest_checkpoint(checkpoint_dir, latest_filename=None):
    """The prefix of the latest checkpoint in a folder, None if there is none.

    Args:
        checkpoint_dir: the folder.
        latest_filename: only None or "checkpoint".
    """
    if latest_filename not in (None, "checkpoint"):
        raise ValueError(
            f'latest_checkpoint: expected latest_filename="checkpoint". Received: {latest_filename!r}'
        )
    latest, _ = read_state(checkpoint_dir)
    return latest if latest is not None and os.path.isfile(latest + ".index") else None


def _escape(name):
    return name.replace("\\", "\\\\").replace('"', '\\"')
