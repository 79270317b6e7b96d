"""The cache on this disk, where the workers of `run` keep results of images: its place, its content, its removal."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.config.settings import Settings
from shared.disk_cache.cache_file import (
    FILE_NAME,
    CacheFile,
    CacheUnusable,
    exists,
    open_cache,
    remove_cache,
    size_on_disk,
)
from shared.disk_cache.entries import count_entries, remove_all_entries
from shared.domain.counts import counted
from shared.domain.errors import InvalidRequest
from shared.domain.paths import printable

_OFF = {"disk_cache_max_mib": 0}


def with_disk_cache(settings: Settings, say: Callable[[str], object]) -> Settings:
    """The settings for the workers of `run`: with the cache on disk, or without it if there cannot be one.

    `say` is called with one line if it cannot be used, or is begun anew.
    """
    if not settings.keeps_results_on_disk:
        return settings.model_copy(update=_OFF)
    folder = disk_cache_folder(settings)
    try:
        open_cache(folder, say).close()
    except CacheUnusable as error:
        say(f"Results of images are not kept on disk: {error}")
        return settings.model_copy(update=_OFF)
    return settings.model_copy(update={"disk_cache_dir": folder})


def disk_cache_folder(settings: Settings) -> Path:
    """The folder with the cache of `run`."""
    return (settings.disk_cache_dir or settings.cache_dir).resolve()


def describe_disk_cache(settings: Settings, warn: Callable[[str], object]) -> Iterator[str]:
    """What the cache holds, in lines. InvalidRequest if it cannot be read."""
    folder = disk_cache_folder(settings)
    if not exists(folder):
        yield f"{printable(str(folder / FILE_NAME))}: does not exist"
        return
    with _opened(folder, warn) as file:
        counts = count_entries(file.connection)
        total, limit = counted(sum(counts.values()), "result"), settings.disk_cache_max_mib
        off = "" if settings.keeps_results_on_disk else "; turned off"
        yield f"{printable(str(file.path))}: {total}, {size_on_disk(folder) / 2**20:,.1f} of {limit:,} MiB{off}"
        for label, count in sorted(counts.items(), key=lambda item: -item[1]):
            yield f"  {count:,}: {_describe_contract(label)}"


def clear_disk_cache(settings: Settings, warn: Callable[[str], object]) -> str:
    """Removes all results, and the file itself if no process has it open. Returns what was removed."""
    folder = disk_cache_folder(settings)
    if not exists(folder):
        return "0 results removed"
    with _opened(folder, warn) as file:
        count = sum(count_entries(file.connection).values())
        remove_all_entries(file.connection)
    remove_cache(folder)
    return f"{counted(count, 'result')} removed"


@contextmanager
def _opened(folder: Path, warn: Callable[[str], object]) -> Iterator[CacheFile]:
    try:
        file = open_cache(folder, warn)
    except CacheUnusable as error:
        raise InvalidRequest(f"There is no cache on disk: {error}.") from None
    try:
        yield file
    except sqlite3.Error as error:
        file.is_damaged_by(error)
        raise InvalidRequest(f"The cache {printable(str(file.path))} cannot be used: {error}.") from None
    finally:
        file.close()


def _describe_contract(label: str) -> str:
    """The options and the runtime of a contract, which are what differs most."""
    try:
        values = json.loads(label)
        words = [
            values["weights"],
            f"faces {values['faces']}",
            values["mode"],
            *(["aligned"] if values.get("alignment") == "five-points" else [f"margin {values['margin_px']}"]),
            *(["mirror"] if values["mirror"] else []),
            values["precision"],
            f"{values['backend']} on {values['device']} ({values['instruction_set']})",
            f"pipeline {values['pipeline_version']}",
        ]
    except (ValueError, LookupError, TypeError):
        return "results of another version of facequeue"
    return printable(", ".join(map(str, words)))
