"""Finding results folders, queries (neighbors, groups), tables of faces."""
