"""Data sets from folders of files, a folder per class."""

import os

import numpy as np

from rkeras._core import settings
from rkeras.utils import images

_PICTURES = (".bmp", ".gif", ".jpeg", ".jpg", ".png")


def _check(who, labels, label_mode, class_names, validation_split, subset, shuffle, seed, format):
    if format != "tf":
        raise ValueError(f'{who}: expected format "tf". Received: {format!r}')
    if labels not in ("inferred", None) and not isinstance(labels, (list, tuple)):
        raise ValueError(
            f'{who}: expected labels "inferred", None or a list of integers. Received: {labels!r}'
        )
    if class_names and labels != "inferred":
        raise ValueError(
            f'{who}: expected class_names only beside labels="inferred". Received: labels={labels!r}'
        )
    if label_mode not in ("int", "categorical", "binary", None):
        raise ValueError(
            f'{who}: expected label_mode "int", "categorical", "binary" or None. Received: {label_mode!r}'
        )
    if validation_split and not 0 < validation_split < 1:
        raise ValueError(f"{who}: expected a validation_split between 0 and 1. Received: {validation_split}")
    if bool(validation_split) != bool(subset):
        raise ValueError(f"{who}: expected subset and validation_split together. Received: one of them")
    if subset not in ("training", "validation", "both", None):
        raise ValueError(f'{who}: expected subset "training", "validation" or "both". Received: {subset!r}')
    if validation_split and shuffle and seed is None:
        raise ValueError(
            f"{who}: expected a seed beside validation_split and shuffle. Received: None. Hint: without one both parts might share files"
        )


def _files(folder, endings, follow_links):
    for root, _, names in sorted(os.walk(folder, followlinks=follow_links)):
        for name in sorted(names):
            if name.lower().endswith(endings):
                yield os.path.join(root, name)


def _index(who, directory, labels, endings, class_names, shuffle, seed, follow_links, verbose):
    """(paths, class numbers or None, names of classes or None)."""
    directory = os.fspath(directory)
    if labels == "inferred":
        found = sorted(
            d
            for d in os.listdir(directory)
            if os.path.isdir(os.path.join(directory, d)) and not d.startswith(".")
        )
        if class_names is not None and not set(class_names) <= set(found):
            raise ValueError(
                f"{who}: expected class_names among the folders {found}. Received: {class_names}"
            )
        class_names = found if class_names is None else list(class_names)
        pairs = [
            (path, i)
            for i, name in enumerate(class_names)
            for path in _files(os.path.join(directory, name), endings, follow_links)
        ]
        paths, numbers = [p for p, _ in pairs], np.array([n for _, n in pairs], "int32")
    else:
        paths, numbers, class_names = list(_files(directory, endings, follow_links)), None, None
        if labels is not None:
            if len(labels) != len(paths):
                raise ValueError(
                    f"{who}: expected {len(paths)} labels, one per file. Received: {len(labels)}"
                )
            numbers, class_names = np.array(labels), [str(v) for v in sorted(set(labels))]
    if verbose:
        ending = "." if class_names is None else f" belonging to {len(class_names)} classes."
        print(f"Found {len(paths)} files{ending}")
    if shuffle:
        # Keras's own generator and order, so that the same seed parts files in the same way.
        order = np.arange(len(paths))
        np.random.RandomState(np.random.randint(10**6) if seed is None else seed).shuffle(order)
        paths = [paths[i] for i in order]
        numbers = None if numbers is None else numbers[order]
    return paths, numbers, class_names


def _encode(numbers, label_mode, classes):
    if label_mode == "binary":
        return numbers.astype("float32")[:, None]
    if label_mode == "categorical":
        return np.eye(classes, dtype="float32")[numbers]
    return numbers


def _dataset(paths, numbers, label_mode, classes, load, shuffle, seed, batch_size):
    from rkeras.tf.data import Dataset  # upward on purpose: data sets are those of `rkeras.tf`

    order = Dataset.range(len(paths))
    if shuffle:
        order = order.shuffle(1024 if batch_size is None else batch_size * 8, seed=seed)
    targets = None if numbers is None else _encode(numbers, label_mode, classes)

    def elements():
        for i in order.as_numpy_iterator():
            yield load(paths[i]) if targets is None else (load(paths[i]), np.asarray(targets[i]))

    found = Dataset(elements, len(paths))
    return found if batch_size is None else found.batch(batch_size)


def _from_directory(
    who, what, directory, labels, label_mode, class_names, batch_size, shuffle, seed, validation_split, subset, follow_links,
    format, verbose, endings, load,
):  # fmt: skip
    _check(who, labels, label_mode, class_names, validation_split, subset, shuffle, seed, format)
    if labels is None or label_mode is None:
        labels = label_mode = None
    if seed is None:
        seed = int(np.random.randint(10**6))
    paths, numbers, class_names = _index(
        who, directory, labels, endings, class_names, shuffle, seed, follow_links, verbose
    )
    if label_mode == "binary" and len(class_names) != 2:
        raise ValueError(f'{who}: expected 2 classes with label_mode="binary". Received: {class_names}')

    def part(which):
        chosen = slice(None)
        if which is not None:
            held = int(validation_split * len(paths))
            chosen = slice(None, len(paths) - held) if which == "training" else slice(len(paths) - held, None)
        mine, theirs = paths[chosen], None if numbers is None else numbers[chosen]
        if not mine:
            raise ValueError(
                f"{who}: expected {what} in {directory}. Received: none. Hint: endings {endings}"
            )
        if which is not None and verbose:
            print(f"Using {len(mine)} files for {which}.")
        found = _dataset(
            mine,
            theirs,
            label_mode,
            len(class_names or ()),
            load,
            shuffle and which != "validation",
            seed,
            batch_size,
        )
        found.class_names, found.file_paths = class_names, mine
        return found

    return [part("training"), part("validation")] if subset == "both" else part(subset)


def image_dataset_from_directory(
    directory, labels="inferred", label_mode="int", class_names=None, color_mode="rgb", batch_size=32, image_size=(256, 256),
    shuffle=True, seed=None, validation_split=None, subset=None, interpolation="bilinear", follow_links=False,
    crop_to_aspect_ratio=False, pad_to_aspect_ratio=False, data_format=None, format="tf", verbose=True,
):  # fmt: skip
    """A data set of pictures and their classes, from a folder with a folder per class (needs Pillow).

    Args:
        directory: the folder.
        labels: "inferred" from the folders, None, or a list of a number per file in the order of their paths.
        label_mode: "int", "categorical" (rows with a one), "binary" (0.0 or 1.0), None.
        class_names: the folders in the order of class numbers; sorted if None.
        color_mode: "grayscale", "rgb" or "rgba".
        batch_size: pictures per batch; None for single pictures.
        image_size: (height, width) of all pictures.
        shuffle, seed: whether they come in random order.
        validation_split, subset: the fraction held back, and which part is wanted: "training", "validation" or "both".
        interpolation: "bilinear" or "nearest".
        follow_links: whether folders behind links count.
        crop_to_aspect_ratio: cut the middle out before resizing, so that nothing is distorted.
        pad_to_aspect_ratio: add black margins instead.
        data_format: "channels_last" or "channels_first".
        format: "tf".
        verbose: print how many files there are.

    Returns:
        A `tf.data.Dataset` of float32 pictures, or of (pictures, labels), with attributes `class_names` and `file_paths`;
        two of them for subset="both".

    Raises:
        ValueError: for arguments that do not fit each other, or a folder without pictures.
    """
    who = "image_dataset_from_directory"
    images._pillow(who)
    if interpolation not in ("bilinear", "nearest"):
        raise ValueError(
            f'{who}: expected interpolation "bilinear" or "nearest". Received: {interpolation!r}'
        )
    if color_mode not in images._CHANNELS:
        raise ValueError(f'{who}: expected color_mode "grayscale", "rgb" or "rgba". Received: {color_mode!r}')
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise ValueError(f"{who}: expected crop_to_aspect_ratio or pad_to_aspect_ratio. Received: both")
    first = settings.standardize_data_format(data_format) == "channels_first"
    size = tuple(int(s) for s in image_size)

    def load(path):
        x = images.img_to_array(images.load_img(path, color_mode), "channels_last", "float32")
        if crop_to_aspect_ratio:
            x = images.middle(x, size)
        elif pad_to_aspect_ratio:
            x = _with_margins(x, size)
        x = images.resize(x, size, interpolation)
        return x.transpose(2, 0, 1) if first else x

    return _from_directory(
        who, "pictures", directory, labels, label_mode, class_names, batch_size, shuffle, seed, validation_split, subset,
        follow_links, format, verbose, _PICTURES, load,
    )  # fmt: skip


def _with_margins(x, size):
    """The picture in the middle of a black one with the proportions of a size."""
    height, width = x.shape[0], x.shape[1]
    h, w = max(height, width * size[0] // size[1]), max(width, height * size[1] // size[0])
    out = np.zeros((h, w, x.shape[2]), x.dtype)
    top, left = (h - height) // 2, (w - width) // 2
    out[top : top + height, left : left + width] = x
    return out


def text_dataset_from_directory(
    directory, labels="inferred", label_mode="int", class_names=None, batch_size=32, max_length=None, shuffle=True, seed=None,
    validation_split=None, subset=None, follow_links=False, format="tf", verbose=True,
):  # fmt: skip
    """A data set of texts and their classes, from a folder with a folder of .txt files per class.

    Args:
        max_length: bytes of each text that are kept; all if None.
        Others: as in `image_dataset_from_directory`.

    Returns:
        A `tf.data.Dataset` of texts, or of (texts, labels), with the attribute `class_names`.
    """

    def load(path):
        from rkeras.tf.text import StringTensor

        with open(path, "rb") as file:
            return StringTensor(file.read() if max_length is None else file.read(max_length))

    return _from_directory(
        "text_dataset_from_directory", "texts", directory, labels, label_mode, class_names, batch_size, shuffle, seed,
        validation_split, subset, follow_links, format, verbose, (".txt",), load,
    )  # fmt: skip
