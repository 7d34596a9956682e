"""No import runs upward: the table of the architecture page, held."""

import ast
from pathlib import Path

import rkeras

PACKAGE = Path(rkeras.__file__).parent
# Each may import those of a smaller number; equal numbers only within the same unit.
LEVELS = {
    "_rkeras": 0,
    "_core": 1, "config": 1.5, "tree": 1.5, "backend": 1.5,
    "ops": 2, "random": 2.5,
    "activations": 3, "initializers": 3, "regularizers": 3, "constraints": 3, "dtype_policies": 3,
    "losses": 4, "layers": 4.5, "metrics": 4.5, "optimizers": 4.5,
    "callbacks": 5, "_training": 6, "models": 7,
    "saving": 8, "export": 8.5, "distribution": 8, "utils": 8, "datasets": 8, "preprocessing": 8.5, "mixed_precision": 8, "applications": 8,
    "tf": 9, "__init__": 9,
}  # fmt: skip
BINARY_USERS = {"_core", "ops", "random", "_training", "__init__"}


def unit(path):
    relative = path.relative_to(PACKAGE)
    return relative.parts[0].removesuffix(".py")


def imports(path):
    """(line, first package below rkeras) of every import at module level; late ones inside functions are exceptions."""
    module = ast.parse(path.read_text())
    for node in module.body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "rkeras":
            parts = node.module.split(".")
            for name in [parts[1]] if len(parts) > 1 else [a.name for a in node.names]:
                yield node.lineno, name
        elif isinstance(node, ast.Import):
            for alias in node.names:
                parts = alias.name.split(".")
                if parts[0] == "rkeras" and len(parts) > 1:
                    yield node.lineno, parts[1]


def test_no_import_runs_upward():
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        here = unit(path)
        assert here in LEVELS, f"{path} has no level in the architecture table"
        for line, there in imports(path):
            if there in LEVELS and there != here and not LEVELS[there] < LEVELS[here]:
                wrong.append(f"{path.relative_to(PACKAGE)}:{line} imports {there}")
            if there == "_rkeras" and here not in BINARY_USERS:
                wrong.append(f"{path.relative_to(PACKAGE)}:{line} imports the binary")
    assert not wrong, "\n".join(wrong)
