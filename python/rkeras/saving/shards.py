"""Weights in several HDF5 files, named by a `.weights.json` map, as Keras splits large ones.

The map takes its place last: until then the old map and its files are whole.
"""

import os
import re

from rkeras.saving import hdf5
from rkeras.saving.files import UnsafeFileError, replace_file, sync_folder
from rkeras.saving.state import Store, walk

_MAX_MAP_BYTES = 64 << 20


def _base(path):
    """What the names of the files of a map begin with."""
    name = os.path.basename(path)
    return name.removesuffix(".json").removesuffix(".h5").replace(".weights", "")


def _shard_name(base, index):
    return f"{base}_{index:05}.weights.h5"


def map_path(path):
    """The path of the map for a path that ends in ".weights.json" or ".weights.h5"."""
    return path.removesuffix(".h5") + ".json" if path.endswith(".h5") else path


def save_shards(model, path, max_shard_size):
    """Writes the state of a model to files of at most `max_shard_size` GiB each, and their map to `path`."""
    import json

    path = map_path(path)
    folder, base = os.path.dirname(path) or ".", _base(path)
    limit = float(max_shard_size) * 1024**3
    old = _shards_beside(folder, base)
    # Names that the old map does not use, so that it stays whole until the new one is there.
    first = max(old, default=-1) + 1
    shards = _split(model, limit)
    weight_map, total = {}, 0
    for index, entries in enumerate(shards, first):
        name = _shard_name(base, index)
        replace_file(os.path.join(folder, name), lambda f, e=entries: f.write(_shard_bytes(e)))
        for group, _, variables in entries:
            if not variables:
                continue
            total += sum(array.nbytes for _, array in variables)
            names = weight_map.get(f"/{group}")
            if names is None:
                weight_map[f"/{group}"] = name
            else:
                weight_map[f"/{group}"] = [*([names] if isinstance(names, str) else names), name]
    config = {"metadata": {"total_size": total}, "weight_map": weight_map}
    replace_file(path, lambda f: f.write(json.dumps(config, indent=4).encode()))
    for index in old:
        target = os.path.join(folder, _shard_name(base, index))
        if index == 0:
            # Keras opens the file of number 0 whether or not the map names it.
            replace_file(target, lambda f: f.write(_shard_bytes([])))
        else:
            os.unlink(target)
    sync_folder(folder)


def _shards_beside(folder, base):
    """The numbers of the files of that base in a folder."""
    pattern = re.compile(re.escape(base) + r"_(\d{5})\.weights\.h5")
    matches = (pattern.fullmatch(n) for n in (os.listdir(folder) if os.path.isdir(folder) else ()))
    return sorted(int(m[1]) for m in matches if m)


class _Collected(dict):
    """A store that keeps what is written into it."""

    def __setitem__(self, name, value):
        array, is_bfloat16 = hdf5.to_array(value)
        super().__setitem__(name, _Stored(array, is_bfloat16))


class _Stored:
    def __init__(self, array, is_bfloat16):
        self.array, self.is_bfloat16, self.nbytes = array, is_bfloat16, array.nbytes


def _split(model, limit):
    """The state as lists of (group, name of the object, pairs of name and array), one list per file."""
    shards, size = [[]], 0
    for obj, path in walk(model):
        group = f"{path}/vars" if path else "vars"
        label = obj.name if isinstance(getattr(obj, "name", None), str) else None
        store = _Collected()
        obj.save_own_variables(store)
        entry = (group, label, [])
        shards[-1].append(entry)
        for name, stored in store.items():
            if stored.nbytes > limit:
                raise ValueError(
                    f"save_weights: expected variables of at most max_shard_size = {limit:.0f} bytes. Received: "
                    f"{group}/{name} of {stored.nbytes} bytes. Hint: pass a larger max_shard_size."
                )
            if size + stored.nbytes > limit and size:
                entry, size = (group, label, []), 0
                shards.append([entry])
            size += stored.nbytes
            entry[2].append((name, stored))
    return shards


def _shard_bytes(entries):
    import io

    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for group_path, label, variables in entries:
            group = file.require_group(group_path)
            if label is not None:
                group.attrs["name"] = label
            for name, stored in variables:
                dataset = group.create_dataset(name, data=stored.array)
                if stored.is_bfloat16:
                    dataset.attrs["dtype"] = "bfloat16"
    return buffer.getbuffer()


class ShardedSource:
    """The stored state in the files of a map, open for reading.

    Names of files come from the map, but only those that Keras gives: beside the map, its name and a number.

    Args:
        path: the map.
    """

    def __init__(self, path):
        import json

        self._folder, self._base = os.path.dirname(path) or ".", _base(path)
        size = os.path.getsize(path)
        if size > _MAX_MAP_BYTES:
            raise UnsafeFileError(
                f"load_weights: expected a map of at most {_MAX_MAP_BYTES} bytes. Received: {size}"
            )
        try:
            with open(path, encoding="utf-8") as f:
                config = json.load(f)
        except (UnicodeDecodeError, RecursionError, json.JSONDecodeError) as error:
            raise ValueError(
                f"load_weights: expected JSON in {path!r}. Received: something else ({error})"
            ) from error
        self._map = config.get("weight_map") if isinstance(config, dict) else None
        if not isinstance(self._map, dict):
            raise ValueError(f"load_weights: expected a weight_map in {path!r}. Received: none")
        self._open = {}

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for file in self._open.values():
            file.close()
        self._open.clear()

    def _files(self, group):
        names = self._map.get(f"/{group}", [])
        for name in names if isinstance(names, list) else [names]:
            if not isinstance(name, str) or not re.fullmatch(
                re.escape(self._base) + r"_\d{5}\.weights\.h5", name
            ):
                raise UnsafeFileError(
                    f"load_weights: expected names of files like {_shard_name(self._base, 0)!r} in the map. Received: "
                    f"{name!r}. It was not opened."
                )
            if name not in self._open:
                self._open[name] = hdf5.open_file(os.path.join(self._folder, name))
            yield self._open[name]

    def store(self, path, limit):
        """The arrays of the object at a path."""
        group = f"{path}/vars" if path else "vars"
        stores = []
        for file in self._files(group):
            try:
                stores.append(Store(hdf5.open_group(file, group), limit))
            except KeyError:
                continue
        return _Joined(stores)

    def has(self, path):
        """Is there anything at that path?"""
        return any(k == f"/{path}" or k.startswith(f"/{path}/") for k in self._map)


class _Joined(Store):
    """Several stores as one."""

    def __init__(self, stores):
        super().__init__(None)
        self._stores = stores

    def keys(self):
        """The names."""
        return [k for s in self._stores for k in s]

    def __contains__(self, name):
        return any(name in s for s in self._stores)

    def __getitem__(self, name):
        for store in self._stores:
            if name in store:
                return store[name]
        raise KeyError(name)
