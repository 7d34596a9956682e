"""Film reviews, for or against: 50,000 lists of word numbers."""

from rkeras.datasets._files import HOST, locate, object_arrays
from rkeras.datasets._text import at_most, choose, mark, ragged, word_index


def load_data(
    path="imdb.npz", num_words=None, skip_top=0, maxlen=None, seed=113, start_char=1, oov_char=2, index_from=3, **kwargs
):  # fmt: skip
    """The IMDB reviews; words are numbered by how common they are.

    Args:
        path: a file that exists, used as it is; else the name under which the download is kept.
        num_words: words of this number and above are replaced by oov_char; all are kept if None.
        skip_top: words below this number are replaced as well.
        maxlen: reviews of this length and above are left out.
        seed: of the order of reviews.
        start_char: the mark at the start of a review, None for none.
        oov_char: the mark of a replaced word; None drops it.
        index_from: what is added to the numbers, to make room for marks.

    Returns:
        ((x_train, y_train), (x_test, y_test)): arrays of lists, labels 0 and 1; 25,000 reviews each.

    Source: Maas et al., Learning Word Vectors for Sentiment Analysis (2011).
    """
    import numpy as np

    if kwargs:
        raise TypeError(f"imdb.load_data: expected arguments that it knows. Received: {list(kwargs)}")
    sha256 = "69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f"
    x_train, y_train, x_test, y_test = object_arrays(
        locate(path, HOST + "imdb.npz", sha256), ("x_train", "y_train", "x_test", "y_test")
    )
    random = np.random.RandomState(seed)
    parts = []
    for x, y in ((x_train, y_train), (x_test, y_test)):
        order = np.arange(len(x))
        random.shuffle(order)
        parts.append((x[order], y[order]))
    (x_train, y_train), (x_test, y_test) = parts
    n = len(x_train)
    xs = mark([*x_train, *x_test], start_char, index_from)
    ys = [*y_train, *y_test]
    if maxlen:
        first, first_y = at_most(maxlen, xs[:n], ys[:n])
        second, second_y = at_most(maxlen, xs[n:], ys[n:])
        xs, ys, n = first + second, first_y + second_y, len(first)
    xs = choose(xs, num_words, skip_top, oov_char)
    return (ragged(xs[:n]), np.array(ys[:n])), (ragged(xs[n:]), np.array(ys[n:]))


def get_word_index(path="imdb_word_index.json"):
    """A dict of word to number (before index_from is added)."""
    return word_index(path, HOST + "imdb_word_index.json", "bfafd718b763782e994055a2d397834f")
