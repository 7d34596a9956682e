"""The wire format of protocol buffers: messages as dicts, described by short tables, read with bounds.

A schema is `{field: (number, kind)}` or `{field: (number, kind, REPEATED)}`; a kind is one of the words below, another
schema, or a function that returns one (for schemas that contain themselves). `map_of` makes the kind of a map field.
"""

import struct

from rkeras.saving.files import UnsafeFileError

REPEATED = True
_MAX_DEPTH = 100
_MAX_VALUES = 20_000_000

# kind -> (wire type, struct format of the fixed ones)
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_KINDS = {
    "int": (_VARINT, None), "uint": (_VARINT, None), "bool": (_VARINT, None),
    "float": (_FIXED32, "<f"), "fixed32": (_FIXED32, "<I"), "double": (_FIXED64, "<d"), "fixed64": (_FIXED64, "<Q"),
    "string": (_BYTES, None), "bytes": (_BYTES, None),
}  # fmt: skip


class _Map:
    def __init__(self, key, value):
        self.entry = {"key": (1, key), "value": (2, value)}


def map_of(key, value):
    """The kind of a field that is a dict."""
    return _Map(key, value)


def varint(n):
    """A number of up to 64 bits in groups of seven bits, the lowest first; negative ones as their complement."""
    n &= (1 << 64) - 1
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def read_varint(data, at, end):
    """(number, position behind it); ValueError if it does not end before `end`."""
    n = shift = 0
    while True:
        if at >= end or shift > 63:
            raise ValueError(
                "protobuf: expected a whole number. Received: data that ends or a number too long"
            )
        byte = data[at]
        at += 1
        n |= (byte & 0x7F) << shift
        if byte < 0x80:
            return n & ((1 << 64) - 1), at
        shift += 7


def encode(schema, message):
    """The bytes of a message; fields that the dict lacks are left out, fields with default values are written.

    Args:
        schema: the table of its fields.
        message: dict of values.

    Raises:
        ValueError: for a field that the schema lacks.
    """
    out = []
    unknown = set(message) - set(schema)
    if unknown:
        raise ValueError(f"protobuf: expected fields of {sorted(schema)}. Received: {sorted(unknown)}")
    for name, (number, kind, *repeated) in sorted(schema.items(), key=lambda item: item[1][0]):
        if name not in message:
            continue
        value = message[name]
        if isinstance(kind, _Map):
            for key in sorted(value):
                _put(out, number, kind.entry, {"key": key, "value": value[key]})
        elif not repeated:
            _put(out, number, kind, value)
        elif kind in ("string", "bytes") or not isinstance(kind, str):
            for item in value:
                _put(out, number, kind, item)
        elif len(value):
            packed = b"".join(_scalar(kind, item) for item in value)
            out += (varint(number << 3 | _BYTES), varint(len(packed)), packed)
    return b"".join(out)


def _put(out, number, kind, value):
    if isinstance(kind, str):
        wire = _KINDS[kind][0]
        data = _scalar(kind, value)
    else:
        wire = _BYTES
        data = encode(kind() if callable(kind) else kind, value)
    out.append(varint(number << 3 | wire))
    if wire == _BYTES:
        out.append(varint(len(data)))
    out.append(data)


def _scalar(kind, value):
    if kind == "string":
        return value.encode()
    if kind == "bytes":
        return bytes(value)
    code = _KINDS[kind][1]
    return varint(int(value)) if code is None else struct.pack(code, value)


def decode(schema, data):
    """The message in these bytes as a dict; fields that the schema lacks are passed over.

    Args:
        schema: the table of its fields.
        data: bytes, which nobody has to trust.

    Raises:
        ValueError: if they are no such message.
        UnsafeFileError: if it is nested too deeply or holds too many values.
    """
    return _decode(schema, memoryview(data), 0, len(data), 0, [_MAX_VALUES])


def _decode(schema, data, at, end, depth, budget):
    if depth > _MAX_DEPTH:
        raise UnsafeFileError(
            f"protobuf: expected messages nested at most {_MAX_DEPTH} deep. Received: deeper ones"
        )
    fields = _by_number(schema)
    out = {}
    while at < end:
        tag, at = read_varint(data, at, end)
        number, wire = tag >> 3, tag & 7
        size = {_FIXED64: 8, _FIXED32: 4}.get(wire)
        if wire == _VARINT:
            value, stop = read_varint(data, at, end)
        elif wire == _BYTES:
            size, at = read_varint(data, at, end)
            value, stop = None, at + size
        elif size is not None:
            value, stop = None, at + size
        else:
            raise ValueError(f"protobuf: expected wire type 0, 1, 2 or 5. Received: {wire}")
        if stop > end:
            raise ValueError(f"protobuf: expected {stop - at} more bytes. Received: {end - at}")
        budget[0] -= 1
        if budget[0] < 0:
            raise UnsafeFileError(f"protobuf: expected at most {_MAX_VALUES} values. Received: more")
        field = fields.get(number)
        if field is not None:
            name, kind, repeated = field
            if isinstance(kind, _Map):
                entry = _decode(kind.entry, data, at, stop, depth + 1, budget)
                inner = (
                    {} if not isinstance(kind.entry["value"][1], str) else _default(kind.entry["value"][1])
                )
                out.setdefault(name, {})[entry.get("key", _default(kind.entry["key"][1]))] = entry.get(
                    "value", inner
                )
            elif not isinstance(kind, str):
                _expect(name, wire, _BYTES)
                inner = _decode(kind() if callable(kind) else kind, data, at, stop, depth + 1, budget)
                if repeated:
                    out.setdefault(name, []).append(inner)
                else:
                    out[name] = {**out.get(name, {}), **inner}
            elif repeated and wire == _BYTES and _KINDS[kind][0] != _BYTES:
                out.setdefault(name, []).extend(_packed(kind, data, at, stop, budget))
            else:
                _expect(name, wire, _KINDS[kind][0])
                item = _value(kind, value, data, at, stop)
                if repeated:
                    out.setdefault(name, []).append(item)
                else:
                    out[name] = item
        at = stop
    return out


_tables: dict = {}


def _by_number(schema):
    table = _tables.get(id(schema))
    if table is None or table[0] is not schema:
        fields = {number: (name, kind, bool(more)) for name, (number, kind, *more) in schema.items()}
        table = _tables[id(schema)] = (schema, fields)
    return table[1]


def _expect(name, wire, expected):
    if wire != expected:
        raise ValueError(f"protobuf: expected wire type {expected} of field {name!r}. Received: {wire}")


def _default(kind):
    return {"string": "", "bytes": b"", "bool": False, "float": 0.0, "double": 0.0}.get(kind, 0)


def _value(kind, number, data, at, stop):
    if kind == "string":
        return bytes(data[at:stop]).decode("utf-8", "replace")
    if kind == "bytes":
        return bytes(data[at:stop])
    code = _KINDS[kind][1]
    if code is not None:
        return struct.unpack_from(code, data, at)[0]
    if kind == "bool":
        return bool(number)
    return number - (1 << 64) if kind == "int" and number >> 63 else number


def _packed(kind, data, at, stop, budget):
    code = _KINDS[kind][1]
    out = []
    if code is not None:
        width = struct.calcsize(code)
        if (stop - at) % width:
            raise ValueError(f"protobuf: expected values of {width} bytes. Received: {stop - at} bytes")
        budget[0] -= (stop - at) // width
        if budget[0] >= 0:
            out = list(struct.unpack(f"<{(stop - at) // width}{code[1]}", data[at:stop]))
    else:
        while at < stop and budget[0] >= 0:
            number, at = read_varint(data, at, stop)
            out.append(_value(kind, number, data, at, at))
            budget[0] -= 1
    if budget[0] < 0:
        raise UnsafeFileError(f"protobuf: expected at most {_MAX_VALUES} values. Received: more")
    return out
