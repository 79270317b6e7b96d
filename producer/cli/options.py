"""Options and arguments that several commands share, and the contract that the options of a job make."""

from pathlib import Path
from typing import Annotated, Any

import typer

from shared.domain.contract import (
    DEFAULT_MARGIN_PX,
    DEFAULT_WEIGHTS,
    KNOWN_WEIGHTS,
    MOST_MARGIN,
    MOST_MARGIN_PX,
    SFACE_WEIGHTS,
    Contract,
    FacePolicy,
    Precision,
    own_weights_name,
)
from shared.domain.embedder_files import MODEL_SUFFIX, read_embedder
from shared.domain.embedders import EMBEDDERS, FACENET, SFACE, Embedder
from shared.domain.errors import InvalidRequest
from shared.domain.file_digests import file_sha256
from shared.domain.options import MOST_IMAGES, MOST_NEIGHBORS, MOST_REPORT_FACES, WhenDistances
from shared.domain.priority import Priority

MOST_DISTANCE = 2.0
"""The distance of two opposite embeddings, which have length 1."""

Folder = Annotated[
    str | None,
    typer.Argument(
        help="The folder with the images, an archive (tar, zip) or a URL (s3://bucket/folder). With --files, where the "
        "paths begin.",
        show_default=False,
    ),
]
Archives = Annotated[
    bool, typer.Option("--archives", help="Take the images in the archives (tar, zip) that are found, as in folders.")
]
Files = Annotated[
    str | None,
    typer.Option(
        "--files",
        metavar="LIST",
        help="Take the images from a list: text (one path a line, or NUL-separated), .csv or .parquet with a column "
        "`path`, or - for standard input.",
        show_default=False,
    ),
]
JobName = Annotated[str, typer.Argument(help="The name of the job.", show_default=False)]

# The options of a job, for `run` and `enqueue`
Faces = Annotated[FacePolicy, typer.Option(help="Which faces of an image to embed.")]
Exact = Annotated[
    bool, typer.Option("--exact", help="Search every level of the image pyramid, as facenet-pytorch does. Slower.")
]
Margin = Annotated[
    int, typer.Option(min=0, max=MOST_MARGIN_PX, help="Pixels around the face, counted in the 160-pixel crop.")
]
Mirror = Annotated[
    bool, typer.Option("--mirror", help="Average each embedding with the embedding of the mirrored crop.")
]
Weights = Annotated[str, typer.Option(help="`casia-webface`, `vggface2`, or a weights file (.pt) of your own.")]
Model = Annotated[
    str,
    typer.Option(
        help="The embedder: `facenet`, `sface` (aligns faces, and tells people apart better; 128 values), or an ONNX "
        "file of your own with its description beside it.",
    ),
]
PrecisionOption = Annotated[
    Precision,
    typer.Option("--precision", help="The embedder's arithmetic. `bf16` is faster; it needs a CPU with AVX512_BF16."),
]
BatchSize = Annotated[
    int | None, typer.Option(min=1, max=MOST_IMAGES, help="Images per batch.", show_default="FACEQUEUE_BATCH_SIZE")
]
Distances = Annotated[
    WhenDistances,
    typer.Option(help="Whether to write the distance matrix. `auto` leaves it out if it is too large."),
]
Neighbors = Annotated[
    int, typer.Option(min=0, max=MOST_NEIGHBORS, help="Nearest faces of each face to write. 0: none, and no groups.")
]
NoReport = Annotated[bool, typer.Option("--no-report", help="Do not write report.html, and cut no thumbnails for it.")]
ReportFaces = Annotated[
    int,
    typer.Option(
        min=0, max=MOST_REPORT_FACES, help="How many faces have a thumbnail in a report of more than 5,000 faces."
    ),
]
Name = Annotated[
    str | None, typer.Option("--job", help="Name of the job and of its results folder.", show_default="generated")
]
Fresh = Annotated[
    bool, typer.Option("--fresh", help="Compute everything, also if the job that --job names has results to update.")
]
Checksum = Annotated[
    bool, typer.Option("--checksum", help="In an update, compare the bytes of all files, not only size and time.")
]
PriorityOption = Annotated[
    Priority | None,
    typer.Option(
        "--priority",
        help="How urgent the job is beside others that workers serve at the same time.",
        show_default="normal",
    ),
]

# For commands that read results
Results = Annotated[
    Path | None, typer.Option("--results", help="The folder with the results.", show_default="FACEQUEUE_RESULTS_DIR")
]
Threshold = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=MOST_DISTANCE,
        help="Largest distance within a group.",
        show_default="calibrated for the default options",
    ),
]
People = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Names and corrections of groups: people.csv as the report saves it, or a folder with sidecars (.xmp).",
        show_default=False,
    ),
]
MinFace = Annotated[
    float,
    typer.Option(min=0, metavar="PX", help="Leave out faces whose box has a side of fewer pixels."),
]
MinProbability = Annotated[
    float,
    typer.Option(min=0, max=1, metavar="P", help="Leave out faces of which the detector is less certain."),
]
MinSharpness = Annotated[
    float,
    typer.Option(min=0, metavar="S", help="Leave out faces with a smaller `sharpness` (a column of faces.csv)."),
]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV instead of a table.")]

# For commands that serve HTTP
Address = Annotated[str, typer.Option(help="Address to listen on.")]


def port_option(setting: str) -> Any:
    """The option for the port to listen on; `setting` has its default."""
    return typer.Option(min=1, max=65535, help="Port to listen on.", show_default=setting)


def embedder_of(model: str) -> Embedder:
    """The embedder of this name, or in this file; InvalidRequest if there is none, or its description is wrong."""
    return EMBEDDERS[model] if model in EMBEDDERS else read_embedder(Path(model))


def contract_of(
    faces: FacePolicy,
    exact: bool,
    margin: int,
    mirror: bool,
    weights: str,
    precision: Precision = "float32",
    model: str = FACENET.name,
) -> Contract:
    """The contract that these options ask for; InvalidRequest if there are no such weights, or they do not fit."""
    embedder = embedder_of(model)
    if embedder != FACENET:
        weights, margin = _only_for_facenet(model, embedder, weights, margin, precision)
    elif weights == SFACE_WEIGHTS:
        raise InvalidRequest("The weights sface are those of --model sface.")
    elif weights.endswith(MODEL_SUFFIX):
        raise InvalidRequest(f"--weights {weights} is a model of its own: give it as --model.")
    name, sha256 = _identify(weights, "--weights" if embedder == FACENET else "--model")
    return Contract(
        faces=faces,
        mode="exact" if exact else "fast",
        margin_px=margin,
        mirror=mirror,
        weights=name,
        weights_sha256=sha256,
        precision=precision,
        **embedder.contract_fields(),
    )


def _only_for_facenet(
    model: str, embedder: Embedder, weights: str, margin: int, precision: Precision
) -> tuple[str, int]:
    """The weights and the margin of another embedder; InvalidRequest if an option is given that it does not have."""
    own = SFACE_WEIGHTS if embedder == SFACE else model
    if weights not in (DEFAULT_WEIGHTS, own):
        raise InvalidRequest(f"--weights {weights} are FaceNet's, and --model {model} has its own: leave it out.")
    if precision != "float32":
        raise InvalidRequest(f"--precision {precision} is tested with --model facenet only: leave it out.")
    if embedder.alignment == "box":
        if margin > MOST_MARGIN * embedder.crop_px:
            raise InvalidRequest(
                f"--margin {margin} is too much in --model {model}'s crop of {embedder.crop_px} pixels."
            )
        return own, margin
    if margin not in (DEFAULT_MARGIN_PX, 0):
        raise InvalidRequest(f"--model {model} aligns faces by their landmarks, without a margin: leave out --margin.")
    return own, 0


def _identify(weights: str, option: str) -> tuple[str, str]:
    """The name and the SHA-256 of built-in weights, or of a file."""
    if weights in KNOWN_WEIGHTS:
        return weights, KNOWN_WEIGHTS[weights]
    path = Path(weights)
    if not path.is_file():
        raise InvalidRequest(f"{option} {weights}: neither one of {', '.join(KNOWN_WEIGHTS)} nor a file.")
    try:
        return own_weights_name(path.stem), file_sha256(path)
    except OSError as error:
        raise InvalidRequest(f"{option} {weights} cannot be read: {error.strerror}.") from None
