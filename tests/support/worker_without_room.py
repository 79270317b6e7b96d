"""A worker that records no failed images in job records: `python -m tests.support.worker_without_room`."""

from shared.domain import failed_images
from worker.__main__ import main

if __name__ == "__main__":
    failed_images._MOST_IN_RECORD = 0
    main()
