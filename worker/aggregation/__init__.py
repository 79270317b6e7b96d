"""Results folder, Parquet, distance matrix, spill files."""
