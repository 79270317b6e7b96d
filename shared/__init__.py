"""What producer and worker must agree on; neither imports the other."""
