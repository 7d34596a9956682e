"""How much disk the installed distributions take that a package cannot be imported without."""

import importlib.metadata as metadata
import importlib.util
import re
from pathlib import Path


def required(name, seen):
    """Adds a distribution and what it requires (extras aside) to `seen`, name -> distribution."""
    name = re.sub(r"[-_.]+", "-", name).lower()
    if name in seen:
        return
    try:
        seen[name] = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return  # a requirement of another system or Python, whose marker does not hold here
    for line in seen[name].requires or []:
        if "extra ==" not in line.replace("'", '"'):
            required(re.match(r"[\w.-]+", line)[0], seen)


def closure_mib(modules):
    """MiB of the files of the distributions that bring these modules, and of all that they require.

    Compiled Python (.pyc) is left out: who installs decides whether it is written.
    """
    paths = set()
    owners = metadata.packages_distributions()
    for module in modules:
        found = {}
        for owner in set(owners.get(module, [module])):
            required(owner, found)
        for distribution in found.values():
            paths |= {Path(distribution.locate_file(f)) for f in distribution.files or []}
        # Installed for development, the files lie elsewhere.
        folder = Path(importlib.util.find_spec(module).origin).parent
        paths |= set(folder.rglob("*"))
    paths = {p.resolve() for p in paths if p.suffix != ".pyc"}
    return sum(p.stat().st_size for p in paths if p.is_file()) / 2**20
