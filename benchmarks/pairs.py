"""Measures accuracy on labeled pairs of faces.

    python benchmarks/pairs.py IMAGES PAIRS [--faces largest] [--margin 14] [--protocol facenet]

PAIRS is LFW's pairs.txt (View 2: ten folds) or pairsDevTest.txt (View 1: one fold, split into its even and odd pairs).
The threshold is fitted on all folds but one and tested on that one. `--protocol facenet` is how LFW figures of
facenet-pytorch's weights were published; `benchmarks/pair_protocols.py` has both protocols.

facenet-pytorch's LFW figure for our default weights, 0.9905 (all 6,000 pairs of View 2), can be repeated with

    python benchmarks/pairs.py LFW/images LFW/pairs.txt --faces center --margin 32 --mirror --protocol facenet
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.machine import describe_machine
from benchmarks.pair_protocols import evaluate, read_pairs
from shared.config.settings import load_settings
from shared.domain.arrays import Float32
from shared.domain.contract import KNOWN_WEIGHTS
from shared.domain.cpu_limits import usable_cores
from worker.models.loader import load_networks
from worker.vision.best_face_search import detect_best
from worker.vision.decode import Limits, decode, read_bytes
from worker.vision.face_crops import crop_face
from worker.vision.face_selection import SinglePolicy, choose_faces
from worker.vision.integral_image import IntegralImage
from worker.vision.mtcnn_cascade import detect_faces
from worker.vision.pipeline import Networks, embed_crops

LIMITS = Limits(100 * 2**20, 100 * 10**6)
WEIGHTS = "casia-webface"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--faces", nargs="+", default=["largest", "center"], choices=["largest", "center"])
    parser.add_argument("--margin", nargs="+", type=int, default=[0, 14, 22, 32, 44])
    parser.add_argument("--mirror", action="store_true", help="also with each crop's mirror image averaged in")
    parser.add_argument("--exact", action="store_true", help="the whole cascade for `largest` too")
    parser.add_argument("--protocol", default="euclidean", choices=["euclidean", "facenet"])
    arguments = parser.parse_args()
    try:
        folds = read_pairs(arguments.images, arguments.pairs)
    except (OSError, ValueError) as error:
        sys.exit(str(error))
    paths = sorted({path for pairs in folds for pair in pairs for path in (pair.first, pair.second)})
    if absent := [path for path in paths if not path.is_file()]:
        sys.exit(f"{len(absent)} of the {len(paths)} images are not in {arguments.images}; the first is {absent[0]}.")
    settings = load_settings()
    networks = load_networks(WEIGHTS, KNOWN_WEIGHTS[WEIGHTS], settings, usable_cores())
    print(
        f"{len(paths)} images, {sum(map(len, folds))} pairs, weights {WEIGHTS}, protocol {arguments.protocol}. "
        f"{describe_machine()}\n"
    )
    print(
        "| faces | mode | margin, px | mirror | accuracy | threshold | true accepts at 1e-3 false | "
        "its threshold | no face |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for faces in arguments.faces:
        fast = not arguments.exact
        boxes = {path: _find(_decode(path), faces, fast, networks) for path in paths}
        for margin in arguments.margin:
            for mirror in (False, True) if arguments.mirror else (False,):
                embeddings = {
                    path: None if box is None else _embed(path, box, margin, networks, mirror=mirror)
                    for path, box in boxes.items()
                }
                a = evaluate(folds, embeddings, arguments.protocol)
                spread = f" +- {a.deviation:.4f}" if len(folds) > 1 else ""
                print(
                    f"| {faces} | {'fast' if fast else 'exact'} | {margin} | "
                    f"{'yes' if mirror else 'no'} | {a.accuracy:.4f}{spread} | "
                    f"{a.threshold:.3f} | {a.true_accepts:.3f} | {a.false_accept_threshold:.3f} | {a.missing} |",
                    flush=True,
                )


def _decode(path: Path) -> Image.Image:
    return decode(read_bytes(path, LIMITS), LIMITS)


def _embed(path: Path, box: Float32, margin: int, networks: Networks, *, mirror: bool) -> Float32:
    return embed_crops(crop_face(_decode(path), box, margin)[None], networks, mirror=mirror)[0]


def _find(image: Image.Image, faces: SinglePolicy, fast: bool, networks: Networks) -> Float32 | None:
    sums = IntegralImage(np.asarray(image))
    found = detect_best(sums, faces, networks) if fast else detect_faces(sums, networks)
    chosen = choose_faces(found, faces, image.width, image.height)
    return found.boxes[chosen[0]] if len(chosen) else None


if __name__ == "__main__":
    main()
