"""`python -m shared.report FOLDER --images IMAGES`: the aggregator runs it, so that a crash costs no results."""

import argparse
import sys
from pathlib import Path

from shared.domain.errors import FaceQueueError
from shared.domain.options import DEFAULT_REPORT_FACES
from shared.domain.paths import printable
from shared.report.build import ReportRequest, build_report


def main() -> int:
    """Writes the report and prints its path."""
    parser = argparse.ArgumentParser(
        prog="python -m shared.report", description="Write report.html into a results folder."
    )
    parser.add_argument("folder", type=Path, help="a job's results folder")
    parser.add_argument("--images", type=Path, help="the folder with the job's images, for the thumbnails")
    parser.add_argument("--threshold", type=float, help="distance up to which faces are grouped")
    parser.add_argument("--thumbnail-seconds", type=float, help="start no further thumbnail after this time")
    parser.add_argument("--report-faces", type=int, default=DEFAULT_REPORT_FACES, help="faces with a thumbnail")
    parser.add_argument("--group", type=int, help="make a page of this group alone")
    options = parser.parse_args()
    try:
        written = build_report(
            options.folder,
            options.images,
            ReportRequest(
                threshold=options.threshold,
                thumbnail_seconds=options.thumbnail_seconds,
                pictures=options.report_faces,
                group=options.group,
            ),
        )
    except FaceQueueError as error:
        print(f"report: {error}", file=sys.stderr)
        return 1
    print(printable(str(written)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
