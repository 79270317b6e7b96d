"""Running a batch or an aggregation, crash attribution, result caches, image sources."""
