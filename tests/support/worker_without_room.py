"""A worker whose jobs' records take no failed image: `python -m tests.support.worker_without_room`."""

from shared.results import failed_list
from worker.__main__ import main

if __name__ == "__main__":
    failed_list._MOST_IN_RECORD = 0
    main()
