"""Functions on nested structures of lists, tuples and dicts (`rkeras.tree`)."""

from rkeras._core.tree import MAP_TO_NONE as MAP_TO_NONE
from rkeras._core.tree import assert_same_paths as assert_same_paths
from rkeras._core.tree import assert_same_structure as assert_same_structure
from rkeras._core.tree import flatten as flatten
from rkeras._core.tree import flatten_with_path as flatten_with_path
from rkeras._core.tree import is_nested as is_nested
from rkeras._core.tree import lists_to_tuples as lists_to_tuples
from rkeras._core.tree import map_shape_structure as map_shape_structure
from rkeras._core.tree import map_structure as map_structure
from rkeras._core.tree import map_structure_up_to as map_structure_up_to
from rkeras._core.tree import pack_sequence_as as pack_sequence_as
from rkeras._core.tree import traverse as traverse
