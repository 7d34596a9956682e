"""Reviews and news as lists of word numbers: what IMDB and Reuters share."""


def mark(sequences, start_char, index_from):
    """Word numbers moved up by index_from, with the start mark in front."""
    if start_char is not None:
        return [[start_char] + [w + index_from for w in words] for words in sequences]
    if index_from:
        return [[w + index_from for w in words] for words in sequences]
    return [list(words) for words in sequences]


def choose(sequences, num_words, skip_top, oov_char):
    """Words from skip_top to num_words; others become oov_char, or are dropped if that is None."""
    if not num_words:
        num_words = max(max(words) for words in sequences)
    if oov_char is not None:
        return [[w if skip_top <= w < num_words else oov_char for w in words] for words in sequences]
    return [[w for w in words if skip_top <= w < num_words] for words in sequences]


def at_most(maxlen, sequences, labels):
    """The sequences shorter than maxlen, with their labels."""
    kept = [(s, y) for s, y in zip(sequences, labels, strict=True) if len(s) < maxlen]
    if not kept:
        raise ValueError(f"load_data: expected maxlen to leave some sequences. Received: maxlen={maxlen}")
    return [s for s, _ in kept], [y for _, y in kept]


def ragged(sequences):
    """An array of lists."""
    import numpy as np

    out = np.empty(len(sequences), dtype=object)
    for i, s in enumerate(sequences):
        out[i] = s
    return out


def word_index(path, origin, file_hash):
    """A dict of word to number."""
    import json

    from rkeras.datasets._files import locate

    with open(locate(path, origin, file_hash), encoding="utf-8") as f:
        return json.load(f)
