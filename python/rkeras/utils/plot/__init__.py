"""Pictures of models without Graphviz: layout, and SVG, PDF and PNG written here."""
