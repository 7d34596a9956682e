"""A file of weights, opened to be looked at, changed and written again."""

import os

from rkeras.saving import budget, hdf5
from rkeras.saving.files import OversizeError, UnsafeFileError, replace_file

_MAX_OBJECTS = 100_000
_MAX_DEPTH = 100


class KerasFileEditor:
    """The weights in a `.weights.h5` or `.keras` file, which can be renamed, removed, added to and compared.

    All checks of loading hold here, too: no other file is read, and no more memory is taken than the file holds data for.

    Args:
        filepath: the file.

    Raises:
        ValueError: for another ending.
        UnsafeFileError: if the file points elsewhere, or says that it holds more than it can.

    Example:
        >>> import os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "m.weights.h5")
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> model.save_weights(path)
        >>> editor = keras.saving.KerasFileEditor(path)
        >>> editor.rename_object("dense", "head")
        >>> sorted(editor.weights_dict["layers"])
        ['head']
    """

    def __init__(self, filepath):
        self.filepath = os.fspath(filepath)
        self.metadata = None
        self.config = None
        self.object_metadata = {}
        if self.filepath.endswith(".keras"):
            from rkeras.saving.archive import CONFIG, METADATA, WEIGHTS, Archive

            with hdf5.reading(self.filepath), Archive(self.filepath) as archive:
                self.config, self.metadata = archive.json(CONFIG), archive.json(METADATA)
                allowed = budget.allowed_bytes(archive.size())
                import io

                data = io.BytesIO(archive.read(WEIGHTS, allowed))
                with hdf5.open_file(data) as file:
                    self.weights_dict = self._read(file, allowed)
        elif self.filepath.endswith(".weights.h5"):
            allowed = budget.allowed_bytes(os.path.getsize(self.filepath))
            with hdf5.reading(self.filepath), hdf5.open_file(self.filepath) as file:
                self.weights_dict = self._read(file, allowed)
        else:
            raise ValueError(
                f'KerasFileEditor: expected a path that ends in ".keras" or ".weights.h5". Received: {self.filepath!r}'
            )

    # Reading.

    def _read(self, file, allowed):
        import h5py

        left, objects = [allowed], [0]

        def group(here, path, depth):
            objects[0] += 1
            if depth > _MAX_DEPTH or objects[0] > _MAX_OBJECTS:
                raise UnsafeFileError(
                    f"KerasFileEditor: expected at most {_MAX_OBJECTS} objects, {_MAX_DEPTH} levels deep. Received: more (perhaps "
                    f"a group within itself) at {path!r}"
                )
            name = hdf5.read_text(here, "name")
            if name is not None:
                self.object_metadata[path or "/"] = name
            found = {}
            for key in here:
                inner = hdf5.open_link(here, key)
                if isinstance(inner, h5py.Group):
                    if key == "vars":
                        found.update(group(inner, path, depth + 1))
                    elif len(inner):
                        value = group(inner, f"{path}/{key}" if path else key, depth + 1)
                        if value:
                            found[key] = value
                else:
                    hdf5.check_dataset(inner, left[0])
                    left[0] -= inner.size * inner.dtype.itemsize
                    if left[0] < 0:
                        raise OversizeError(
                            f"KerasFileEditor: expected at most {allowed} bytes of weights. Received: more"
                        )
                    found[key] = hdf5.from_dataset(inner)
            return found

        return group(file, "", 0)

    # Looking.

    def summary(self):
        """Prints the objects and the shapes of their weights."""
        print("\n".join(self._lines()))

    def _lines(self):
        lines = [f"Keras weights file {self.filepath!r}"]
        if self.metadata:
            lines.append(
                f"  Keras version: {self.metadata.get('keras_version')}, saved {self.metadata.get('date_saved')}"
            )

        def walk(objects, path, indent):
            for key, value in objects.items():
                if isinstance(value, dict):
                    inner = f"{path}/{key}" if path else key
                    name = self.object_metadata.get(inner)
                    lines.append("  " * indent + key + (f"  ({name})" if name else ""))
                    walk(value, inner, indent + 1)
                else:
                    lines.append("  " * indent + f"{key}: shape={tuple(value.shape)}, dtype={value.dtype}")

        walk(self.weights_dict, "", 1)
        return lines

    def compare(self, reference_model):
        """Compares the file with the weights of a model, and prints what differs.

        Args:
            reference_model: a built model.

        Returns:
            Dict of "status" ("success" or "error"), "error_count" and "match_count".
        """
        expected = {}
        for path, array in _flat(_weights_of(reference_model)).items():
            expected[path] = tuple(array.shape)
        found = {p: tuple(a.shape) for p, a in _flat(self.weights_dict).items()}
        errors = 0
        for path in sorted({*expected, *found}):
            if path.startswith("optimizer/") and not any(p.startswith("optimizer/") for p in expected):
                continue  # a model that is not compiled has no such weights
            if path not in found:
                print(f"Weight {path!r} of shape {expected[path]} is in the model and missing from the file.")
            elif path not in expected:
                print(f"Weight {path!r} of shape {found[path]} is in the file and missing from the model.")
            elif found[path] != expected[path]:
                print(
                    f"Weight {path!r} has shape {expected[path]} in the model and {found[path]} in the file."
                )
            else:
                continue
            errors += 1
        matches = sum(found.get(p) == shape for p, shape in expected.items())
        print(f"{matches} weights match, {errors} differ.")
        return {
            "status": "error" if errors else "success",
            "error_count": errors,
            "match_count": matches,
        }

    # Changing.

    def _place(self, name):
        """(the dict that holds the object, its key)."""
        if "/" in name:
            *above, last = name.split("/")
            here = self.weights_dict
            for part in above:
                here = here.get(part) if isinstance(here, dict) else None
            if not isinstance(here, dict) or last not in here:
                raise ValueError(
                    f"KerasFileEditor: expected the path of an object. Received: {name!r}. Hint: see summary()."
                )
            return here, last
        places = []

        def walk(objects):
            if name in objects:
                places.append(objects)
            for value in objects.values():
                if isinstance(value, dict):
                    walk(value)

        walk(self.weights_dict)
        if len(places) != 1:
            raise ValueError(
                f"KerasFileEditor: expected a name that occurs once. Received: {name!r}, which occurs {len(places)} times. Hint: "
                "see summary(), and pass the whole path."
            )
        return places[0], name

    def rename_object(self, object_name, new_name):
        """Gives an object another name.

        Args:
            object_name: its name or path: "dense_2" or "layers/dense_2".
            new_name: the name, without "/".
        """
        if "/" in new_name:
            raise ValueError(
                f"rename_object: expected a name rather than a path as new_name. Received: {new_name!r}"
            )
        here, key = self._place(object_name)
        # In its place, so that the order stays.
        items = [(new_name if k == key else k, v) for k, v in here.items() if k != new_name or k == key]
        here.clear()
        here.update(items)

    def delete_object(self, object_name):
        """Removes an object, by its name or path."""
        here, key = self._place(object_name)
        del here[key]

    def add_object(self, object_path, weights):
        """Adds an object.

        Args:
            object_path: its path; what is above it has to be there.
            weights: dict of weight name ("0", "1" ...) to array.
        """
        self._check_weights(weights)
        *above, last = object_path.split("/")
        here = self.weights_dict
        for part in above:
            here = here.get(part) if isinstance(here, dict) else None
        if not isinstance(here, dict):
            raise ValueError(
                f"add_object: expected a path below objects of the file. Received: {object_path!r}. Hint: see summary()."
            )
        here[last] = dict(weights)

    def delete_weight(self, object_name, weight_name):
        """Removes one weight ("0", "1" ...) of an object."""
        here, key = self._place(object_name)
        if weight_name not in here[key]:
            raise ValueError(
                f"delete_weight: expected one of {list(here[key])} for {object_name!r}. Received: {weight_name!r}"
            )
        del here[key][weight_name]

    def add_weights(self, object_name, weights):
        """Adds weights to an object, or replaces them: a dict of weight name to array."""
        self._check_weights(weights)
        here, key = self._place(object_name)
        here[key].update(weights)

    @staticmethod
    def _check_weights(weights):
        if not isinstance(weights, dict):
            raise ValueError(
                f"KerasFileEditor: expected weights as a dict of name to array. Received: {type(weights).__name__}"
            )

    # Writing.

    def save(self, filepath):
        """Writes the weights as they are now to a `.weights.h5` file."""
        import io

        import h5py

        path = os.fspath(filepath)
        if not path.endswith(".weights.h5"):
            raise ValueError(f'save: expected a path that ends in ".weights.h5". Received: {path!r}')
        buffer = io.BytesIO()
        with h5py.File(buffer, "w") as file:
            for place, array in _flat(self.weights_dict).items():
                above, _, name = place.rpartition("/")
                group = file.require_group(f"{above}/vars" if above else "vars")
                label = self.object_metadata.get(above or "/")
                if label is not None:
                    group.attrs["name"] = label
                hdf5.write_dataset(group, name, array)
        replace_file(path, lambda f: f.write(buffer.getbuffer()))

    def resave_weights(self, filepath):
        """The same as `save`."""
        self.save(filepath)


def _flat(objects, path=""):
    """Dict of path to array."""
    found = {}
    for key, value in objects.items():
        inner = f"{path}/{key}" if path else key
        if isinstance(value, dict):
            found.update(_flat(value, inner))
        else:
            found[inner] = value
    return found


def _weights_of(model):
    """The weights of a model as an editor shows them."""
    from rkeras.saving.state import walk

    class Collected(dict):
        def __setitem__(self, name, value):
            super().__setitem__(name, hdf5.to_array(value)[0])

    found = {}
    for obj, path in walk(model):
        store = Collected()
        obj.save_own_variables(store)
        here = found
        for part in path.split("/") if path else []:
            here = here.setdefault(part, {})
        here.update(store)
    return found
