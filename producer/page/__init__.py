"""The page of jobs: what it shows, its updates, files of finished jobs."""
