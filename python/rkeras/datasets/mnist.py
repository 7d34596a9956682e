"""Handwritten digits: 70,000 grey images of 28 x 28."""

from rkeras.datasets._files import HOST, arrays, locate


def load_data(path="mnist.npz"):
    """The MNIST digits.

    Args:
        path: a file that exists, used as it is; else the name under which the download is kept.

    Returns:
        ((x_train, y_train), (x_test, y_test)): uint8 images (60000, 28, 28) and (10000, 28, 28), uint8 labels 0 to 9.

    Source: LeCun, Cortes and Burges.
    """
    sha256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
    file = locate(path, HOST + "mnist.npz", sha256)
    x_train, y_train, x_test, y_test = arrays(file, ("x_train", "y_train", "x_test", "y_test"))
    return (x_train, y_train), (x_test, y_test)
