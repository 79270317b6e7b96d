"""Following a job, Prometheus, Flower, doctor."""
