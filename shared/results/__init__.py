"""A results folder: columns, reader, files, distances; people.csv and the faces that it names."""
