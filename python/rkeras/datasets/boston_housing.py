"""House prices in Boston: 506 rows of 13 numbers."""

from rkeras.datasets._files import HOST, arrays, locate, split


def load_data(path="boston_housing.npz", test_split=0.2, seed=113):
    """The Boston house prices. One column encodes a racist assumption: use it to study that, not to model prices.

    Args:
        path: a file that exists, used as it is; else the name under which the download is kept.
        test_split: the share of the test part.
        seed: of the order of rows.

    Returns:
        ((x_train, y_train), (x_test, y_test)): float64 rows of 13 numbers, prices in 1000 dollars.

    Source: Harrison and Rubinfeld (1978).
    """
    sha256 = "f553886a1f8d56431e820c5b82552d9d95cfcb96d1e678153f8839538947dff5"
    x, y = arrays(locate(path, HOST + "boston_housing.npz", sha256), ("x", "y"))
    return split(x, y, test_split, seed)
