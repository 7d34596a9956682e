"""Pieces of clothing: 70,000 grey images of 28 x 28."""

from rkeras.datasets._files import HOST


def load_data():
    """The Fashion-MNIST images.

    Returns:
        ((x_train, y_train), (x_test, y_test)): uint8 images (60000, 28, 28) and (10000, 28, 28), uint8 labels 0 to 9.

    Source: Xiao, Rasul and Vollgraf, Fashion-MNIST (2017), arXiv:1708.07747.
    """
    from rkeras.utils.download import get_file

    def read(name, header):
        import gzip

        import numpy as np

        path = get_file(name, origin=HOST + name, cache_subdir="datasets/fashion-mnist")
        with gzip.open(path) as f:
            return np.frombuffer(f.read(), np.uint8, offset=header).copy()

    parts = []
    for part in ("train", "t10k"):
        labels = read(f"{part}-labels-idx1-ubyte.gz", 8)
        parts.append((read(f"{part}-images-idx3-ubyte.gz", 16).reshape(len(labels), 28, 28), labels))
    return tuple(parts)
