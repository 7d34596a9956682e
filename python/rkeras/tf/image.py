"""Images of shape (height, width, channels), alone or in batches (`tf.image`)."""

from rkeras import ops
from rkeras import random as _random
from rkeras.tf.dtypes import as_dtype


def _size(name, size):
    if len(size) != 2:
        raise ValueError(f"tf.image.{name}: expected two sizes. Received: {size}")
    return int(size[0]), int(size[1])


def resize(images, size, method="bilinear", preserve_aspect_ratio=False, antialias=False, name=None):
    """Images of another size, as float32 (of their own dtype with "nearest")."""
    function = getattr(getattr(ops, "image", None), "resize", None)
    if function is None or preserve_aspect_ratio:
        raise NotImplementedError(
            "tf.image.resize: expected a function of this build of rkeras. Hint: use tf.keras.layers.Resizing"
        )
    images = ops.convert_to_tensor(images)
    if method != "nearest":
        images = ops.cast(images, "float32")
    return function(images, _size("resize", size), interpolation=method, antialias=antialias)


class ResizeMethod:
    """The names of methods of `resize`."""

    BILINEAR, NEAREST_NEIGHBOR, BICUBIC, LANCZOS3, LANCZOS5 = (
        "bilinear",
        "nearest",
        "bicubic",
        "lanczos3",
        "lanczos5",
    )


def convert_image_dtype(image, dtype, saturate=False, name=None):
    """Images in another dtype; whole numbers span their range, floats 0 to 1.

    Example:
        >>> import rkeras.tf as tf
        >>> tf.image.convert_image_dtype(tf.constant([[[255]]], tf.uint8), tf.float32).numpy().tolist()
        [[[1.0]]]
    """
    image, dtype = ops.convert_to_tensor(image), as_dtype(dtype)
    source = as_dtype(image.dtype)
    if source == dtype:
        return image
    if source.is_integer and dtype.is_floating:
        return ops.cast(image, str(dtype)) * (1.0 / source.max)
    if source.is_floating and dtype.is_integer:
        scaled = image * (dtype.max + 0.5)
        return ops.saturate_cast(scaled, str(dtype)) if saturate else ops.cast(scaled, str(dtype))
    if source.is_floating:
        return ops.cast(image, str(dtype))
    raise NotImplementedError(
        f"tf.image.convert_image_dtype: expected a float dtype. Received: {source} and {dtype}"
    )


def flip_left_right(image):
    """Mirrored."""
    return ops.flip(image, axis=-2)


def flip_up_down(image):
    """Upside down."""
    return ops.flip(image, axis=-3)


def rot90(image, k=1, name=None):
    """Turned by k quarters against the clock."""
    return ops.rot90(image, k=k, axes=(-3, -2))


def transpose(image, name=None):
    """Rows and columns exchanged."""
    return ops.swapaxes(image, -3, -2)


def _maybe(function, image, seed):
    image = ops.convert_to_tensor(image)
    return ops.where(_random.uniform((), seed=seed) < 0.5, function(image), image)


def random_flip_left_right(image, seed=None):
    """Mirrored half of the time."""
    return _maybe(flip_left_right, image, seed)


def random_flip_up_down(image, seed=None):
    """Upside down half of the time."""
    return _maybe(flip_up_down, image, seed)


def _in_float(image, function):
    """The function on floats; whole numbers are brought back to their dtype and range."""
    image = ops.convert_to_tensor(image)
    if as_dtype(image.dtype).is_floating:
        return function(image)
    return convert_image_dtype(function(convert_image_dtype(image, "float32")), image.dtype, saturate=True)


def adjust_brightness(image, delta):
    """A number added to all pixels (of the range 0 to 1)."""
    return _in_float(image, lambda x: x + delta)


def adjust_contrast(images, contrast_factor):
    """(x - mean) factor + mean, the mean by channel."""

    def adjust(x):
        mean = ops.mean(x, axis=(-3, -2), keepdims=True)
        return (x - mean) * contrast_factor + mean

    return _in_float(images, adjust)


def random_brightness(image, max_delta, seed=None):
    """`adjust_brightness` by a number drawn from ±max_delta."""
    return adjust_brightness(image, _random.uniform((), -max_delta, max_delta, seed=seed))


def random_contrast(image, lower, upper, seed=None):
    """`adjust_contrast` by a factor drawn from [lower, upper)."""
    return adjust_contrast(image, _random.uniform((), lower, upper, seed=seed))


def rgb_to_grayscale(images, name=None):
    """One channel of 0.2989 red + 0.587 green + 0.114 blue."""
    return _in_float(
        images,
        lambda x: ops.sum(x * ops.convert_to_tensor([0.2989, 0.587, 0.114], x.dtype), axis=-1, keepdims=True),
    )


def grayscale_to_rgb(images, name=None):
    """Three equal channels."""
    return ops.repeat(images, 3, axis=-1)


def per_image_standardization(image):
    """(x - mean) / max(std, 1/√n), by image."""
    x = ops.cast(image, "float32")
    axes = (-3, -2, -1)
    n = x.shape[-1] * x.shape[-2] * x.shape[-3]
    spread = ops.maximum(ops.std(x, axis=axes, keepdims=True), n**-0.5)
    return (x - ops.mean(x, axis=axes, keepdims=True)) / spread


def crop_to_bounding_box(image, offset_height, offset_width, target_height, target_width):
    """A part of the image."""
    image = ops.convert_to_tensor(image)
    return image[
        ..., offset_height : offset_height + target_height, offset_width : offset_width + target_width, :
    ]


def pad_to_bounding_box(image, offset_height, offset_width, target_height, target_width):
    """The image on a larger one of zeros."""
    image = ops.convert_to_tensor(image)
    h, w = image.shape[-3], image.shape[-2]
    margins = [(0, 0)] * (image.ndim - 3) + [
        (offset_height, target_height - offset_height - h), (offset_width, target_width - offset_width - w), (0, 0),
    ]  # fmt: skip
    return ops.pad(image, margins)


def resize_with_crop_or_pad(image, target_height, target_width):
    """The middle of the image, or the image in the middle of zeros."""
    image = ops.convert_to_tensor(image)
    for axis, want in ((-3, int(target_height)), (-2, int(target_width))):
        have = image.shape[axis]
        if have > want:
            start = (have - want) // 2
            image = ops.take(image, ops.arange(start, start + want), axis=axis)
        elif have < want:
            margins = [(0, 0)] * image.ndim
            margins[axis] = ((want - have) // 2, want - have - (want - have) // 2)
            image = ops.pad(image, margins)
    return image


def random_crop(value, size, seed=None, name=None):
    """A part of the given shape from a random place."""
    value = ops.convert_to_tensor(value)
    size = [int(s) for s in size]
    starts = [
        _random.randint((), 0, have - want + 1, seed=seed)
        if have > want
        else ops.convert_to_tensor(0, "int32")
        for have, want in zip(value.shape, size, strict=True)
    ]
    return ops.slice(value, ops.stack(starts), size)


def central_crop(image, central_fraction):
    """The middle part of the image."""
    image = ops.convert_to_tensor(image)
    h, w = image.shape[-3], image.shape[-2]
    top, left = int((h - h * central_fraction) / 2), int((w - w * central_fraction) / 2)
    return crop_to_bounding_box(image, top, left, h - 2 * top, w - 2 * left)


def __getattr__(name):
    from rkeras.tf.hints import absent

    raise absent("tf.image", name)
