"""Pages about a model: the atlas of a layer's units."""
