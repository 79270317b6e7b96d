"""The names of a results folder's files, and the columns of its tables."""

from pathlib import Path

from shared.domain.stages import STAGES

EMBEDDINGS = "embeddings.npy"
DISTANCES = "distances.npy"
NEIGHBORS = "neighbors.npz"
GROUPS = "groups.csv"
FACES = "faces.csv"
FACES_PARQUET = "faces.parquet"
PARQUET_CONTRACT = "facequeue.contract"
"""The key of the file's metadata that has the contract, as JSON."""
IMAGES = "images.csv"
DIGESTS = "digests.csv"
FAILED_LIST = "failed.csv"
SUMMARY = "summary.json"
THUMBNAILS = "thumbnails.bin"
REPORT = "report.html"
REPORT_FILES = "report"
"""The folder with the files of a large report; those of a page of one group are `report-group-G`."""
RESOURCES = "resources"
"""The folder with one table of samples for each worker."""
PROFILES = "profile"
"""The folder with the profiles of the worker processes."""

BOX_COLUMNS = ("x1", "y1", "x2", "y2", "probability")
LANDMARK_COLUMNS = tuple(
    f"{point}_{axis}" for point in ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right") for axis in ("x", "y")
)
"""Left and right as one sees the image, in MTCNN's order."""
QUALITY_COLUMNS = ("size_px", "sharpness", "yaw", "roll_deg", "inside")
FOUND_COLUMNS = (*BOX_COLUMNS, *LANDMARK_COLUMNS, *QUALITY_COLUMNS)
"""What is known of a face besides its embedding."""
FACE_COLUMNS = ("face", "image", "path", *FOUND_COLUMNS)
FIGURE_COLUMNS = ("width", "height", *(f"{stage}_ms" for stage in STAGES), "worker", "attempt")
IMAGE_COLUMNS = ("image", "path", "outcome", "error", "faces", "same_as", *FIGURE_COLUMNS)
FILE_COLUMNS = ("path", "outcome", "error", "same_as", "width", "height")
"""Of images.csv: what a reader of results needs."""
DIGEST_COLUMNS = ("image", "blake2b", "size", "mtime_ns", "exact_path")
"""`exact_path` is the path as JSON if `images.csv` does not show its exact bytes, otherwise it is empty."""
GROUP_COLUMNS = ("face", "group", "distance", "left_out")
FAILED_COLUMNS = ("retries", "image", "path")
SAMPLE_COLUMNS = (
    *("time", "pid", "role", "cpu_percent", "rss_mib", "uss_mib", "threads", "read_mib", "written_mib", "images_done"),
    *("job", "batch", "machine_cpu_percent", "machine_memory_percent"),
)


def samples_name(worker: str) -> str:
    """The file name of a worker's table of samples; two workers never share one."""
    return worker.replace("%", "%25").replace("/", "%2F") + ".csv"


def worker_of_samples(path: Path) -> str:
    """The worker whose samples the file holds: the inverse of `samples_name`."""
    return path.name.removesuffix(".csv").replace("%2F", "/").replace("%25", "%")
