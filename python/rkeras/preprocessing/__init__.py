"""Names of Keras 2 for what `rkeras.utils` does."""

from rkeras.preprocessing import image as image
from rkeras.preprocessing import sequence as sequence
from rkeras.preprocessing import text as text
from rkeras.utils.directories import image_dataset_from_directory as image_dataset_from_directory
from rkeras.utils.directories import text_dataset_from_directory as text_dataset_from_directory
from rkeras.utils.timeseries import timeseries_dataset_from_array as timeseries_dataset_from_array
