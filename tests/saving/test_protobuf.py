"""The wire format: known bytes, round trips, hostile bytes."""

import contextlib

import numpy as np
import pytest
from rkeras.saving.files import UnsafeFileError
from rkeras.saving.protobuf import REPEATED, decode, encode, map_of

POINT = {"x": (1, "int"), "label": (2, "string")}
SHAPE = {
    "points": (1, POINT, REPEATED), "sizes": (2, "int", REPEATED), "weights": (3, "float", REPEATED),
    "closed": (4, "bool"), "area": (5, "double"), "extra": (6, map_of("string", POINT)), "inner": (7, lambda: SHAPE),
    "crc": (8, "fixed32"), "raw": (9, "bytes"),
}  # fmt: skip


def test_bytes_as_the_specification_gives_them():
    assert encode(POINT, {"x": 150}) == bytes.fromhex("089601")
    assert encode(POINT, {"label": "testing"}) == bytes.fromhex("120774657374696e67")
    assert encode(SHAPE, {"sizes": [3, 270, 86942]}) == bytes.fromhex("1206038e029ea705")
    assert encode(POINT, {"x": -1}) == b"\x08" + b"\xff" * 9 + b"\x01"


def test_messages_come_back():
    message = {
        "points": [{"x": -5, "label": "ü"}, {"x": 1 << 40}], "sizes": [0, -1, 300], "weights": [1.5, -2.0],
        "closed": False, "area": 2.25, "extra": {"a": {"x": 1}, "b": {}}, "inner": {"inner": {"closed": True}},
        "crc": 0xFFFFFFFF, "raw": b"\x00\xff",
    }  # fmt: skip
    assert decode(SHAPE, encode(SHAPE, message)) == message


def test_repeated_numbers_are_read_unpacked_too_and_unknown_fields_are_passed_over():
    assert decode(SHAPE, bytes.fromhex("1003" + "108e02" + "ba3e0161")) == {"sizes": [3, 270]}


def test_a_field_that_the_schema_lacks_is_not_written():
    with pytest.raises(ValueError, match="'y'"):
        encode(POINT, {"y": 1})


def test_damaged_bytes_are_errors():
    whole = encode(SHAPE, {"points": [{"x": 1, "label": "abc"}], "weights": [1.0, 2.0], "area": 1.0})
    rng = np.random.default_rng(0)
    for _ in range(2000):
        damaged = bytearray(whole[: rng.integers(1, len(whole) + 1)])
        damaged[rng.integers(len(damaged))] = rng.integers(256)
        with contextlib.suppress(ValueError):
            decode(SHAPE, bytes(damaged))
    for data in (b"\x08", b"\x12\xff\xff\xff\xff\x0f", b"\x08" + b"\xff" * 12, b"\x0b", b"\x0a\x01\x12"):
        with pytest.raises(ValueError):
            decode(POINT if data[0] != 0x0A else SHAPE, data)


def test_deep_nesting_is_refused():
    message = {}
    for _ in range(150):
        message = {"inner": message}
    data = b""
    for _ in range(150):
        data = encode({"inner": (7, "bytes")}, {"inner": data})
    with pytest.raises(UnsafeFileError, match="nested"):
        decode(SHAPE, data)
