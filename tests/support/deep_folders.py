"""Folders in folders, deeper than paths are long."""

import os
from pathlib import Path


def nest(folder: Path, name: str, depth: int) -> None:
    """Makes folders in folders, with an image in the innermost, also where its path is longer than the system takes."""
    here = os.open(folder, os.O_DIRECTORY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_DIRECTORY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("in.jpg", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
