"""Mutants that no test can notice, each with the reason. One that no mutant matches any more is an error."""

from typing import NamedTuple

from tests.mutants.mutant import Mutant


class Equivalent(NamedTuple):
    """A change that changes nothing, or nothing that is promised."""

    path: str
    after: str
    """The line as the mutant has it."""
    reason: str

    def matches(self, mutant: Mutant) -> bool:
        """Whether it is this change."""
        return (str(mutant.path), mutant.after) == (self.path, self.after)


EQUIVALENT: tuple[Equivalent, ...] = ()
