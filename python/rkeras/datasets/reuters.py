"""News in 46 topics: 11,228 lists of word numbers."""

from rkeras.datasets._files import HOST, locate, object_arrays, split
from rkeras.datasets._text import at_most, choose, mark, ragged, word_index

_TOPICS = [
    "cocoa",
    "grain",
    "veg-oil",
    "earn",
    "acq",
    "wheat",
    "copper",
    "housing",
    "money-supply",
    "coffee",
    "sugar",
    "trade",
    "reserves",
    "ship",
    "cotton",
    "carcass",
    "crude",
    "nat-gas",
    "cpi",
    "money-fx",
    "interest",
    "gnp",
    "meal-feed",
    "alum",
    "oilseed",
    "gold",
    "tin",
    "strategic-metal",
    "livestock",
    "retail",
    "ipi",
    "iron-steel",
    "rubber",
    "heat",
    "jobs",
    "lei",
    "bop",
    "zinc",
    "orange",
    "pet-chem",
    "dlr",
    "gas",
    "silver",
    "wpi",
    "hog",
    "lead",
]


def load_data(
    path="reuters.npz", num_words=None, skip_top=0, maxlen=None, test_split=0.2, seed=113, start_char=1, oov_char=2,
    index_from=3,
):  # fmt: skip
    """The Reuters news; words are numbered by how common they are.

    Args:
        path, num_words, skip_top, maxlen, seed, start_char, oov_char, index_from: see `imdb.load_data`.
        test_split: the share of the test part.

    Returns:
        ((x_train, y_train), (x_test, y_test)): arrays of lists, labels 0 to 45.

    Source: Lewis, Reuters-21578.
    """
    import numpy as np

    sha256 = "d6586e694ee56d7a4e65172e12b3e987c03096cb01eab99753921ef915959916"
    x, y = object_arrays(locate(path, HOST + "reuters.npz", sha256), ("x", "y"))
    (first, first_y), (second, second_y) = split(x, y, 0.0, seed)
    xs, ys = mark([*first, *second], start_char, index_from), [*first_y, *second_y]
    if maxlen:
        xs, ys = at_most(maxlen, xs, ys)
    xs = choose(xs, num_words, skip_top, oov_char)
    n = int(len(xs) * (1 - test_split))
    return (ragged(xs[:n]), np.array(ys[:n])), (ragged(xs[n:]), np.array(ys[n:]))


def get_word_index(path="reuters_word_index.json"):
    """A dict of word to number (before index_from is added)."""
    return word_index(path, HOST + "reuters_word_index.json", "4d44cc38712099c9e383dc6e5f11a921")


def get_label_names():
    """The names of the 46 topics."""
    return tuple(_TOPICS)
