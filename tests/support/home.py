"""Keeps the tests out of the user's home. Import it before anything that asks platformdirs for a folder.

On import it replaces HOME and the XDG folders with a temporary one and removes the user's facequeue settings, for this
process and its children. `HOME_GUARD` then records, and prevents, writes below the real home.
"""

import atexit
import os
import pwd
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
_REAL_HOME = "TESTS_REAL_HOME"  # processes of pytest-xdist inherit it, and with it the temporary home
_XDG = ("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR")
_SETTINGS = ("FACEQUEUE_", "REDIS_URL")
TEST_SERVER = "FACEQUEUE_TEST_SERVER"
"""Names the program of the server that tests run on, by default that of `run`. No setting of the code under test."""
_PATHS = {
    "os.mkdir": (0,),
    "os.rename": (0, 1),
    "os.remove": (0,),
    "os.rmdir": (0,),
    "os.link": (1,),
    "os.symlink": (1,),
    "os.truncate": (0,),
    "os.chmod": (0,),
    "os.utime": (0,),
}
"""Audit events that change something, and the positions of their paths. `open` and `subprocess.Popen` are handled
separately.
"""


def _move_out() -> None:
    if _REAL_HOME in os.environ:
        return
    os.environ[_REAL_HOME] = os.environ.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir
    for name in [*_XDG, *(name for name in os.environ if name.startswith(_SETTINGS) and name != TEST_SERVER)]:
        os.environ.pop(name, None)
    home, owner = tempfile.mkdtemp(prefix="facequeue-tests-home-"), os.getpid()
    os.environ["HOME"] = home
    atexit.register(lambda: os.getpid() == owner and shutil.rmtree(home, ignore_errors=True))


class HomeGuard:
    """Refuses writes below a folder, and records who tried."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.writes: list[str] = []
        # Any of these may lie in a home.
        own = (ROOT, sys.prefix, sys.base_prefix, tempfile.gettempdir())
        self._exempt = tuple(Path(path).resolve() for path in own)

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        """The hook for `sys.addaudithook`. It also refuses to start a process with the real home."""
        if event == "open":
            path, mode, flags = arguments
            writes = any(letter in (mode or "") for letter in "wax+") or flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            paths = [path] if writes else []
        elif event in _PATHS:
            paths = [arguments[place] for place in _PATHS[event]]
        elif event == "subprocess.Popen":
            home = (arguments[3] or {}).get("HOME")
            if home is not None and Path(os.path.realpath(home)) == self.folder:
                self._refuse(f"started {arguments[0]} with the user's own home")
            return
        else:
            return
        for path in paths:
            if isinstance(path, str | bytes | os.PathLike) and self._is_ours(os.fsdecode(path)):
                self._refuse(f"wrote below the user's own home: {event} {os.fsdecode(path)}")

    def _is_ours(self, path: str) -> bool:
        # Not Path.resolve, which would raise audit events of its own for every file that a test opens.
        absolute = Path(os.path.realpath(path))
        return absolute.is_relative_to(self.folder) and not any(absolute.is_relative_to(own) for own in self._exempt)

    def _refuse(self, what: str) -> None:
        self.writes.append(what)
        raise AssertionError(f"A test {what}.")


_move_out()
HOME_GUARD = HomeGuard(Path(os.environ[_REAL_HOME]))
sys.addaudithook(HOME_GUARD.hook)
