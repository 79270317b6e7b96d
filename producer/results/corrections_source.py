"""What `--people` names: a file with corrections, or a folder with sidecars."""

from collections.abc import Callable
from pathlib import Path

from shared.report.build import images_folder
from shared.results.corrections import Correction
from shared.results.people_file import read_people


def corrections_from(source: Path, folder: Path, say: Callable[[str], object]) -> list[Correction]:
    """The corrections in a file, or the names that the sidecars in a folder give to faces of the job in `folder`.

    `say` is told what the sidecars have. InvalidRequest says why there are none.
    """
    if not source.is_dir():
        return read_people(source)
    from producer.sidecars.people import people_of_sidecars

    return people_of_sidecars(source, folder, images_folder(folder), say)
