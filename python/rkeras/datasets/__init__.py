"""Data sets for first steps: downloaded once, or read from a file of one's own."""


def __getattr__(name):
    names = [
        "boston_housing",
        "california_housing",
        "cifar10",
        "cifar100",
        "fashion_mnist",
        "imdb",
        "mnist",
        "reuters",
    ]
    if name in names:
        import importlib

        return importlib.import_module(f"rkeras.datasets.{name}")
    raise AttributeError(f"module 'rkeras.datasets' has no attribute {name!r}")


def __dir__():
    return [
        "boston_housing",
        "california_housing",
        "cifar10",
        "cifar100",
        "fashion_mnist",
        "imdb",
        "mnist",
        "reuters",
    ]
