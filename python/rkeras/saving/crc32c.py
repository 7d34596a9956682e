"""CRC-32C (Castagnoli) of bytes, quick on large arrays, and the mask that LevelDB and TensorFlow put over it.

Long data is cut into lanes of equal length whose remainders NumPy computes side by side, eight bytes per step; the
remainders are joined with the rule crc(a b) = shift(crc(a), length of b) xor crc(b), which is linear in crc(a).
"""

import functools

import numpy as np

_POLYNOMIAL = 0x82F63B78
_LANES = 2048
_STEP = 8  # bytes


def _reduce(n, bits):
    for _ in range(bits):
        n = (n >> 1) ^ (_POLYNOMIAL & -(n & 1))
    return n


@functools.cache
def _byte_table():
    return [_reduce(n, 8) for n in range(256)]


@functools.cache
def _step_tables():
    """For each of the four 16-bit words of a step, what it adds to the remainder after the step."""
    table = np.array([_reduce(n, 16) for n in range(1 << 16)], np.uint32)
    tables = [table]
    for _ in range(3):
        last = tables[-1]
        # Two more bytes of zeros behind.
        tables.append((last >> 16) ^ table[last & 0xFFFF])
    return tables[::-1]


def _apply(columns, vector):
    """A linear map of 32-bit numbers, given by the images of the single bits."""
    out = 0
    for bit in range(32):
        if vector >> bit & 1:
            out ^= columns[bit]
    return out


@functools.cache
def _shift(power):
    """The map that 2**power bytes of zeros are to a remainder."""
    if power == 0:
        table = _byte_table()
        return tuple((1 << b) >> 8 ^ table[(1 << b) & 0xFF] for b in range(32))
    half = _shift(power - 1)
    return tuple(_apply(half, c) for c in half)


def _shifted_by(length):
    columns = tuple(1 << b for b in range(32))
    for power in range(length.bit_length()):
        if length >> power & 1:
            columns = tuple(_apply(_shift(power), c) for c in columns)
    return columns


def crc32c(data, start=0):
    """The checksum of bytes, continued from that of what came before.

    Args:
        data: bytes or a contiguous array.
        start: the checksum so far.

    Example:
        >>> from rkeras.saving.crc32c import crc32c
        >>> hex(crc32c(b"123456789"))
        '0xe3069283'
    """
    data = (
        np.frombuffer(memoryview(data).cast("B"), np.uint8)
        if len(memoryview(data))
        else np.empty(0, np.uint8)
    )
    crc = start ^ 0xFFFFFFFF
    length = len(data) // (_LANES * _STEP) * _STEP
    if length:
        crc = _lanes(data[: length * _LANES], length, crc)
        data = data[length * _LANES :]
    if len(data) >= 16 * 64:
        length = len(data) // (64 * _STEP) * _STEP
        crc = _lanes(data[: length * 64], length, crc, 64)
        data = data[length * 64 :]
    table = _byte_table()
    for byte in data.tolist():
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def _lanes(data, length, start, lanes=_LANES):
    words = np.ascontiguousarray(data).view("<u2").reshape(lanes, length // _STEP, 4)
    first, second, third, fourth = _step_tables()
    crc = np.zeros(lanes, np.uint32)
    crc[0] = start
    for step in range(length // _STEP):
        word = words[:, step, :]
        crc = (
            first[(crc & 0xFFFF) ^ word[:, 0]]
            ^ second[(crc >> 16) ^ word[:, 1]]
            ^ third[word[:, 2]]
            ^ fourth[word[:, 3]]
        )
    columns = _shifted_by(length)
    while len(crc) > 1:
        left, joined = crc[0::2], crc[1::2].copy()
        for bit in range(32):
            joined ^= np.where(left >> np.uint32(bit) & np.uint32(1), np.uint32(columns[bit]), np.uint32(0))
        crc = joined
        columns = tuple(_apply(columns, c) for c in columns)
    return int(crc[0])


def masked(crc):
    """The checksum as files store it, so that a checksum of data with checksums in it stays a good one."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
