"""Nested folders that are deeper than a path may be long."""

import os
from pathlib import Path


def nest(folder: Path, name: str, depth: int) -> None:
    """Creates nested folders with an image in the innermost one, even if its path is too long for the system."""
    here = os.open(folder, os.O_DIRECTORY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_DIRECTORY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("in.jpg", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
