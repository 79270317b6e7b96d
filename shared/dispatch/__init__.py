"""Messages of the batches whose turn it is."""
