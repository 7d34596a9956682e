"""The `.keras` archive: a zip of config.json, metadata.json and model.weights.h5."""

import os

from rkeras._core import registry
from rkeras.saving.files import UnsafeFileError, may_write, replace_file
from rkeras.saving.weights import open_file, read_state, state_bytes

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
# The version of Keras whose format this is.
FORMAT_VERSION = "3.15.1"
_MAX_CONFIG_BYTES = 64 << 20
_MAX_MEMBERS = 10_000
# Optimizers keep a few numbers per weight; this many bytes per weight bound them all.
_MAX_BYTES_PER_WEIGHT = 64
_WEIGHTS_SLACK = 64 << 20


class Archive:
    """A `.keras` file open for reading; what it says about sizes is not believed but checked.

    Args:
        path: the file.

    Raises:
        ValueError: if it is no such archive, or a damaged one.
    """

    def __init__(self, path):
        import zipfile

        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
            if isinstance(error, FileNotFoundError):
                raise
            raise ValueError(
                f"load_model: expected a .keras archive. Received: {path!r}, which is none ({error})"
            ) from error
        names = self._zip.namelist()
        if len(names) > _MAX_MEMBERS or len(set(names)) != len(names):
            self.close()
            raise UnsafeFileError(
                f"load_model: expected at most {_MAX_MEMBERS} files, each once. Received: {len(names)} in {path!r}"
            )

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        """Closes the file."""
        self._zip.close()

    def read(self, name, limit):
        """The bytes of one file of the archive, at most `limit`."""
        import zlib
        from zipfile import BadZipFile

        try:
            info = self._zip.getinfo(name)
        except KeyError:
            raise ValueError(
                f"load_model: expected {name!r} in the archive {self.path!r}. Received: {self._zip.namelist()[:20]}"
            ) from None
        try:
            with self._zip.open(info) as f:
                # One byte more than allowed tells whether there is more.
                data = f.read(limit + 1) if info.file_size <= limit else None
        except (BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
            raise ValueError(
                f"load_model: expected a sound {name!r}. Received: a damaged one ({error})"
            ) from error
        if data is None or len(data) > limit:
            raise UnsafeFileError(
                f"load_model: expected at most {limit} bytes in {name!r}. Received: {info.file_size}. It was not read."
            )
        return data

    def json(self, name):
        """The content of a JSON file of the archive."""
        import json

        try:
            return json.loads(self.read(name, _MAX_CONFIG_BYTES))
        except (UnicodeDecodeError, RecursionError, json.JSONDecodeError) as error:
            raise ValueError(
                f"load_model: expected JSON in {name!r}. Received: something else ({error})"
            ) from error

    def weights(self, model):
        """The weights as an open binary file; at most what this model and an optimizer for it can hold."""
        import io

        elements = sum(v.size for v in model.variables)
        return io.BytesIO(self.read(WEIGHTS, _MAX_BYTES_PER_WEIGHT * elements + _WEIGHTS_SLACK))


def save_model(model, filepath, overwrite=True, zipped=None, **kwargs):
    """Writes a model — config, weights, optimizer state — to a `.keras` file, which Keras reads too.

    Args:
        model: a model.
        filepath: a path that ends in ".keras".
        overwrite: whether a file that exists is replaced without asking.
        zipped: None or True; folders are not written.

    Raises:
        ValueError: for another ending.
        FileExistsError: with overwrite=False, if there is a file and nobody to ask.

    Example:
        >>> import os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "model.keras")
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> model.save(path)
        >>> keras.models.load_model(path).count_params()
        8
    """
    path = os.fspath(filepath)
    include_optimizer = kwargs.pop("include_optimizer", True)
    kwargs.pop("save_format", None)
    if kwargs:
        raise ValueError(f"save_model: expected arguments that it knows. Received: {list(kwargs)}")
    if not path.endswith(".keras"):
        raise ValueError(
            f'save_model: expected a path that ends in ".keras". Received: {path!r}. Hint: weights alone go to '
            '".weights.h5" with save_weights().'
        )
    if zipped is False:
        raise NotImplementedError(
            "save_model: expected zipped=True or None. Received: False; folders are not written"
        )
    if not may_write(path, overwrite):
        return
    config, metadata = _config_and_metadata(model)
    if not include_optimizer:
        import json

        data = json.loads(config)
        data.pop("compile_config", None)
        config = json.dumps(data)
    weights = state_bytes(model)

    def write(file):
        import zipfile

        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(METADATA, metadata)
            archive.writestr(CONFIG, config)
            archive.writestr(WEIGHTS, weights)

    replace_file(path, write)


def _config_and_metadata(model):
    import json
    import time

    config = json.dumps(registry.serialize_keras_object(model))
    now = time.strftime("%Y-%m-%d@%H:%M:%S")
    return config, json.dumps({"keras_version": FORMAT_VERSION, "date_saved": now, "written_by": "rkeras"})


def load_model(filepath, custom_objects=None, compile=True, safe_mode=True):
    """Reads a model from a `.keras` file, written here or by Keras 3.

    Nothing in the file is run: names of classes and functions are looked up among those of rkeras, those registered,
    and `custom_objects`.

    Args:
        filepath: the file.
        custom_objects: dict of name to class or function.
        compile: whether the model is compiled as it was when saved.
        safe_mode: accepted for compatibility; code in files is never run.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no `.keras` archive, or does not fit its config.
        TypeError: if it names an object that is not known.
    """
    path = os.fspath(filepath)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"load_model: expected an existing .keras file. Received: {path!r}")
    if path.endswith((".h5", ".hdf5")):
        raise NotImplementedError(
            f"load_model: expected a .keras archive. Received: {path!r}, in the format of Keras 2. Hint: load it with Keras 3 "
            "and save it as .keras."
        )
    with Archive(path) as archive:
        config = archive.json(CONFIG)
        if not isinstance(config, dict) or not isinstance(config.get("config"), dict):
            raise ValueError(
                f"load_model: expected the config of a model in {CONFIG!r}. Received: {type(config).__name__}"
            )
        if not compile:
            config.pop("compile_config", None)
        model = registry.deserialize_keras_object(config, custom_objects=custom_objects, safe_mode=safe_mode)
        if not hasattr(model, "load_weights"):
            raise ValueError(f"load_model: expected a model in {path!r}. Received: {type(model).__name__}")
        with registry.CustomObjectScope(custom_objects), open_file(archive.weights(model)) as file:
            read_state(model, file)
    return model
