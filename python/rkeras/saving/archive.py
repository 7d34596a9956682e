"""The `.keras` archive: a zip of config.json, metadata.json and model.weights.h5."""

import os

from rkeras._core import registry
from rkeras.saving import hdf5
from rkeras.saving.budget import WeightBudget
from rkeras.saving.files import FORMAT_VERSION, UnsafeFileError, may_write, replace_file, replace_folder
from rkeras.saving.state import HDF5Source, read_state, state_bytes

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
_MAX_CONFIG_BYTES = 64 << 20
_MAX_MEMBERS = 10_000
_MAX_DIRECTORY_BYTES = 4 << 20
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
        _check_directory(path)
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

    def size(self):
        """How many bytes the archive has on disk."""
        with _opened(self.path) as f:
            return f.seek(0, os.SEEK_END)

    def is_keras_2(self):
        """Did Keras 2 write it?"""
        try:
            metadata = self.json(METADATA)
        except UnsafeFileError:
            raise
        except ValueError:
            return False
        return isinstance(metadata, dict) and str(metadata.get("keras_version", "")).startswith("2.")

    def weights(self, model):
        """The weights as an open binary file; at most what this model and an optimizer for it can hold."""
        import io

        elements = sum(v.size for v in model.variables)
        return io.BytesIO(self.read(WEIGHTS, _MAX_BYTES_PER_WEIGHT * elements + _WEIGHTS_SLACK))


def _opened(source):
    """A context of an open binary file for a path, or for one that is open already."""
    import contextlib

    return contextlib.nullcontext(source) if hasattr(source, "read") else open(source, "rb")


def _check_directory(source):
    """Refuses a table of contents that is too large to be read, before it is."""
    with _opened(source) as f:
        end = f.seek(0, os.SEEK_END)
        f.seek(max(end - (1 << 16) - 22 - 20, 0))
        tail = f.read()
        at = tail.rfind(b"PK\x05\x06")
        if at < 0 or at + 22 > len(tail):
            return  # no archive: zipfile says so
        size = int.from_bytes(tail[at + 12 : at + 16], "little")
        if (
            at >= 20 and tail[at - 20 : at - 16] == b"PK\x06\x07"
        ):  # the sizes of a large archive are elsewhere
            f.seek(min(int.from_bytes(tail[at - 12 : at - 4], "little"), end))
            size = max(size if size != 0xFFFFFFFF else 0, int.from_bytes(f.read(56)[40:48], "little"))
    if size > _MAX_DIRECTORY_BYTES:
        raise UnsafeFileError(
            f"load_model: expected a table of contents of at most {_MAX_DIRECTORY_BYTES} bytes. Received: {size} in {source!r}. "
            "It was not read."
        )


class Folder:
    """A folder with the files of an archive, open for reading; it reads like an `Archive`.

    Args:
        path: the folder.
    """

    def __init__(self, path):
        self.path = path

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def read(self, name, limit):
        """The bytes of one file, at most `limit`."""
        path = os.path.join(self.path, name)
        if not os.path.isfile(path):
            raise ValueError(f"load_model: expected {name!r} in the folder {self.path!r}. Received: none")
        with open(path, "rb") as f:
            data = f.read(limit + 1)
        if len(data) > limit:
            raise UnsafeFileError(
                f"load_model: expected at most {limit} bytes in {name!r}. Received: more. It was not read."
            )
        return data

    json = Archive.json
    is_keras_2 = Archive.is_keras_2

    def weights(self, model):
        """The path of the weights."""
        return os.path.join(self.path, WEIGHTS)

    def size(self):
        """How many bytes of weights there are."""
        path = os.path.join(self.path, WEIGHTS)
        return os.path.getsize(path) if os.path.isfile(path) else 0


def save_model(model, filepath, overwrite=True, zipped=None, **kwargs):
    """Writes a model — config, weights, optimizer state — to a file that Keras reads too.

    The ending says the format: ".keras" is Keras 3's; ".h5" or ".hdf5" is the layout of Keras 2 as Keras 3 writes it.
    With `zipped=False`, the files of a ".keras" archive are written to a folder. A path without ending is that of a
    TensorFlow SavedModel, as in tf.keras 2.

    Args:
        model: a model.
        filepath: the path, or an open binary file for the `.keras` format.
        overwrite: whether a file that exists is replaced without asking.
        zipped: False for a folder.
        include_optimizer: whether the state of the optimizer is written too.
        save_format: as in tf.keras 2: "keras", "tf" for a SavedModel, or "h5" for a file that Keras 2 itself reads.

    Raises:
        ValueError: for another ending.
        NotImplementedError: for a SavedModel of a model with an op that has no counterpart in TensorFlow.
        FileExistsError: with overwrite=False, if there is a file and nobody to ask.

    Example:
        >>> import os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "model.keras")
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> model.save(path)
        >>> keras.models.load_model(path).count_params()
        8
    """
    include_optimizer = kwargs.pop("include_optimizer", True)
    if hasattr(filepath, "write"):
        _write_archive(model, filepath, include_optimizer)
        return
    path = os.fspath(filepath)
    save_format = kwargs.pop("save_format", None)
    if kwargs:
        raise ValueError(f"save_model: expected arguments that it knows. Received: {list(kwargs)}")
    if save_format not in (None, "keras", "h5", "hdf5", "tf"):
        raise ValueError(f'save_model: expected save_format "keras", "h5" or "tf". Received: {save_format!r}')
    legacy = path.endswith((".h5", ".hdf5")) or save_format in ("h5", "hdf5")
    if zipped is False and (path.endswith(".keras") or legacy):
        raise ValueError(
            f"save_model: expected the path of a folder with zipped=False. Received: {path!r}. Hint: leave the ending out."
        )
    graph = save_format == "tf" or (zipped is None and save_format is None and not os.path.splitext(path)[1])
    if zipped is not False and not legacy and not graph and not path.endswith(".keras"):
        raise ValueError(
            f'save_model: expected a path that ends in ".keras" (or ".h5", or nothing for a SavedModel). Received: {path!r}. '
            'Hint: weights alone go to ".weights.h5" with save_weights(); a folder is written with zipped=False.'
        )
    if not may_write(path, overwrite):
        return
    if not model.built:
        import warnings

        warnings.warn(
            f"save_model: expected a built model. Received: {model.name!r}, which may have no weights yet. Hint: call it on "
            "data, or build it, first.", stacklevel=3,
        )  # fmt: skip
    if graph:
        from rkeras.export import saved_model

        metadata, _ = _config_and_metadata(model, include_optimizer)
        saved_model.export(model, path, keras_config=metadata, include_optimizer=include_optimizer)
        return
    if legacy or zipped is False:
        # As in Keras, which makes the folders above these, and not those above a .keras file.
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    if legacy:
        from rkeras.saving import legacy_h5

        data = legacy_h5.model_bytes(model, include_optimizer, keras_2=save_format in ("h5", "hdf5"))
        replace_file(path, lambda f: f.write(data))
        return
    if zipped is False:
        config, metadata = _config_and_metadata(model, include_optimizer)
        weights = state_bytes(model, include_optimizer)
        files = {METADATA: metadata.encode(), CONFIG: config.encode(), WEIGHTS: weights}
        replace_folder(path, {n: (lambda f, d=d: f.write(d)) for n, d in files.items()})
        return
    replace_file(path, lambda f: _write_archive(model, f, include_optimizer))


def _write_archive(model, file, include_optimizer=True):
    import zipfile

    config, metadata = _config_and_metadata(model, include_optimizer)
    weights = state_bytes(model, include_optimizer)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(METADATA, metadata)
        archive.writestr(CONFIG, config)
        archive.writestr(WEIGHTS, weights)


def _config_and_metadata(model, include_optimizer):
    import json
    import time

    with registry.ObjectSharingScope():
        data = registry.ObjectSharingScope.prune(registry.serialize_keras_object(model))
    if not include_optimizer:
        data.pop("compile_config", None)
    now = time.strftime("%Y-%m-%d@%H:%M:%S")
    metadata = {"keras_version": FORMAT_VERSION, "date_saved": now, "written_by": "rkeras"}
    return json.dumps(data), json.dumps(metadata)


def load_model(filepath, custom_objects=None, compile=True, safe_mode=True):
    """Reads a model from a `.keras` file, a folder of its files, an `.h5` file or a SavedModel, written here or by Keras 2 or 3.

    Nothing in the file is run: names of classes and functions are looked up among those of rkeras, those registered,
    and `custom_objects`.

    Args:
        filepath: the path, or an open binary file in the `.keras` format.
        custom_objects: dict of name to class or function.
        compile: whether the model is compiled as it was when saved.
        safe_mode: accepted for compatibility; code in files is never run.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no file of these formats, or does not fit its config.
        TypeError: if it names an object that is not known.
        UnsafeFileError: if it points to other files, or asks for more memory than it holds data for.
    """
    if hasattr(filepath, "read"):
        name = str(getattr(filepath, "name", "a file object"))
        return _load(Archive(filepath), name, custom_objects, compile, safe_mode)
    path = os.fspath(filepath)
    if os.path.isdir(path) and os.path.isfile(os.path.join(path, CONFIG)):
        return _load(Folder(path), path, custom_objects, compile, safe_mode)
    if os.path.isdir(path):
        from rkeras.saving import saved_model

        if saved_model.is_saved_model(path):
            return saved_model.load_saved_model(path, custom_objects, compile)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"load_model: expected an existing .keras or .h5 file. Received: {path!r}")
    with open(path, "rb") as f:
        start = f.read(8)
    if start == hdf5.SIGNATURE:
        from rkeras.saving import legacy_h5

        return legacy_h5.load_model(path, custom_objects, compile)
    return _load(Archive(path), path, custom_objects, compile, safe_mode)


def _load(archive, path, custom_objects, compile, safe_mode):
    with hdf5.reading(path), archive:
        config = archive.json(CONFIG)
        if not isinstance(config, dict) or not isinstance(config.get("config"), dict):
            raise ValueError(
                f"load_model: expected the config of a model in {CONFIG!r}. Received: {type(config).__name__}"
            )
        if not compile:
            config.pop("compile_config", None)
        with registry.ObjectSharingScope(), WeightBudget(archive.size()):
            if archive.is_keras_2():
                model = _from_keras_2(config, custom_objects)
            else:
                model = registry.deserialize_keras_object(
                    config, custom_objects=custom_objects, safe_mode=safe_mode
                )
        if not hasattr(model, "load_weights"):
            raise ValueError(f"load_model: expected a model in {path!r}. Received: {type(model).__name__}")
        with registry.CustomObjectScope(custom_objects), hdf5.open_file(archive.weights(model)) as file:
            read_state(model, HDF5Source(file))
    return model


def _from_keras_2(config, custom_objects):
    """The model of an archive that tf.keras 2.12 ... wrote."""
    from rkeras.saving import legacy_config

    training = config.pop("compile_config", None)
    config = legacy_config.modern_object(config, custom_objects, keras_2=True)
    model = registry.deserialize_keras_object(config, custom_objects=custom_objects)
    if isinstance(training, dict) and training.get("optimizer") is not None:
        names = getattr(model, "output_names", None) or ["output"]
        training = {**training, "optimizer_config": training["optimizer"]}
        arguments = legacy_config.compile_arguments(training, names, custom_objects)
        model.compile(**{k: v for k, v in arguments.items() if v is not None})
        if model.built and model.optimizer is not None:
            model.optimizer.build(model.trainable_variables)
    return model
