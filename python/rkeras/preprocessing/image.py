"""Pictures as arrays and files; see `rkeras.utils`."""

from rkeras.utils.images import array_to_img as array_to_img
from rkeras.utils.images import img_to_array as img_to_array
from rkeras.utils.images import load_img as load_img
from rkeras.utils.images import save_img as save_img
from rkeras.utils.images import smart_resize as smart_resize


def __getattr__(name):
    if name == "ImageDataGenerator":
        raise AttributeError(
            "module 'keras.preprocessing.image': expected a name of Keras 3. Received: 'ImageDataGenerator', which is absent. "
            "Hint: keras.utils.image_dataset_from_directory, and layers such as RandomFlip"
        )
    raise AttributeError(f"module 'rkeras.preprocessing.image' has no attribute {name!r}")
