"""Small photographs: 60,000 of 32 x 32 in 10 classes."""

from rkeras.datasets._cifar import load


def load_data():
    """The CIFAR-10 images.

    Returns:
        ((x_train, y_train), (x_test, y_test)): uint8 images (50000, 32, 32, 3) and (10000, 32, 32, 3), labels 0 to 9 of
        shape (rows, 1): airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck.

    Source: Krizhevsky, Learning Multiple Layers of Features from Tiny Images (2009).
    """
    sha256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
    files = [f"data_batch_{i}" for i in range(1, 6)]
    (x, y), (xt, yt) = load(
        "cifar-10-python.tar.gz", sha256, "cifar-10-batches-py", files, ["test_batch"], b"labels"
    )
    return (x, y.astype("uint8")), (xt, yt)
