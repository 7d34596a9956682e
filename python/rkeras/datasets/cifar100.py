"""Small photographs: 60,000 of 32 x 32 in 100 classes."""

from rkeras.datasets._cifar import load


def load_data(label_mode="fine"):
    """The CIFAR-100 images.

    Args:
        label_mode: "fine" for 100 classes, "coarse" for the 20 groups of them.

    Returns:
        ((x_train, y_train), (x_test, y_test)): uint8 images (50000, 32, 32, 3) and (10000, 32, 32, 3), labels of shape
        (rows, 1).

    Raises:
        ValueError: for another label_mode.

    Source: Krizhevsky, Learning Multiple Layers of Features from Tiny Images (2009).
    """
    if label_mode not in ("fine", "coarse"):
        raise ValueError(
            f'cifar100.load_data: expected label_mode "fine" or "coarse". Received: {label_mode!r}'
        )
    sha256 = "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7"
    key = f"{label_mode}_labels".encode()
    return load("cifar-100-python.tar.gz", sha256, "cifar-100-python", ["train"], ["test"], key)
