"""Models, optimizers and variables in TensorFlow checkpoints, matched object by object."""

import os

import numpy as np

from rkeras._core import scopes
from rkeras._core.variable import Variable
from rkeras.saving import tf_bundle, tf_objects
from rkeras.saving.protobuf import decode, encode


def write_objects(root, prefix, state=True):
    """Writes the variables below an object, and the graph of the objects between.

    Args:
        root: a model, optimizer, `Checkpoint` ...
        prefix: the path without ".index".
        state: whether the folder's file `checkpoint` names it.
    """
    graph, variables = tf_objects.build_graph(root)
    tensors = {key: stored(v) for key, v in variables.items()}
    tensors[tf_bundle.OBJECT_GRAPH] = encode(tf_objects.GRAPH, graph)
    tf_bundle.write_checkpoint(prefix, tensors, state=state)


def is_counter(variable):
    """Does it count steps? Those are 64 bits wide in TensorFlow."""
    return variable.path.endswith("iteration") and variable.dtype.startswith("int")


def stored(variable):
    """The value of a variable as `write_checkpoint` takes it."""
    if variable.dtype == "bfloat16":
        from rkeras import ops

        wide = np.asarray(ops.convert_to_numpy(ops.cast(variable.tensor(), "float32")))
        return (wide.view(np.uint32) >> 16).astype(np.uint16), "bfloat16"
    array = variable.numpy()
    # Counters are 64 bits wide in TensorFlow.
    return (
        array.astype(np.int64) if variable.path.endswith("iteration") and array.dtype.kind == "i" else array
    )


class Restored:
    """What came of reading a checkpoint into objects.

    Attributes:
        missing: paths of variables of the objects that it lacks.
        unused: its keys that no object asked for.
        waiting: how many layers and optimizers get their values when they are built.
    """

    def __init__(self, root, prefix):
        self.reader = tf_bundle.Checkpoint(prefix)
        self.prefix = os.fspath(prefix)
        if tf_bundle.OBJECT_GRAPH not in self.reader:
            raise ValueError(
                f"checkpoint: expected a checkpoint of objects. Received: {self.prefix!r}, which has names only. Hint: read its "
                "tensors with load_checkpoint."
            )
        self.graph = decode(tf_objects.GRAPH, self.reader.get_tensor(tf_bundle.OBJECT_GRAPH))
        self.done, self.waiting, self.wrong = set(), 0, []
        self.read_keys = set()
        self.root = root
        match = tf_objects.Match(self.graph)
        match.descend(root, 0)
        if any(tf_objects.is_optimizer(obj) for obj, _ in match.unbuilt):
            match = self._with_optimizers(match)
        self.match = match
        self._apply(match)

    def _with_optimizers(self, match):
        """Builds optimizers whose variables are known, and matches again."""
        for obj, node_id in match.unbuilt:
            if not tf_objects.is_optimizer(obj) or not self._has_slots(node_id):
                continue
            owners = [
                o
                for o in match.keep
                if tf_objects.is_layer(o) and getattr(o, "optimizer", None) is obj and o.built
            ]
            owners = owners or [
                o for o in match.keep if hasattr(o, "compile") and tf_objects.is_layer(o) and o.built
            ]
            trainable = list({id(v): v for o in owners[:1] for v in o.trainable_variables}.values())
            if trainable:
                obj.build(trainable)
        again = tf_objects.Match(self.graph)
        again.descend(self.root, 0)
        return again

    def _has_slots(self, node_id):
        node = self.graph["nodes"][node_id]
        if node.get("slot_variables"):
            return True
        there = {c.get("local_name", ""): c.get("node_id", 0) for c in node.get("children", ())}
        lists = [
            i
            for n, i in there.items()
            if n not in ("_trainable_variables", "_index_dict") and 0 <= i < len(self.graph["nodes"])
        ]
        return any(len(self.graph["nodes"][i].get("children", ())) > 0 for i in lists)

    def _apply(self, match):
        self.match = match
        for variable, key in match.keys:
            if key not in self.reader:
                continue
            shape = self.reader.shape(key)
            if shape != tuple(variable.shape):
                self.wrong.append(
                    (variable, f"{variable.path}: shape {tuple(variable.shape)}, in the file {shape}")
                )
                continue
            # A trace or shape inference going on must not catch the assignment.
            with scopes.EagerScope():
                variable.assign(self.reader.get_tensor(key).astype(_numpy_dtype(variable.dtype)))
            self.done.add(id(variable))
            self.read_keys.add(key)
        for obj, node_id in match.unbuilt:
            self.waiting += 1
            obj.__dict__["_when_built"] = lambda obj=obj, node_id=node_id: self._later(obj, node_id)

    def _later(self, obj, node_id):
        self.waiting -= 1
        match = tf_objects.Match(self.graph)
        match.nodes = dict(self.match.nodes)
        match.descend(obj, node_id)
        match.unbuilt = []  # those wait on their own
        before = len(self.wrong)
        self._apply(match)
        if len(self.wrong) > before:
            raise ValueError(
                f"checkpoint: expected weights that fit. Received: {self.wrong[-1][1]} in {self.prefix!r}"
            )

    @property
    def unused(self):
        """Keys of the checkpoint that no object asked for."""
        return [k for k in self.reader if k not in self.read_keys and k != tf_bundle.OBJECT_GRAPH]

    def missing(self, variables=None):
        """Paths of variables (those below the root by default) that got no value."""
        if variables is None:
            # States of random generators come from files written here only.
            variables = [v for k, v in tf_objects.build_graph(self.root)[1].items() if "..rkeras/" not in k]
        return [v.path for v in variables if id(v) not in self.done]


def _numpy_dtype(dtype):
    return np.float32 if dtype == "bfloat16" else np.dtype(dtype)


def save_weights(model, filepath):
    """Writes the weights of a model, and its optimizer, as a TensorFlow checkpoint: what tf.keras 2 does without an extension.

    Args:
        model: a built model.
        filepath: the prefix of the files.
    """
    prefix = os.fspath(filepath)
    if not model.built:
        raise ValueError(
            f"save_weights: expected a built model. Received: {model.name!r}. Hint: call it on data first."
        )
    os.makedirs(os.path.dirname(prefix) or ".", exist_ok=True)
    write_objects(model, prefix)


def load_weights(model, filepath, skip_mismatch=False):
    """Reads the weights of a model from a TensorFlow checkpoint; a model without weights gets them when it is built.

    Args:
        model: a model.
        filepath: the prefix of the files, or a file of them.
        skip_mismatch: whether weights that the file lacks, or has in another shape, are left as they are.

    Returns:
        A `Restored`.

    Raises:
        ValueError: if weights of the model are missing or of another shape.
    """
    restored = Restored(model, _prefix(filepath))
    if skip_mismatch:
        return restored
    weights = model.weights if model.built else []
    missing = restored.missing(weights)
    if weights and len(missing) == len(weights):
        # tf.train.Checkpoint(model=model).save(): the model is one step below the root.
        restored = _below_root(model, restored) or restored
        missing = restored.missing(weights)
    wrong = [text for v, text in restored.wrong if any(v is w for w in weights)]
    if wrong or missing:
        detail = "; ".join(
            [*wrong, *(f"{m}: not in the file" for m in missing if m not in " ".join(wrong))][:10]
        )
        raise ValueError(
            f"load_weights: expected the weights of this model in {restored.prefix!r}. Received: a checkpoint that does not fit "
            f"{max(len(missing), len(wrong))} of its {len(weights)} weights: {detail}"
        )
    return restored


def _below_root(model, restored):
    for child in restored.graph.get("nodes", [{}])[0].get("children", ()):
        if child.get("local_name") == "model":
            return Restored(Checkpoint(model=model), restored.prefix)
    return None


def _prefix(filepath):
    path = os.fspath(filepath)
    return path[: -len(".index")] if path.endswith(".index") else path


def is_checkpoint(filepath):
    """Is it the prefix of a TensorFlow checkpoint, or its index?"""
    return os.path.isfile(_prefix(filepath) + ".index")


class Checkpoint:
    """Objects with variables, saved and restored together in TensorFlow's format.

    Args:
        root: an object whose children these are; None for only the keywords.
        kwargs: models, layers, optimizers, Variables, lists and dicts of them, by name.

    Example:
        >>> import os, tempfile
        >>> from rkeras.saving.tf_checkpoint import Checkpoint
        >>> v = keras.Variable(1.0)
        >>> path = Checkpoint(v=v).save(os.path.join(tempfile.mkdtemp(), "ckpt"))
        >>> os.path.basename(path)
        'ckpt-1'
        >>> _ = v.assign(5.0)
        >>> _ = Checkpoint(v=v).restore(path).assert_consumed()
        >>> float(v.numpy())
        1.0
    """

    def __init__(self, root=None, **kwargs):
        for name, value in kwargs.items():
            if not tf_objects._may_hold(value):
                raise ValueError(
                    f"Checkpoint: expected models, layers, optimizers, Variables or lists and dicts of them. Received: "
                    f"{name}={type(value).__name__}"
                )
        self.__dict__.update(kwargs)
        self._root = root
        self._saved = tuple(kwargs)
        self._save_counter = None

    def _checkpoint_children(self):
        own = {k: v for k, v in self.__dict__.items() if not k.startswith("_")}
        if self._save_counter is not None:
            own["save_counter"] = self._save_counter
        if self._root is not None:
            own = {**{names[0]: child for names, child in tf_objects.children(self._root)}, **own}
            for names, child in tf_objects.children(self._root):
                own.update(dict.fromkeys(names, child))
        return own

    @property
    def save_counter(self):
        """How often it was saved, a Variable."""
        if self._save_counter is None:
            self._save_counter = Variable(0, dtype="int64", trainable=False, name="save_counter")
        return self._save_counter

    def write(self, file_prefix, options=None):
        """Writes the files of exactly that prefix; returns it."""
        prefix = os.fspath(file_prefix)
        os.makedirs(os.path.dirname(prefix) or ".", exist_ok=True)
        write_objects(self, prefix, state=False)
        return prefix

    def save(self, file_prefix, options=None):
        """Writes the files `file_prefix-1`, the next time `-2` ..., and names them the latest; returns the prefix."""
        self.save_counter.assign_add(1)
        prefix = self.write(f"{os.fspath(file_prefix)}-{int(self.save_counter.numpy())}")
        tf_bundle.write_state(os.path.dirname(prefix) or ".", os.path.basename(prefix))
        return prefix

    def read(self, save_path, options=None):
        """Gives the objects the values of a checkpoint; those that are not built yet get them when they are.

        Args:
            save_path: a prefix; None does nothing.

        Returns:
            A `LoadStatus`.
        """
        if save_path is None:
            return LoadStatus(None)
        _ = self.save_counter
        return LoadStatus(Restored(self, _prefix(save_path)))

    restore = read


class LoadStatus:
    """What came of reading a checkpoint; the checks return it again."""

    def __init__(self, restored):
        self._restored = restored

    def assert_consumed(self):
        """Fails if an object lacks a value or a value an object."""
        self.assert_existing_objects_matched()
        if self._restored is not None and (self._restored.unused or self._restored.waiting):
            raise AssertionError(
                f"checkpoint: expected an object for every value. Received: values without one: {self._restored.unused[:10]}, "
                f"{self._restored.waiting} objects not built yet"
            )
        return self

    def assert_existing_objects_matched(self):
        """Fails if an object that is there lacks a value."""
        missing = [] if self._restored is None else self._missing()
        if missing:
            raise AssertionError(
                f"checkpoint: expected a value for every object. Received: none for {missing[:10]}"
            )
        return self

    def _missing(self):
        return [m for m in self._restored.missing() if not m.endswith("save_counter")]

    def assert_nontrivial_match(self):
        """Fails if nothing was read."""
        if self._restored is not None and not self._restored.done and not self._restored.waiting:
            raise AssertionError("checkpoint: expected objects that it has values for. Received: none")
        return self

    def expect_partial(self):
        """Accepts that not all was read."""
        return self

    def initialize_or_restore(self, session=None):
        """Does nothing: values are read at once."""


class CheckpointManager:
    """Keeps the newest checkpoints of a folder.

    Args:
        checkpoint: a `Checkpoint`.
        directory: the folder.
        max_to_keep: how many stay; None for all.
        keep_checkpoint_every_n_hours: accepted for compatibility if None.
        checkpoint_name: what their names begin with.
        step_counter: a Variable that numbers them instead of the save counter.
        checkpoint_interval: save only when so many steps have gone by; needs step_counter.
        init_fn: called by `restore_or_initialize` where there is none.
    """

    def __init__(
        self, checkpoint, directory, max_to_keep, keep_checkpoint_every_n_hours=None, checkpoint_name="ckpt", step_counter=None,
        checkpoint_interval=None, init_fn=None,
    ):  # fmt: skip
        if max_to_keep is not None and max_to_keep <= 0:
            raise ValueError(
                f"CheckpointManager: expected max_to_keep of at least 1, or None. Received: {max_to_keep}"
            )
        if keep_checkpoint_every_n_hours is not None:
            raise NotImplementedError(
                "CheckpointManager: expected keep_checkpoint_every_n_hours=None. Received: a number"
            )
        if checkpoint_interval is not None and step_counter is None:
            raise ValueError(
                "CheckpointManager: expected a step_counter beside checkpoint_interval. Received: None"
            )
        self.checkpoint, self.directory = checkpoint, os.fspath(directory)
        self._max, self._name, self._steps = max_to_keep, checkpoint_name, step_counter
        self.checkpoint_interval, self._init, self._last = checkpoint_interval, init_fn, None
        latest, found = tf_bundle.read_state(self.directory)
        self._kept = [p for p in found if os.path.isfile(p + ".index")]
        self._latest = latest if latest is not None and os.path.isfile(latest + ".index") else None

    @property
    def latest_checkpoint(self):
        """The prefix of the newest, or None."""
        return self._latest

    @property
    def checkpoints(self):
        """The prefixes that are kept, the oldest first."""
        return list(self._kept)

    def save(self, checkpoint_number=None, check_interval=True, options=None):
        """Writes a checkpoint and deletes those that are too many.

        Args:
            checkpoint_number: the number behind its name; that of the counter if None.
            check_interval: whether `checkpoint_interval` counts.

        Returns:
            Its prefix, or None if it was too early for one.
        """
        if self.checkpoint_interval is not None and check_interval:
            now = int(self._steps.numpy())
            if self._last is not None and now < self._last + self.checkpoint_interval:
                return None
            self._last = now
        self.checkpoint.save_counter.assign_add(1)
        if checkpoint_number is None:
            counter = self.checkpoint.save_counter if self._steps is None else self._steps
            checkpoint_number = int(counter.numpy())
        number = (
            int(checkpoint_number.numpy()) if hasattr(checkpoint_number, "numpy") else int(checkpoint_number)
        )
        prefix = self.checkpoint.write(os.path.join(self.directory, f"{self._name}-{number}"))
        self._latest = prefix
        self._kept = [p for p in self._kept if p != prefix] + [prefix]
        old = self._kept[: -self._max] if self._max is not None else []
        self._kept = self._kept[len(old) :]
        tf_bundle.write_state(
            self.directory, os.path.basename(prefix), [os.path.basename(p) for p in self._kept]
        )
        for name in old:
            _delete(name)
        return prefix

    def restore_or_initialize(self):
        """Restores the newest checkpoint and returns its prefix; without one calls `init_fn` and returns None."""
        if self._latest is not None:
            self.checkpoint.restore(self._latest)
            return self._latest
        if self._init is not None:
            self._init()
        return None


def _delete(prefix):
    folder, name = os.path.dirname(prefix) or ".", os.path.basename(prefix)
    for entry in os.listdir(folder):
        if entry == name + ".index" or (entry.startswith(name + ".data-") and "-of-" in entry):
            os.unlink(os.path.join(folder, entry))


def list_variables(ckpt_dir_or_file):
    """Pairs (key, shape) of a checkpoint, sorted."""
    reader = load_checkpoint(ckpt_dir_or_file)
    return sorted((k, list(reader.shape(k))) for k in reader)


def load_checkpoint(ckpt_dir_or_file):
    """A reader of a checkpoint's tensors: `get_tensor(key)`, `get_variable_to_shape_map()`, `has_tensor(key)`.

    Args:
        ckpt_dir_or_file: a prefix, or a folder, whose latest it is.

    Raises:
        FileNotFoundError: if there is none.
    """
    path = os.fspath(ckpt_dir_or_file)
    if os.path.isdir(path) and not is_checkpoint(path):
        latest = tf_bundle.latest_checkpoint(path)
        if latest is None:
            raise FileNotFoundError(
                f"load_checkpoint: expected a checkpoint in {path!r}. Received: a folder without one"
            )
        path = latest
    return tf_bundle.Checkpoint(_prefix(path))


def load_variable(ckpt_dir_or_file, name):
    """One tensor of a checkpoint."""
    return load_checkpoint(ckpt_dir_or_file).get_tensor(name)
