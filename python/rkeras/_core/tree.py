"""Nested structures: lists, tuples, named tuples, dicts of leaves. Dicts are visited by sorted key."""


def is_nested(structure):
    """True for a list, tuple or dict (of anything)."""
    return isinstance(structure, (list, tuple, dict))


def _keys(structure):
    try:
        return sorted(structure)
    except TypeError:
        return list(structure)


def _rebuild(like, items):
    """A structure of the type of `like` around new items (in visiting order)."""
    kind = type(like)
    if isinstance(like, dict):
        new = dict(zip(_keys(like), items, strict=True))
        ordered = {k: new[k] for k in like}
        return ordered if kind.__name__ in ("dict", "TrackedDict") else kind(ordered)
    if hasattr(like, "_fields"):
        return kind(*items)
    if isinstance(like, tuple):
        return tuple(items)
    return list(items)


def _children(structure):
    if isinstance(structure, dict):
        return [structure[k] for k in _keys(structure)]
    return list(structure)


def flatten(structure):
    """The leaves, as a list."""
    leaves = []
    _collect(structure, leaves)
    return leaves


def _collect(structure, leaves):
    if isinstance(structure, dict):
        for k in _keys(structure):
            _collect(structure[k], leaves)
    elif isinstance(structure, (list, tuple)):
        for item in structure:
            _collect(item, leaves)
    else:
        leaves.append(structure)


def flatten_with_path(structure):
    """Pairs (path, leaf); a path is a tuple of keys and positions."""
    pairs = []

    def walk(path, node):
        if isinstance(node, dict):
            for k in _keys(node):
                walk((*path, k), node[k])
        elif isinstance(node, (list, tuple)):
            for i, item in enumerate(node):
                walk((*path, i), item)
        else:
            pairs.append((path, node))

    walk((), structure)
    return pairs


def map_structure(func, *structures, none_is_leaf=True):
    """The same structure with `func(leaf, ...)` in place of the leaves."""
    if not structures:
        raise ValueError("map_structure: expected at least one structure. Received: none")
    if len(structures) > 1:
        for other in structures[1:]:
            assert_same_structure(structures[0], other)
    return _map(func, structures, none_is_leaf)


def _map(func, structures, none_is_leaf=True):
    first = structures[0]
    if isinstance(first, (list, tuple, dict)):
        rows = [_children(s) for s in structures]
        return _rebuild(first, [_map(func, row, none_is_leaf) for row in zip(*rows, strict=True)])
    if first is None and not none_is_leaf:
        return None
    return func(*structures)


def map_structure_up_to(shallow_structure, func, *structures):
    """Like `map_structure`, but only as deep as `shallow_structure`; what lies deeper is passed whole."""

    def walk(shallow, parts):
        if not isinstance(shallow, (list, tuple, dict)):
            return func(*parts)
        for part in parts:
            if not isinstance(part, (list, tuple, dict)) or len(part) != len(shallow):
                raise ValueError(
                    f"map_structure_up_to: expected a structure like {shallow}. Received: {part}"
                )
        rows = [_children(p) for p in parts]
        pairs = zip(_children(shallow), zip(*rows, strict=True), strict=True)
        return _rebuild(shallow, [walk(s, row) for s, row in pairs])

    return walk(shallow_structure, structures)


def assert_same_structure(a, b, check_types=None):
    """Raises ValueError unless both have the same nesting."""

    def walk(x, y):
        if isinstance(x, dict) or isinstance(y, dict):
            same = isinstance(x, dict) and isinstance(y, dict) and set(x) == set(y)
        elif is_nested(x) or is_nested(y):
            same = (
                is_nested(x)
                and is_nested(y)
                and len(x) == len(y)
                and isinstance(x, tuple) == isinstance(y, tuple)
            )
        else:
            return
        if not same:
            raise ValueError(f"Expected structures of the same nesting. Received: {a} and {b}")
        for p, q in zip(_children(x), _children(y), strict=True):
            walk(p, q)

    walk(a, b)


def assert_same_paths(a, b):
    """Raises ValueError unless the leaves of both lie at the same paths (lists and tuples are alike)."""
    paths_a = {path for path, _ in flatten_with_path(a)}
    paths_b = {path for path, _ in flatten_with_path(b)}
    if paths_a != paths_b:
        raise ValueError(
            f"Expected leaves at the same paths. Received: {sorted(map(str, paths_a ^ paths_b))} in one only"
        )


def pack_sequence_as(structure, flat_sequence):
    """The leaves of `flat_sequence`, in order, in the nesting of `structure`."""
    flat = list(flat_sequence)
    count = len(flatten(structure))
    if count != len(flat):
        raise ValueError(f"pack_sequence_as: expected {count} leaves for {structure}. Received: {len(flat)}")
    leaves = iter(flat)

    def walk(node):
        if is_nested(node):
            return _rebuild(node, [walk(child) for child in _children(node)])
        return next(leaves)

    return walk(structure)


def lists_to_tuples(structure):
    """The structure with every list replaced by a tuple."""
    if isinstance(structure, dict):
        return {k: lists_to_tuples(v) for k, v in structure.items()}
    if isinstance(structure, (list, tuple)):
        items = [lists_to_tuples(v) for v in structure]
        return type(structure)(*items) if hasattr(structure, "_fields") else tuple(items)
    return structure


def is_shape(x):
    """True for a tuple or list of integers and None: a shape, not a structure."""
    return isinstance(x, (list, tuple)) and all(d is None or isinstance(d, int) for d in x)


def map_shape_structure(func, structure):
    """The structure with `func(shape)` in place of every shape tuple."""
    if is_shape(structure):
        return func(tuple(structure))
    if isinstance(structure, dict):
        return {k: map_shape_structure(func, v) for k, v in structure.items()}
    if isinstance(structure, (list, tuple)):
        return type(structure)([map_shape_structure(func, v) for v in structure])
    raise ValueError(f"map_shape_structure: expected shapes. Received: {structure}")


class MAP_TO_NONE:
    """What a `traverse` function returns to put None in a node's place."""


def traverse(func, structure, top_down=True):
    """Visits every node; `func(node)` gives its replacement, or None to go on into it."""
    if top_down:
        new = func(structure)
        if new is MAP_TO_NONE:
            return None
        if new is not None:
            return new
        if is_nested(structure):
            return _rebuild(structure, [traverse(func, c, True) for c in _children(structure)])
        return structure
    if is_nested(structure):
        structure = _rebuild(structure, [traverse(func, c, False) for c in _children(structure)])
    new = func(structure)
    if new is MAP_TO_NONE:
        return None
    return structure if new is None else new
