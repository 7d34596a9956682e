"""Models: functional, sequential, cloned, loaded."""

from rkeras.models.cloning import clone_model as clone_model
from rkeras.models.model import Model as Model
from rkeras.models.model import model_from_json as model_from_json
from rkeras.models.sequential import Sequential as Sequential


def __getattr__(name):
    # Files are read by `rkeras.saving`, which stands above.
    if name in ("load_model", "save_model"):
        import rkeras.saving

        return getattr(rkeras.saving, name)
    raise AttributeError(f"module 'rkeras.models' has no attribute {name!r}")
