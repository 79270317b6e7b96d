"""Contract, outcomes, errors, paths, task ids, image formats, array types."""
