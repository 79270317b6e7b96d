"""A version of facequeue whose job records differ: `python -m tests.support.next_version worker|producer ...` takes the
arguments of `python -m worker` and `python -m producer`.
"""

import sys

from shared.domain import job
from shared.store import jobs, removal

NEXT_RECORD_VERSION = str(int(job.RECORD_VERSION) + 1)

if __name__ == "__main__":
    for module in (job, jobs, removal):
        module.RECORD_VERSION = NEXT_RECORD_VERSION
    program = sys.argv.pop(1)
    if program == "worker":
        from worker.__main__ import main
    else:
        from producer.__main__ import main
    main()
