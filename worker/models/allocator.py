"""How this process's memory is allocated: large arrays of one image are reused for the next, but not for ever."""

import ctypes
from collections.abc import Callable
from functools import lru_cache
from typing import Any

# Of glibc's <malloc.h>.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_KEPT_FREE_BYTES = 256 * 2**20


def keep_freed_memory() -> None:
    """Lets glibc keep up to 256 MiB of freed memory for the next large arrays, instead of returning each to the system.

    The system zeroes each page of fresh memory when it is first touched. (Measured over 97 photographs: 5 ms of 67 an
    image.) `release_free_memory` returns them between batches.
    """
    mallopt = _of_glibc("mallopt")
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, _KEPT_FREE_BYTES)


def release_free_memory() -> None:
    """Returns freed memory to the system, which glibc would keep between the large arrays of a batch.

    (Measured over 3,000 photographs of mixed sizes: 460 MiB instead of 530 at the end, in the same time.)
    """
    _of_glibc("malloc_trim")(0)


@lru_cache
def _of_glibc(name: str) -> Callable[..., Any]:
    """A function of glibc, or one that does nothing where the C library is another."""
    try:
        function: Callable[..., Any] = getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError):
        return lambda *arguments: None
    return function
