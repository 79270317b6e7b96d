"""The file with the cache on disk: opening, checking, entries."""
