"""Pictures as PNG, written band by band so that a tall picture takes little memory."""

import math
import struct
import zlib

import numpy as np

from rkeras.utils.plot import raster

_BAND = 256
_LARGEST_SIDE = 32767  # what other programs still open
_LARGEST = 400_000_000  # pixels


def write(scene, dpi=96):
    """The bytes of a PNG file; very large pictures get fewer dots per inch."""
    scale = dpi / 72.0
    scale = min(scale, _LARGEST_SIDE / max(scene.width, scene.height))
    scale = min(scale, math.sqrt(_LARGEST / (scene.width * scene.height)))
    width, height = max(math.ceil(scene.width * scale), 1), max(math.ceil(scene.height * scale), 1)
    found = raster.layers(scene, scale)
    pack = zlib.compressobj(6)
    data = []
    for top in range(0, height, _BAND):
        bottom = min(top + _BAND, height)
        near = [layer for layer in found if layer.top < bottom and layer.bottom > top]
        rows = raster.paint(near, width, top, bottom).reshape(bottom - top, width * 3)
        # A zero before each row: not filtered.
        data.append(pack.compress(np.pad(rows, ((0, 0), (1, 0))).tobytes()))
    data.append(pack.flush())
    per_metre = round(scale * 72.0 / 0.0254)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
            _chunk(b"pHYs", struct.pack(">IIB", per_metre, per_metre, 1)),
            _chunk(b"IDAT", b"".join(data)),
            _chunk(b"IEND", b""),
        ]
    )


def _chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
