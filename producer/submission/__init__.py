"""Discovery of images, batches and jobs, backpressure."""
