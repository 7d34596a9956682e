"""Objects by name: registration, `get`, and the config format that Keras's files use.

A config is plain data. Turning one back into objects only ever finds names that are listed here, registered
by the
program, or passed as `custom_objects`: nothing is imported or evaluated because a file says so.
"""

from rkeras._core import naming

_custom_objects = {}  # registered name -> class or function
_custom_names = {}  # class or function -> registered name

# Keras's public modules whose classes configs may name, and where ours live.
_CLASS_MODULES = {
    "keras": "rkeras", "keras.layers": "rkeras.layers", "keras.initializers": "rkeras.initializers",
    "keras.regularizers": "rkeras.regularizers", "keras.constraints": "rkeras.constraints",
    "keras.dtype_policies": "rkeras.dtype_policies", "keras.losses": "rkeras.losses",
    "keras.metrics": "rkeras.metrics", "keras.optimizers": "rkeras.optimizers",
    "keras.optimizers.schedules": "rkeras.optimizers.schedules", "keras.models": "rkeras.models",
    "keras.random": "rkeras.random",
}  # fmt: skip
_FUNCTION_MODULES = {
    "keras.activations": "rkeras.activations", "keras.losses": "rkeras.losses", "keras.metrics":
    "rkeras.metrics",
}  # fmt: skip
_MAX_DEPTH = 200


class CustomObjectScope:
    """Context in which names mean the given classes and functions.

    Args:
        custom_objects: dict of name to class or function.

    Example:
        >>> def double(x):
        ...     return 2 * x
        >>> with keras.utils.custom_object_scope({"double": double}):
        ...     keras.activations.get("double") is double
        True
    """

    _stack = []

    def __init__(self, custom_objects):
        self.custom_objects = custom_objects or {}

    def __enter__(self):
        self._stack.append(self.custom_objects)
        return self

    def __exit__(self, *exception):
        self._stack.pop()


custom_object_scope = CustomObjectScope


class ObjectSharingScope:
    """Context in which objects that occur more than once are the same object again after a config is read.

    Configs carry `shared_object_id` for them, as in Keras's files.
    """

    _current = None

    def __enter__(self):
        self._before, ObjectSharingScope._current = ObjectSharingScope._current, self
        self.objects = {}  # while reading: id in the file -> object
        self.written = {}  # while writing: id -> object, kept alive so that the id stays its own
        return self

    @staticmethod
    def prune(config):
        """The config without the ids of objects that occur once."""
        seen, stack = {}, [config]
        while stack:
            value = stack.pop()
            if isinstance(value, dict):
                if "shared_object_id" in value:
                    seen.setdefault(value["shared_object_id"], []).append(value)
                stack.extend(value.values())
            elif isinstance(value, (list, tuple)):
                stack.extend(value)
        for places in seen.values():
            if len(places) == 1:
                del places[0]["shared_object_id"]
        return config

    def __exit__(self, *exception):
        ObjectSharingScope._current = self._before


def get_custom_objects():
    """The dict of registered objects by name; entries may be added."""
    return _custom_objects


def register_keras_serializable(package="Custom", name=None):
    """A decorator that lets files name a class or function as `package>name`.

    Args:
        package: a name for the collection.
        name: the name in it; by default that of the class.

    Example:
        >>> @keras.saving.register_keras_serializable("docs")
        ... class Twice(keras.layers.Layer):
        ...     def call(self, x):
        ...         return 2 * x
        >>> keras.saving.get_registered_name(Twice)
        'docs>Twice'
    """

    def decorate(obj):
        registered = f"{package}>{name or obj.__name__}"
        if isinstance(obj, type) and not hasattr(obj, "get_config"):
            raise ValueError(
                f"register_keras_serializable: expected a class with get_config. Received: {obj.__name__}"
            )
        _custom_objects[registered] = obj
        _custom_names[obj] = registered
        return obj

    return decorate


def get_registered_name(obj):
    """The registered name of a class or function, else its own."""
    try:
        return _custom_names.get(obj) or obj.__name__
    except TypeError:
        return obj.__name__


def _find_custom(name, custom_objects=None):
    for scope in (custom_objects or {}, *reversed(CustomObjectScope._stack), _custom_objects):
        if name in scope:
            return scope[name]
    return None


def get_registered_object(name, custom_objects=None, module_objects=None):
    """The class or function of that name: custom ones first; None if there is none."""
    found = _find_custom(name, custom_objects)
    return found if found is not None else (module_objects or {}).get(name)


def is_builtin(cls):
    """Is it a class or function of rkeras?"""
    return getattr(cls, "__module__", "").split(".")[0] == "rkeras" and cls not in _custom_names


def public_module(cls):
    """Keras's public module of a class or function of ours."""
    explicit = cls.__dict__.get("_keras_module") if isinstance(cls, type) else None
    if explicit:
        return explicit
    parts = cls.__module__.split(".")
    if parts[1:3] == ["optimizers", "schedules"]:
        return "keras.optimizers.schedules"
    return "keras" if len(parts) < 2 else f"keras.{parts[1]}"


def serialize_keras_object(obj):
    """An object as plain data in Keras's format.

    Args:
        obj: numbers, strings, lists, dicts, arrays, or objects with `get_config`.

    Returns:
        Plain data; objects become dicts of module, class_name, config, registered_name.

    Raises:
        ValueError: for an object without `get_config`, and for a lambda.

    Example:
        >>> keras.saving.serialize_keras_object(keras.initializers.Zeros())["class_name"]
        'Zeros'
    """
    if obj is None or isinstance(obj, (bool, int, float, str)):
        return obj
    if isinstance(obj, dict):
        return {k: serialize_keras_object(v) for k, v in obj.items()}
    if isinstance(obj, (list, tuple)):
        items = [serialize_keras_object(v) for v in obj]
        return tuple(items) if isinstance(obj, tuple) else items
    if isinstance(obj, bytes):
        return {"class_name": "__bytes__", "config": {"value": obj.decode("utf-8"), "encoding": "utf-8"}}
    if isinstance(obj, slice):
        parts = {k: serialize_keras_object(getattr(obj, k)) for k in ("start", "stop", "step")}
        return {"class_name": "__slice__", "config": parts}
    if obj is Ellipsis:
        return {"class_name": "__ellipsis__", "config": {}}
    plain = _serialize_value(obj)
    if plain is not None:
        return plain
    if isinstance(obj, type) or (
        callable(obj) and hasattr(obj, "__name__") and not hasattr(obj, "get_config")
    ):
        return _serialize_named(obj)
    if not hasattr(obj, "get_config"):
        raise ValueError(
            "serialize_keras_object: expected plain data or an object with get_config(). Received: "
            f"{obj!r} of type "
            f"{type(obj).__name__}. Hint: give the class a get_config method that returns its constructor "
            "arguments."
        )
    cls = type(obj)
    config = {k: serialize_keras_object(v) for k, v in obj.get_config().items()}
    module_name = getattr(obj, "module_name", None)
    if module_name:  # an op of the layer graph
        data = {
            "module": module_name,
            "class_name": obj.class_name,
            "config": config,
            "registered_name": obj.class_name,
        }
    elif is_builtin(cls):
        module = public_module(cls)
        name = cls.__name__ if ".src." in module else None
        data = {"module": module, "class_name": cls.__name__, "config": config, "registered_name": name}
    else:
        name = get_registered_name(cls)
        module = None if name in _custom_objects and name.startswith("Custom>") else cls.__module__
        data = {"module": module, "class_name": cls.__name__, "config": config, "registered_name": name}
    for key, method in (("build_config", "get_build_config"), ("compile_config", "get_compile_config")):
        more = getattr(obj, method, None)
        more = more() if more is not None else None
        if more is not None:
            data[key] = serialize_keras_object(more)
    scope = ObjectSharingScope._current
    if scope is not None:
        scope.written[id(obj)] = obj
        data["shared_object_id"] = id(obj)
    return data


def _serialize_value(obj):
    """Tensors, arrays and NumPy scalars as data; None if it is something else."""
    kind = type(obj).__name__
    if kind == "KerasTensor":
        h = obj._keras_history
        history = None if h is None else [h.operation.name, h.node_index, h.tensor_index]
        config = {"shape": list(obj.shape), "dtype": obj.dtype, "keras_history": history}
        return {"class_name": "__keras_tensor__", "config": config}
    module = type(obj).__module__
    if module.startswith("numpy"):
        if kind == "ndarray":
            return {"class_name": "__numpy__", "config": {"value": obj.tolist(), "dtype": obj.dtype.name}}
        if hasattr(obj, "item"):
            return obj.item()
        if hasattr(obj, "name") and hasattr(obj, "kind"):
            return obj.name
    from rkeras._core.tensor import Tensor
    from rkeras._core.variable import Variable

    if isinstance(obj, (Tensor, Variable)):
        array = obj.numpy()
        return {"class_name": "__tensor__", "config": {"value": array.tolist(), "dtype": obj.dtype}}
    return None


def _serialize_named(obj):
    name = obj.__name__
    if name == "<lambda>":
        raise ValueError(
            "serialize_keras_object: expected an object that files can name. Received: a lambda. Hint: "
            "write a named "
            "function and register it with keras.saving.register_keras_serializable()."
        )
    registered = get_registered_name(obj)
    if is_builtin(obj) and not isinstance(obj, type):
        return {
            "module": public_module(obj),
            "class_name": "function",
            "config": name,
            "registered_name": name,
        }
    if isinstance(obj, type):
        module = public_module(obj) if is_builtin(obj) else obj.__module__
        return {"module": module, "class_name": name, "config": None, "registered_name": registered}
    return {"module": "builtins", "class_name": "function", "config": name, "registered_name": registered}


def _unknown(what, module):
    return TypeError(
        "deserialize_keras_object: expected the name of a class or function that rkeras knows. Received: "
        f"{what!r} of "
        f"module {module!r}. Hint: pass custom_objects={{{str(what)!r}: ...}}, or decorate the class with "
        "@keras.saving.register_keras_serializable() before loading."
    )


def _find_class(module, class_name, registered_name, custom_objects):
    """The class that a config names."""
    import importlib

    if not isinstance(class_name, str) or not isinstance(module, (str, type(None))):
        raise _unknown(class_name, module)
    builtin = isinstance(module, str) and (module == "keras" or module.startswith("keras."))
    if not builtin:
        for name in (registered_name, class_name):
            if isinstance(name, str) and (found := _find_custom(name, custom_objects)) is not None:
                return found
    if module == "keras.src.models.functional":
        return importlib.import_module("rkeras.models.functional").Functional
    where = _CLASS_MODULES.get(module)
    if builtin and where and not class_name.startswith("_"):
        found = getattr(importlib.import_module(where), class_name, None)
        if isinstance(found, type) and hasattr(found, "from_config") and is_builtin(found):
            return found
    found = _find_custom(registered_name, custom_objects) if isinstance(registered_name, str) else None
    if found is None:
        found = _find_custom(class_name, custom_objects)
    if found is None:
        raise _unknown(class_name, module)
    return found


def _find_function(module, name, registered_name, custom_objects):
    import importlib

    for key in (registered_name, name):
        if isinstance(key, str) and (found := _find_custom(key, custom_objects)) is not None:
            return found
    where = _FUNCTION_MODULES.get(module)
    if where and isinstance(name, str) and not name.startswith("_"):
        functions = importlib.import_module(where)
        found = getattr(functions, name, None)
        # What the module lists, not its helpers.
        listed = [*functions._catalogue.by_name.values(), *getattr(functions, "_functions", ())]
        if not isinstance(found, type) and any(found is f for f in listed) and is_builtin(found):
            return found
    raise _unknown(name, module)


def deserialize_keras_object(config, custom_objects=None, safe_mode=True, **kwargs):
    """The object that plain data describes; the inverse of `serialize_keras_object`.

    Args:
        config: plain data.
        custom_objects: dict of name to class or function, for names rkeras does not know.
        safe_mode: accepted for compatibility; configs never run code, whatever its value.

    Raises:
        TypeError: for a class or function that is not known by name.
        ValueError: for data that is not a config.

    Example:
        >>> data = keras.saving.serialize_keras_object(keras.layers.Dense(3))
        >>> keras.saving.deserialize_keras_object(data).units
        3
    """
    return _deserialize(config, custom_objects, 0)


def _deserialize(config, custom_objects, depth):
    if depth > _MAX_DEPTH:
        raise ValueError(
            f"deserialize_keras_object: expected at most {_MAX_DEPTH} levels of nesting. Received: more"
        )
    if config is None or isinstance(config, (bool, int, float)):
        return config
    if isinstance(config, str):
        found = _find_custom(config, custom_objects)
        return config if found is None else found
    if isinstance(config, (list, tuple)):
        return [_deserialize(v, custom_objects, depth + 1) for v in config]
    if not isinstance(config, dict):
        raise ValueError(f"deserialize_keras_object: expected plain data. Received: {type(config).__name__}")
    if "class_name" not in config or "config" not in config:
        return {k: _deserialize(v, custom_objects, depth + 1) for k, v in config.items()}
    scope, shared_id = ObjectSharingScope._current, config.get("shared_object_id")
    if scope is None or not isinstance(shared_id, int):
        return _deserialize_object(config, custom_objects, depth)
    if shared_id not in scope.objects:
        scope.objects[shared_id] = _deserialize_object(config, custom_objects, depth)
    return scope.objects[shared_id]


def _deserialize_object(config, custom_objects, depth):
    class_name, inner = config["class_name"], config["config"]
    module, registered = config.get("module"), config.get("registered_name")
    if isinstance(class_name, str) and class_name.startswith("__"):
        return _deserialize_value(class_name, inner, custom_objects, depth)
    if class_name == "function":
        return _find_function(module, inner, registered, custom_objects)
    if isinstance(module, str) and module.startswith("keras.src.ops."):
        return _deserialize_op(module, class_name, inner, custom_objects, depth)
    cls = _find_class(module, class_name, registered, custom_objects)
    if not isinstance(cls, type):
        return cls
    if inner is None:
        return cls
    if not isinstance(inner, dict):
        raise ValueError(f"{class_name}: expected a dict as config. Received: {type(inner).__name__}")
    if is_builtin(cls):
        _check_plain(inner, class_name)
    with CustomObjectScope(custom_objects):
        try:
            obj = cls.from_config(inner)
        except KeyError as error:
            raise ValueError(
                f"{class_name}: expected {error} in its config. Received: {list(inner)}"
            ) from error
        build_config = config.get("build_config")
        if build_config and hasattr(obj, "build_from_config") and not getattr(obj, "built", False):
            obj.build_from_config(build_config)
        compile_config = config.get("compile_config")
        if compile_config and hasattr(obj, "compile_from_config"):
            obj.compile_from_config(compile_config)
    return obj


def _check_plain(config, class_name):
    """A config names functions; it does not hold them."""
    stack = [config]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            stack.extend(value.values())
        elif isinstance(value, (list, tuple)):
            stack.extend(value)
        elif callable(value) and hasattr(value, "__name__"):
            raise ValueError(
                f"{class_name}: expected plain data as config. Received: the function {value.__name__!r}. Hint: name it, "
                "and pass it in custom_objects."
            )


def _deserialize_op(module, class_name, inner, custom_objects, depth):
    """An op of the layer graph. Only the public functions of `rkeras.ops` are listed."""
    from rkeras._core.symbolic import OpNode, op_classes

    function = op_classes.get((module, class_name))
    if function is None or not isinstance(inner, dict):
        raise _unknown(class_name, module)
    static = {k: _deserialize(v, custom_objects, depth + 1) for k, v in inner.items() if k != "name"}
    unknown = [k for k in static if k not in function.parameters]
    if unknown:
        raise ValueError(f"{class_name}: expected arguments {list(function.parameters)}. Received: {unknown}")
    return OpNode(function, static, name=inner.get("name"))


def _deserialize_value(class_name, inner, custom_objects, depth):
    if class_name == "__keras_tensor__":
        from rkeras._core.symbolic import KerasTensor

        return KerasTensor(inner["shape"], dtype=inner["dtype"])
    if class_name in ("__tensor__", "__numpy__"):
        import numpy as np

        from rkeras._core.tensor import convert_to_tensor, standardize_dtype

        dtype = standardize_dtype(inner["dtype"])
        if class_name == "__numpy__":
            return np.asarray(inner["value"], dtype=dtype)
        return convert_to_tensor(inner["value"], dtype)
    if class_name == "__bytes__":
        return str(inner["value"]).encode("utf-8")
    if class_name == "__ellipsis__":
        return Ellipsis
    if class_name == "__tuple__":
        return tuple(_deserialize(v, custom_objects, depth + 1) for v in inner["value"])
    if class_name == "__slice__":
        parts = (_deserialize(inner.get(k), custom_objects, depth + 1) for k in ("start", "stop", "step"))
        return slice(*parts)
    raise ValueError(
        f"deserialize_keras_object: expected data without code. Received: {class_name}. Hint: code in "
        "files is never "
        "run; pass the function by name in custom_objects."
    )


class Catalogue:
    """The classes or functions of one kind, by all their names: what `get("name")` looks in.

    Args:
        kind: what they are, for messages: "initializer".
        module: Keras's module: "keras.initializers".
        entries: classes or functions.
        aliases: dict of further names to them.
    """

    def __init__(self, kind, module, entries, aliases=None):
        self.kind = kind
        self.module = module
        self.by_name = {}
        for entry in entries:
            self.by_name[entry.__name__] = entry
            if isinstance(entry, type):
                self.by_name.setdefault(naming.to_snake_case(entry.__name__), entry)
        self.by_name.update(aliases or {})

    def serialize(self, obj):
        """The object as plain data."""
        return serialize_keras_object(obj)

    def deserialize(self, config, custom_objects=None):
        """The object of a config, or of a name."""
        if isinstance(config, str):
            return self.named(config, custom_objects)
        if isinstance(config, dict) and "module" not in config:
            name = config.get("class_name")
            cls = self.by_name.get(name) or _find_custom(name, custom_objects)
            if cls is None:
                raise self.unknown(name)
            return cls.from_config(config.get("config") or {}) if hasattr(cls, "from_config") else cls
        return deserialize_keras_object(config, custom_objects=custom_objects)

    def named(self, name, custom_objects=None):
        """The object of that name; classes are made with their defaults."""
        found = _find_custom(name, custom_objects)
        if found is None:
            found = self.by_name.get(name)
        if found is None:
            raise self.unknown(name)
        return found() if isinstance(found, type) else found

    def unknown(self, identifier):
        """The error for something that is none of these."""
        import difflib

        hint = ""
        if isinstance(identifier, str):
            near = difflib.get_close_matches(identifier, self.by_name, n=3)
            hint = f" Hint: did you mean {' or '.join(map(repr, near))}?" if near else ""
        return ValueError(
            f"{self.kind}: expected a name, a config or an object of {self.module}. Received: "
            f"{identifier!r}.{hint}"
        )

    def get(self, identifier):
        """The object that an argument means: None, a name, a config, a class, or the object itself."""
        if identifier is None:
            return None
        if isinstance(identifier, (str, dict)):
            obj = self.deserialize(identifier) if isinstance(identifier, dict) else self.named(identifier)
        else:
            obj = identifier
        if isinstance(obj, type):
            obj = obj()
        if callable(obj):
            return obj
        raise self.unknown(identifier)


def config_value(value):
    """A constructor argument as it stands in a config: objects serialised, structures gone through."""
    if is_function(value):
        return serialize_keras_object(value)
    if isinstance(value, (list, tuple)):
        items = [config_value(v) for v in value]
        return tuple(items) if isinstance(value, tuple) else items
    return serialize_keras_object(value)


def is_function(value):
    """Is it a function, rather than an object with a config?"""
    return callable(value) and hasattr(value, "__name__") and not hasattr(value, "get_config")
