"""Whose results a folder holds: only the job that wrote them may replace them."""

from pathlib import Path

from shared.domain.paths import printable
from shared.results.files import read_json
from shared.results.schema import EMBEDDINGS, IMAGES, SUMMARY


def why_not_replaced(folder: Path, origin: str, source: str) -> str | None:
    """Why a job of this origin and source must not write its results to `folder`; None if it may.

    Older summaries have no origin: their source is compared. OSError if the folder cannot be read.
    """
    if not folder.exists():
        return None
    shown = printable(str(folder))
    # Anything else under this name belongs to the user: it may be photos.
    if not all((folder / name).is_file() for name in (EMBEDDINGS, IMAGES)):
        return f"{shown} is there already and is no results folder"
    try:
        summary = read_json(folder / SUMMARY)
        found_origin, found_source = summary.get("origin"), printable(str(summary.get("source")))
    except FileNotFoundError:  # removed to have the results computed again
        return None
    except (ValueError, AttributeError):
        return f"{shown} is there already, and its summary.json, which says whose results these are, is damaged"
    if found_origin == origin or (found_origin is None and found_source == source):
        return None
    if found_source == source:
        return f"{shown} holds results of {source} with other settings, or from another installation"
    return f"{shown} holds the results of {found_source}, and this job is of {source}"
