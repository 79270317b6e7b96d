"""Made-up samples of a worker's processes."""

from datetime import UTC, datetime

from shared.results.schema import SAMPLE_COLUMNS


def sample_row(
    at_s: float, pid: int, *, cpu: float = 50, rss: float = 300, images: int = 0, batch: str = "1"
) -> dict[str, str]:
    """The sample of one process at this moment, with every column."""
    return dict.fromkeys(SAMPLE_COLUMNS, "") | {
        "time": datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds"),
        "pid": str(pid),
        "role": "child",
        "cpu_percent": f"{cpu:.1f}",
        "rss_mib": f"{rss:.1f}",
        "threads": "4",
        "read_mib": "180.1",
        "written_mib": "0.4",
        "images_done": str(images),
        "job": "archive-of-photographs" if batch else "",
        "batch": batch,
        "machine_cpu_percent": "98.1",
        "machine_memory_percent": "44.0",
    }
