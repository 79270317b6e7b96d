"""Every benchmark, one after the other, into `benchmarks/results.md`: `python -m benchmarks DATA` (or `make bench`).

DATA holds the folders `humans` (portraits) and `lfw-view1` (`images/` and `pairsDevTest.txt`). Each result replaces the
one of before, and says when it was measured. `--only stages latency` runs some of them.
"""

import argparse
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE / "results.md"
HEAD = "# Measurements\n\nWritten by `make bench`. The column `met` says which targets were missed.\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", default=Path("../shared/data"))
    parser.add_argument("--only", nargs="+", metavar="NAME", help="names of benchmarks, without .py")
    given = parser.parse_args()
    data: Path = given.data
    humans, lfw = data / "humans", data / "lfw-view1"
    if not humans.is_dir() or not lfw.is_dir():
        sys.exit(f"{data} holds no folders humans and lfw-view1. Name the folder that does: make bench BENCH_DATA=...")
    pairs = next(lfw.glob("pairs*.txt"))
    photographs = [folder for folder in (humans, data / "scenes", lfw / "images") if folder.is_dir()]
    plans: list[tuple[str, list[object]]] = [
        (
            "Time per stage, compared with facenet-pytorch, one core",
            ["stages.py", humans, "--rounds", 3, "--compare", *photographs],
        ),
        (
            "Processes, threads, batch sizes; the baseline",
            ["scaling.py", humans, "--copies", 4, "--batch-size", 8, 16, 32, "--loop"],
        ),
        ("Waiting for `run`", ["latency.py", humans]),
        ("Memory over 3,000 images", ["scaling.py", humans, lfw / "images", "--copies", 2, "--runs", "1x1"]),
        ("Cost of a worker's resource samples", ["sampler.py", humans]),
        ("Capacity of one server", ["commits.py"]),
        ("Many jobs, many batches, long queues", ["record_scale.py"]),
        ("How jobs share workers, a simulated pipeline", ["fairness.py"]),
        ("A million images, a simulated pipeline", ["million.py"]),
        ("A distance matrix larger than the memory", ["large_matrix.py"]),
        ("The cache on disk", ["disk_cache.py"]),
        ("Memory that results take", ["results_memory.py"]),
        ("An update beside a job from nothing", ["update.py", humans]),
        ("Memory that archives take", ["archives.py"]),
        ("Latency of object storage", ["object_storage.py", humans]),
        ("False and true accepts over all pairs", ["all_pairs.py", lfw / "images", "--model", "facenet", "sface"]),
        ("People who resemble each other", ["all_pairs.py", humans, "--model", "facenet", "sface"]),
        ("Methods of grouping, and large jobs", ["groups.py", lfw / "images"]),
        ("Methods of grouping, SFace", ["groups.py", lfw / "images", "--model", "sface", "--sizes"]),
        ("A mean embedding subtracted", ["centering.py", lfw / "images", "--strangers", humans]),
        (
            "A mean embedding subtracted, SFace",
            ["centering.py", lfw / "images", "--model", "sface", "--strangers", humans],
        ),
        ("Speed of models", ["model_speed.py", humans]),
        ("Groups of large jobs", ["group_sizes.py"]),
        ("Groups with corrections", ["corrected_groups.py"]),
        ("Groups of people with many photos", ["many_photos.py"]),
        ("Nearest neighbors of many faces", ["neighbors.py"]),
        ("Updates of nearest neighbors", ["neighbor_updates.py"]),
        ("Accuracy on pairs", ["pairs.py", lfw / "images", pairs, "--margin", 32, "--mirror"]),
        ("Accuracy on pairs, SFace", ["pairs.py", lfw / "images", pairs, "--model", "sface", "--mirror"]),
    ]
    names = [str(arguments[0]).removesuffix(".py") for _, arguments in plans]
    if unknown := sorted(set(given.only or ()) - set(names)):
        sys.exit(f"There is no benchmark {', '.join(unknown)}: there are {', '.join(sorted(set(names)))}.")
    for (title, arguments), name in zip(plans, names, strict=True):
        if given.only and name not in given.only:
            continue
        command = [sys.executable, str(HERE / str(arguments[0])), *map(str, arguments[1:])]
        shown = " ".join(["python", f"benchmarks/{arguments[0]}", *(_short(data, part) for part in arguments[1:])])
        print(f"## {title}\n\n`{shown}`\n", flush=True)
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        print(done.stdout, flush=True)
        measured = f"`{shown}`, {datetime.now(UTC):%Y-%m-%d}\n\n{done.stdout.strip()}\n"
        sections = read_sections(RESULTS.read_text()) | {title: measured}
        RESULTS.write_text(format_sections(sections, [title for title, _ in plans]))


def read_sections(text: str) -> dict[str, str]:
    """The sections of a file of results, by title."""
    parts = re.split(r"^## (.*)\n+", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], (part.strip() + "\n" for part in parts[2::2]), strict=True))


def format_sections(sections: dict[str, str], titles: list[str]) -> str:
    """A file of results with those sections that have one of `titles`, in their order."""
    return "\n".join([HEAD, *(f"## {title}\n\n{sections[title]}" for title in titles if title in sections)])


def _short(data: Path, argument: object) -> str:
    return f"DATA/{argument.relative_to(data)}" if isinstance(argument, Path) else str(argument)


if __name__ == "__main__":
    main()
