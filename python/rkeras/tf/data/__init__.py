"""Data sets (`tf.data`)."""

from rkeras.tf.data.dataset import AUTOTUNE as AUTOTUNE
from rkeras.tf.data.dataset import INFINITE_CARDINALITY as INFINITE_CARDINALITY
from rkeras.tf.data.dataset import UNKNOWN_CARDINALITY as UNKNOWN_CARDINALITY
from rkeras.tf.data.dataset import Dataset as Dataset
from rkeras.tf.data.dataset import Options as Options
from rkeras.tf.data.sources import TextLineDataset as TextLineDataset


class experimental:
    """Names that were experimental in TensorFlow."""

    AUTOTUNE = AUTOTUNE
    UNKNOWN_CARDINALITY = UNKNOWN_CARDINALITY
    INFINITE_CARDINALITY = INFINITE_CARDINALITY

    @staticmethod
    def cardinality(dataset):
        """The number of elements; see `Dataset.cardinality`."""
        return dataset.cardinality()

    @staticmethod
    def assert_cardinality(expected_cardinality):
        """A function for `Dataset.apply` that says how many elements there are."""
        return lambda dataset: dataset._with_cardinality(int(expected_cardinality))


def __getattr__(name):
    from rkeras.tf.hints import absent

    raise absent("tf.data", name)
