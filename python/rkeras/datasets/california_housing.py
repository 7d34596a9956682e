"""House prices in California: 20,640 rows of 8 numbers."""

from rkeras.datasets._files import HOST, arrays, locate, split

_SMALL_ROWS = 600


def load_data(version="large", path="california_housing.npz", test_split=0.2, seed=113):
    """The California house prices.

    Args:
        version: "large", or "small" for the first 600 rows.
        path: a file that exists, used as it is; else the name under which the download is kept.
        test_split: the share of the test part.
        seed: of the order of rows.

    Returns:
        ((x_train, y_train), (x_test, y_test)): float32 rows of 8 numbers, prices in dollars.

    Raises:
        ValueError: for another version.

    Source: Pace and Barry, Sparse Spatial Autoregressions (1997).
    """
    if version not in ("large", "small"):
        raise ValueError(
            f'california_housing.load_data: expected version "large" or "small". Received: {version!r}'
        )
    sha256 = "1a2e3a52e0398de6463aebe6f4a8da34fb21fbb6b934cf88c3425e766f2a1a6f"
    x, y = arrays(locate(path, HOST + "california_housing.npz", sha256), ("x", "y"))
    if version == "small":
        x, y = x[:_SMALL_ROWS], y[:_SMALL_ROWS]
    return split(x, y, test_split, seed)
