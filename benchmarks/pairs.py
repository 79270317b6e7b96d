"""Measures accuracy on labeled pairs of faces.

    python benchmarks/pairs.py IMAGES PAIRS [--model sface] [--faces largest] [--margin 14] [--protocol facenet]

PAIRS is LFW's pairs.txt (View 2: ten folds) or pairsDevTest.txt (View 1: one fold, split into its even and odd pairs).
The threshold is fitted on all folds but one and tested on that one. `--protocol facenet` is how LFW figures of
facenet-pytorch's weights were published; `benchmarks/pair_protocols.py` has both protocols.

facenet-pytorch's LFW figure for our default weights, 0.9905 (all 6,000 pairs of View 2), can be repeated with

    python benchmarks/pairs.py LFW/images LFW/pairs.txt --faces center --margin 32 --mirror --protocol facenet
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.labeled_faces import embed_faces, find_best_face, find_faces
from benchmarks.machine import describe_machine
from benchmarks.model_choice import add_models, choose_model
from benchmarks.pair_protocols import Embeddings, evaluate, read_pairs
from shared.domain.cpu_limits import usable_cores

_MARGINS = (0, 14, 22, 32, 44)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("pairs", type=Path)
    add_models(parser)
    parser.add_argument("--faces", nargs="+", default=["largest", "center"], choices=["largest", "center"])
    parser.add_argument("--margin", nargs="+", type=int, default=_MARGINS, help="of models that do not align faces")
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
    model = choose_model(arguments.model)
    networks = model.load(usable_cores())
    aligned = model.contract.alignment == "five-points"
    margins = [model.contract.margin_px] if aligned else arguments.margin
    print(
        f"{len(paths)} images, {sum(map(len, folds))} pairs, {model.contract.model} ({model.contract.weights}), "
        f"protocol {arguments.protocol}. {describe_machine()}\n"
    )
    print(
        "| faces | mode | margin, px | mirror | accuracy | threshold | true accepts at 1e-3 false | "
        "its threshold | no face |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for policy in arguments.faces:
        fast = not arguments.exact
        if fast:
            found = [face for path in paths if (face := find_best_face(path, policy, networks)) is not None]
        else:
            found = find_faces({path: path.parent.name for path in paths}, [policy], networks)[policy]
        for margin in margins:
            contract = replace(model.contract, margin_px=margin)
            for mirror in (False, True) if arguments.mirror else (False,):
                rows = embed_faces(found, contract, networks, mirror=mirror).embeddings
                embeddings: Embeddings = dict.fromkeys(paths)
                embeddings |= {face.path: row for face, row in zip(found, rows, strict=True)}
                a = evaluate(folds, embeddings, arguments.protocol)
                spread = f" +- {a.deviation:.4f}" if len(folds) > 1 else ""
                print(
                    f"| {policy} | {'fast' if fast else 'exact'} | {'aligned' if aligned else margin} | "
                    f"{'yes' if mirror else 'no'} | {a.accuracy:.4f}{spread} | "
                    f"{a.threshold:.3f} | {a.true_accepts:.3f} | {a.false_accept_threshold:.3f} | {a.missing} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
