"""Whose results a folder holds: only the job that wrote them may replace them."""

from pathlib import Path

from shared.domain.paths import printable
from shared.results.files import read_json
from shared.results.schema import EMBEDDINGS, IMAGES, SUMMARY


def results_uid(folder: Path) -> str | None:
    """The uid of the job whose results a folder holds: it tells them from earlier and later ones. None if not known."""
    try:
        uid = read_json(folder / SUMMARY)["uid"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return uid if isinstance(uid, str) else None


def why_not_replaced(folder: Path, origin: str, source: str, replaces: str = "") -> str | None:
    """Why a job of this origin and source must not write its results to `folder`; None if it may.

    It may replace results with the uid `replaces` under any origin. Older summaries have no origin: their source is
    compared. OSError if the folder cannot be read.
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
    if replaces and summary.get("uid") == replaces:
        return None
    if found_origin == origin or (found_origin is None and found_source == source):
        return None
    if found_source == source:
        return f"{shown} holds results of {source} with other settings, or from another installation"
    return f"{shown} holds the results of {found_source}, and this job is of {source}"
