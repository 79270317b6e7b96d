"""The tool behind `make mutants`: the mutant really runs, and the code that each test reaches is known."""

import importlib
import sys
from pathlib import Path

import pytest

from tests.mutants.in_place import put_in_place
from tests.mutants.lua import mutants_of_lua
from tests.mutants.python import mutants_of_python
from tests.mutants.reached import noting_places

_SCRIPT = "local a = redis.call('GET', KEYS[1])\nif a and a ~= ARGV[1] then return 0 end\nreturn 1\n"
_MODULE = """
import os
from unittest.mock import Mock

_log, _door = Mock(), Mock()


class Gate:
    def admits(self, age: int) -> bool:
        found: int | None = age
        return found > 17

    @property
    def closed(self) -> bool:
        return not self.admits(99)


def anyone() -> bool:
    try:
        _log.info("asked")
        _door.open()
    except (ValueError, os.error):
        pass
    except KeyError:
        pass
    return True
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that is imported from this folder."""
    (tmp_path / "gate_of_mutants.py").write_text(_MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "gate_of_mutants", raising=False)
    importlib.import_module("gate_of_mutants")
    return Path("gate_of_mutants.py")


def test_each_part_of_a_condition_has_its_mutants() -> None:
    """The whole condition fails, is negated, loses either side of `and`, and gets another comparison."""
    after = {mutant.after for mutant in mutants_of_lua(Path("a.lua"), _SCRIPT)}
    assert after == {
        "error('mutant') local a = redis.call('GET', KEYS[1])",
        "if false then return 0 end",
        "if a ~= ARGV[1] then return 0 end",
        "if a then return 0 end",
        "if a and a == ARGV[1] then return 0 end",
    }


def test_mutants_of_python_name_their_function(module: Path) -> None:
    """Annotations are not mutated, because they do not run."""
    found = {(mutant.function, mutant.after) for mutant in mutants_of_python(module, _MODULE)}
    assert ("Gate.admits", "return found >= 17") in found
    assert ("Gate.closed", "return self.admits(99)") in found
    assert ("anyone", "return False") in found
    assert not any("found: int" in after for _, after in found)


def test_calls_and_caught_errors_are_left_out_one_by_one(module: Path) -> None:
    """Log calls are left out."""
    after = {mutant.after for mutant in mutants_of_python(module, _MODULE) if mutant.function == "anyone"}
    assert after == {
        "return False", "pass", "except ((), os.error):", "except (ValueError, ()):", "except ():",
    }  # fmt: skip


def test_a_mutant_of_python_is_what_runs(module: Path, tmp_path: Path) -> None:
    """This covers methods, properties and functions that were imported before. A missing one is an error."""
    gate, anyone = sys.modules["gate_of_mutants"].Gate(), sys.modules["gate_of_mutants"].anyone
    assert (gate.admits(17), gate.closed, anyone()) == (False, False, True)
    for mutant in mutants_of_python(module, _MODULE):
        if mutant.after in ("return found >= 17", "return self.admits(99)", "return False"):
            put_in_place(tmp_path, mutant.path, mutant.source, mutant.function)
    assert (gate.admits(17), gate.closed, anyone()) == (True, True, False)
    with pytest.raises(LookupError, match="nobody"):
        put_in_place(tmp_path, module, _MODULE, "nobody")


def test_a_mutant_of_a_script_is_what_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only this process reads the mutant; the file and other processes are not affected."""
    monkeypatch.setattr(Path, "read_text", Path.read_text)  # put back afterwards
    for name in ("a.lua", "b.lua"):
        (tmp_path / name).write_text(_SCRIPT)
    put_in_place(tmp_path, Path("a.lua"), "return 7", "")
    assert ((tmp_path / "a.lua").read_text(), (tmp_path / "b.lua").read_text()) == ("return 7", _SCRIPT)
    assert (tmp_path / "a.lua").read_bytes() == _SCRIPT.encode()


def test_what_a_test_reaches_is_known(module: Path, tmp_path: Path) -> None:
    """The places have the mutants' names, without others, and only during the block."""
    gate = sys.modules["gate_of_mutants"].Gate()
    with noting_places(tmp_path, [module]) as reached:
        assert not gate.closed
    assert reached == {"gate_of_mutants.py:Gate.closed", "gate_of_mutants.py:Gate.admits"}
    assert {mutant.place for mutant in mutants_of_python(module, _MODULE)} >= reached
    sys.modules["gate_of_mutants"].anyone()
    assert len(reached) == 2
