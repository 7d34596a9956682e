"""The shared laws: one call checks an op, a layer, an optimizer or a saved file."""
