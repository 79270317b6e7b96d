"""The workers: compute batches, write results, requeue what is lost."""
