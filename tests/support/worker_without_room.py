"""A worker whose jobs' records take no failed image: `python -m tests.support.worker_without_room`."""

import shared.results.failed_list
from worker.__main__ import main

if __name__ == "__main__":
    shared.failed_list._MOST_IN_RECORD = 0
    main()
