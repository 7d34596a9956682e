"""Sorted tables of keys and values in the format of LevelDB: the index of a TensorFlow checkpoint.

Blocks of entries (length shared with the previous key, length of the rest, length of the value, rest, value), whole
keys every 16 entries with their places at the end of the block, a compression byte and a masked CRC-32C after each; a
block with the last key and place of each block; a footer of 48 bytes with a magic number.
"""

import struct

from rkeras.saving.crc32c import crc32c, masked
from rkeras.saving.protobuf import read_varint, varint

_MAGIC = 0xDB4775248B80FB57
_FOOTER, _TRAILER = 48, 5
_BLOCK_BYTES = 256 << 10
_WHOLE_KEY_EVERY = 16


class _Block:
    def __init__(self):
        self.data, self.places, self.count, self.key = bytearray(), [0], 0, b""

    def add(self, key, value):
        shared = 0
        if self.count and self.count % _WHOLE_KEY_EVERY == 0:
            self.places.append(len(self.data))
        elif self.count:
            limit = min(len(key), len(self.key))
            while shared < limit and key[shared] == self.key[shared]:
                shared += 1
        self.data += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        self.count, self.key = self.count + 1, key

    def bytes(self):
        return bytes(self.data) + struct.pack(f"<{len(self.places) + 1}I", *self.places, len(self.places))


def write_table(entries):
    """The bytes of a table.

    Args:
        entries: dict of bytes to bytes.
    """
    out, index, block = bytearray(), _Block(), _Block()

    def close(block):
        data = block.bytes() + b"\0"  # no compression
        place = varint(len(out)) + varint(len(data) - 1)
        out.extend(data + struct.pack("<I", masked(crc32c(data))))
        return place

    for key in sorted(entries):
        block.add(key, entries[key])
        if len(block.data) >= _BLOCK_BYTES:
            index.add(block.key, close(block))
            block = _Block()
    if block.count:
        index.add(block.key, close(block))
    footer = close(_Block()) + close(index)
    out.extend(footer.ljust(_FOOTER - 8, b"\0") + struct.pack("<Q", _MAGIC))
    return bytes(out)


def read_table(data):
    """The entries of a table as a dict of bytes to bytes.

    Raises:
        ValueError: if the bytes are no such table, or a damaged one.
    """
    if len(data) < _FOOTER or struct.unpack_from("<Q", data, len(data) - 8)[0] != _MAGIC:
        raise ValueError("checkpoint: expected the index of a TensorFlow checkpoint. Received: another file")
    end = len(data) - 8
    at = len(data) - _FOOTER
    places = []
    for _ in range(4):
        number, at = read_varint(data, at, end)
        places.append(number)
    entries = {}
    for _, place in _entries(_block(data, *places[2:])):
        offset, at = read_varint(place, 0, len(place))
        size, _ = read_varint(place, at, len(place))
        entries.update(_entries(_block(data, offset, size)))
    return entries


def _block(data, offset, size):
    if offset + size + _TRAILER > len(data):
        raise ValueError("checkpoint: expected a whole index. Received: one that ends too early")
    block = data[offset : offset + size]
    kind, stored = struct.unpack_from("<BI", data, offset + size)
    if stored != masked(crc32c(data[offset : offset + size + 1])):
        raise ValueError("checkpoint: expected a sound index. Received: one whose checksum is wrong")
    if kind:
        raise ValueError(f"checkpoint: expected an index without compression. Received: compression {kind}")
    return block


def _entries(block):
    if len(block) < 4:
        raise ValueError("checkpoint: expected a sound index. Received: a block that is too short")
    count = struct.unpack_from("<I", block, len(block) - 4)[0]
    end = len(block) - 4 - 4 * count
    if end < 0:
        raise ValueError("checkpoint: expected a sound index. Received: a block that is too short")
    at, key = 0, b""
    while at < end:
        shared, at = read_varint(block, at, end)
        rest, at = read_varint(block, at, end)
        size, at = read_varint(block, at, end)
        if shared > len(key) or at + rest + size > end:
            raise ValueError("checkpoint: expected a sound index. Received: an entry that ends too late")
        key = key[:shared] + block[at : at + rest]
        at += rest
        yield key, block[at : at + size]
        at += size
