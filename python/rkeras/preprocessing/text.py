"""Words as numbers, as in tf.keras 2; new programs use the layer TextVectorization."""

from collections import OrderedDict

_FILTERS = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'


def text_to_word_sequence(text, filters=_FILTERS, lower=True, split=" "):
    """The words of a text.

    Example:
        >>> keras.preprocessing.text.text_to_word_sequence("Well, well!")
        ['well', 'well']
    """
    if lower:
        text = text.lower()
    return [w for w in text.translate({ord(c): split for c in filters}).split(split) if w]


def hashing_trick(text, n, hash_function=None, filters=_FILTERS, lower=True, split=" ", analyzer=None):
    """The words of a text as numbers from 1 to n - 1, by a hash of each.

    Args:
        hash_function: a function of a word; "md5" for one that is the same in every process; Python's `hash` if None.
    """
    if hash_function is None:
        hash_function = hash
    elif hash_function == "md5":
        import hashlib

        hash_function = lambda w: int(hashlib.md5(w.encode()).hexdigest(), 16)
    words = text_to_word_sequence(text, filters, lower, split) if analyzer is None else analyzer(text)
    return [hash_function(w) % (n - 1) + 1 for w in words]


def one_hot(input_text, n, filters=_FILTERS, lower=True, split=" ", analyzer=None):
    """The same as `hashing_trick` with Python's `hash`."""
    return hashing_trick(input_text, n, hash, filters, lower, split, analyzer)


class Tokenizer:
    """Numbers words by how often they occur; the most frequent is 1.

    Args:
        num_words: only numbers below this come out; None for all.
        filters: characters that count as blanks.
        lower: in small letters first.
        split: what separates words.
        char_level: every character is a word.
        oov_token: what stands for words not seen before, with number 1.
        analyzer: a function that splits a text into words, instead.

    Example:
        >>> t = keras.preprocessing.text.Tokenizer()
        >>> t.fit_on_texts(["a b a", "b a c"])
        >>> t.texts_to_sequences(["c a d"])
        [[3, 1]]
    """

    def __init__(
        self, num_words=None, filters=_FILTERS, lower=True, split=" ", char_level=False, oov_token=None, analyzer=None, **kwargs
    ):  # fmt: skip
        if kwargs.pop("document_count", None) is not None or kwargs:
            raise TypeError(f"Tokenizer: expected arguments that it knows. Received: {list(kwargs)}")
        self.num_words, self.filters, self.lower, self.split = num_words, filters, lower, split
        self.char_level, self.oov_token, self.analyzer = char_level, oov_token, analyzer
        self.word_counts, self.word_docs = OrderedDict(), {}
        self.word_index, self.index_word, self.index_docs = {}, {}, {}
        self.document_count = 0

    def _words(self, text):
        if self.char_level or isinstance(text, list):
            return [w.lower() for w in text] if self.lower else list(text)
        if self.analyzer is not None:
            return self.analyzer(text)
        return text_to_word_sequence(text, self.filters, self.lower, self.split)

    def fit_on_texts(self, texts):
        """Counts the words of texts (or of lists of words) and numbers them."""
        for text in texts:
            self.document_count += 1
            words = self._words(text)
            for w in words:
                self.word_counts[w] = self.word_counts.get(w, 0) + 1
            for w in set(words):
                self.word_docs[w] = self.word_docs.get(w, 0) + 1
        ranked = sorted(self.word_counts, key=self.word_counts.__getitem__, reverse=True)
        known = ranked if self.oov_token is None else [self.oov_token, *ranked]
        self.word_index = {w: i + 1 for i, w in enumerate(known)}
        self.index_word = {i: w for w, i in self.word_index.items()}
        self.index_docs = {self.word_index[w]: n for w, n in self.word_docs.items()}

    def texts_to_sequences(self, texts):
        """Texts as lists of numbers; words not known are left out, or have the number of `oov_token`."""
        return list(self.texts_to_sequences_generator(texts))

    def texts_to_sequences_generator(self, texts):
        """The same, one by one."""
        oov = self.word_index.get(self.oov_token)
        for text in texts:
            numbers = [self.word_index.get(w, oov) for w in self._words(text)]
            if self.num_words:
                numbers = [oov if i is not None and i >= self.num_words else i for i in numbers]
            yield [i for i in numbers if i is not None]

    def sequences_to_texts(self, sequences):
        """Lists of numbers as texts."""
        out = []
        for sequence in sequences:
            words = [self.index_word.get(i, self.oov_token) for i in sequence]
            if self.num_words:
                words = [
                    self.oov_token if i >= self.num_words else w for i, w in zip(sequence, words, strict=True)
                ]
            out.append(" ".join(w for w in words if w is not None))
        return out

    def texts_to_matrix(self, texts, mode="binary"):
        """Texts as rows with a column per number; see `sequences_to_matrix`."""
        return self.sequences_to_matrix(self.texts_to_sequences(texts), mode=mode)

    def sequences_to_matrix(self, sequences, mode="binary"):
        """Lists of numbers as rows with a column per number.

        Args:
            mode: "binary" (occurs?), "count", "freq" (part of the text), "tfidf".
        """
        import math

        import numpy as np

        if mode not in ("binary", "count", "freq", "tfidf"):
            raise ValueError(
                f'Tokenizer: expected mode "binary", "count", "freq" or "tfidf". Received: {mode!r}'
            )
        columns = self.num_words or len(self.word_index) + 1
        out = np.zeros((len(sequences), columns))
        for row, sequence in zip(out, sequences, strict=True):
            for i in sequence:
                if i < columns:
                    row[i] += 1
            if mode == "binary":
                row[:] = row > 0
            elif mode == "freq" and len(sequence):
                row /= len(sequence)
            elif mode == "tfidf":
                for i in np.nonzero(row)[0]:
                    rare = math.log(1 + self.document_count / (1 + self.index_docs.get(int(i), 0)))
                    row[i] = (1 + math.log(row[i])) * rare
        return out

    def get_config(self):
        """The state as plain data; counts and indices as JSON."""
        import json

        return {
            "num_words": self.num_words, "filters": self.filters, "lower": self.lower, "split": self.split,
            "char_level": self.char_level, "oov_token": self.oov_token, "document_count": self.document_count,
            "word_counts": json.dumps(self.word_counts), "word_docs": json.dumps(self.word_docs),
            "index_docs": json.dumps(self.index_docs), "index_word": json.dumps(self.index_word),
            "word_index": json.dumps(self.word_index),
        }  # fmt: skip

    def to_json(self, **kwargs):
        """The state as JSON."""
        import json

        return json.dumps({"class_name": "Tokenizer", "config": self.get_config()}, **kwargs)


def tokenizer_from_json(json_string):
    """The tokenizer of `to_json`."""
    import json

    config = json.loads(json_string)["config"]
    parts = {
        k: json.loads(config.pop(k))
        for k in ("word_counts", "word_docs", "index_docs", "index_word", "word_index")
    }
    count = config.pop("document_count")
    tokenizer = Tokenizer(**config)
    tokenizer.document_count = count
    tokenizer.word_counts, tokenizer.word_docs = OrderedDict(parts["word_counts"]), parts["word_docs"]
    tokenizer.word_index = parts["word_index"]
    tokenizer.index_word = {int(k): v for k, v in parts["index_word"].items()}
    tokenizer.index_docs = {int(k): v for k, v in parts["index_docs"].items()}
    return tokenizer
