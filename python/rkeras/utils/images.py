"""Pictures as arrays and files (needs Pillow)."""

import os

import numpy as np

from rkeras._core import settings

_CHANNELS = {"grayscale": 1, "rgb": 3, "rgba": 4}


def _pillow(who):
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(
            f"{who}: expected Pillow, which reads and writes pictures. Received: none. Hint: pip install rkeras[images]"
        ) from error
    return Image


def array_to_img(x, data_format=None, scale=True, dtype=None):
    """An array as a Pillow picture.

    Args:
        x: array of shape (height, width, channels), with 1, 3 or 4 channels.
        data_format: "channels_last" or "channels_first".
        scale: stretch the numbers to 0 to 255.
        dtype: the dtype of the computation; `floatx` if None.

    Raises:
        ValueError: for another shape.
    """
    image = _pillow("array_to_img")
    x = np.asarray(x, dtype=dtype or settings.floatx())
    if x.ndim != 3:
        raise ValueError(f"array_to_img: expected an array of 3 axes. Received: shape {x.shape}")
    if settings.standardize_data_format(data_format) == "channels_first":
        x = x.transpose(1, 2, 0)
    if scale:
        x = x - x.min()
        top = x.max()
        x = (x / top if top != 0 else x) * 255
    if x.shape[2] not in (1, 3, 4):
        raise ValueError(f"array_to_img: expected 1, 3 or 4 channels. Received: shape {x.shape}")
    if x.shape[2] == 1:
        return image.fromarray(x[:, :, 0].astype("int32" if x.max() > 255 else "uint8"))
    return image.fromarray(x.astype("uint8"))


def img_to_array(img, data_format=None, dtype=None):
    """A Pillow picture as an array of shape (height, width, channels).

    Example:
        >>> keras.utils.img_to_array(np.zeros((2, 3), "uint8")).shape
        (2, 3, 1)
    """
    x = np.asarray(img, dtype=dtype or settings.floatx())
    if x.ndim not in (2, 3):
        raise ValueError(f"img_to_array: expected a picture. Received: shape {x.shape}")
    x = x[:, :, None] if x.ndim == 2 else x
    return x.transpose(2, 0, 1) if settings.standardize_data_format(data_format) == "channels_first" else x


def save_img(path, x, data_format=None, file_format=None, scale=True, **kwargs):
    """Writes an array to a picture file; the ending says the format, unless `file_format` does."""
    picture = array_to_img(x, data_format=data_format, scale=scale)
    if picture.mode == "RGBA" and file_format in ("jpg", "jpeg"):
        picture = picture.convert("RGB")
    picture.save(path, format="jpeg" if file_format == "jpg" else file_format, **kwargs)


def load_img(path, color_mode="rgb", target_size=None, interpolation="nearest", keep_aspect_ratio=False):
    """A picture file as a Pillow picture.

    Args:
        path: a path or an open binary file.
        color_mode: "grayscale", "rgb" or "rgba".
        target_size: (height, width); that of the file if None.
        interpolation: "nearest", "bilinear", "bicubic", "hamming", "box" or "lanczos".
        keep_aspect_ratio: cut the middle out before resizing, so that nothing is distorted.
    """
    image = _pillow("load_img")
    if color_mode not in _CHANNELS:
        raise ValueError(
            f'load_img: expected color_mode "grayscale", "rgb" or "rgba". Received: {color_mode!r}'
        )
    picture = image.open(path if hasattr(path, "read") else os.fspath(path))
    picture.load()
    mode = {"grayscale": "L", "rgb": "RGB", "rgba": "RGBA"}[color_mode]
    if picture.mode != mode and not (mode == "L" and picture.mode in ("I;16", "I")):
        picture = picture.convert(mode)
    if target_size is None or picture.size == (target_size[1], target_size[0]):
        return picture
    method = getattr(image.Resampling, interpolation.upper(), None)
    if method is None:
        raise ValueError(f"load_img: expected the name of an interpolation. Received: {interpolation!r}")
    height, width = target_size
    box = None
    if keep_aspect_ratio:
        w, h = picture.size
        box_h, box_w = min(h, w * height // width), min(w, h * width // height)
        left, top = (w - box_w) // 2, (h - box_h) // 2
        box = (left, top, left + box_w, top + box_h)
    return picture.resize((width, height), method, box=box)


def resize(x, size, interpolation):
    """An array of shape (..., height, width, channels) in another size, by the centres of pixels."""
    for axis, want in ((-3, size[0]), (-2, size[1])):
        have = x.shape[axis]
        if have == want:
            continue
        place = (np.arange(want) + 0.5) * (have / want) - 0.5
        if interpolation == "nearest":
            x = np.take(x, np.clip(np.floor(place + 0.5), 0, have - 1).astype(int), axis=axis)
            continue
        low = np.floor(place)
        part = (place - low).astype("float32")
        a = np.take(x, np.clip(low, 0, have - 1).astype(int), axis=axis).astype("float32")
        b = np.take(x, np.clip(low + 1, 0, have - 1).astype(int), axis=axis).astype("float32")
        part = part[:, None, None] if axis == -3 else part[:, None]
        x = a + (b - a) * part
    return x.astype("float32") if interpolation != "nearest" else x


def middle(x, size):
    """The largest part in the middle of pictures (channels last) with the proportions of a size."""
    height, width = x.shape[-3], x.shape[-2]
    want_h, want_w = size
    h, w = min(height, width * want_h // want_w), min(width, height * want_w // want_h)
    top, left = (height - h) // 2, (width - w) // 2
    return x[..., top : top + h, left : left + w, :]


def smart_resize(
    x, size, interpolation="bilinear", data_format="channels_last", backend_module=None, **kwargs
):
    """Pictures of another size without distortion: the middle is cut out first.

    Args:
        x: array of shape (height, width, channels), or a batch of them.
        size: (height, width).
        interpolation: "bilinear" or "nearest".
        data_format: "channels_last" or "channels_first".

    Returns:
        Pictures of that size: an array for an array, a tensor for a tensor.

    Example:
        >>> keras.preprocessing.image.smart_resize(np.ones((4, 8, 3)), (2, 2)).shape
        (2, 2, 3)
    """
    if len(size) != 2:
        raise ValueError(f"smart_resize: expected (height, width) as size. Received: {size}")
    if interpolation not in ("bilinear", "nearest"):
        raise ValueError(
            f'smart_resize: expected interpolation "bilinear" or "nearest". Received: {interpolation!r}'
        )
    from rkeras import ops

    array = np.asarray(x)
    if array.ndim not in (3, 4):
        raise ValueError(f"smart_resize: expected pictures of 3 or 4 axes. Received: shape {array.shape}")
    first = data_format == "channels_first"
    array = np.moveaxis(array, -3, -1) if first else array
    out = resize(middle(array, size).astype("float32"), size, interpolation)
    out = np.moveaxis(out, -1, -3) if first else out
    return out if isinstance(x, np.ndarray) else ops.convert_to_tensor(out)
