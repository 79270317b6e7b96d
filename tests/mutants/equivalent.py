"""Mutants that no test can notice, each with the reason. An entry that matches no mutant is an error."""

from typing import NamedTuple

from tests.mutants.mutant import Mutant


class Equivalent(NamedTuple):
    """A change without effect, or without effect on anything that is promised."""

    path: str
    after: str
    """The mutant's line."""
    reason: str

    def matches(self, mutant: Mutant) -> bool:
        """Whether the mutant is this change."""
        return (str(mutant.path), mutant.after) == (self.path, self.after)


_THAT_VERY_MS = "a lease that ends in the very millisecond of the question may count either way"

EQUIVALENT: tuple[Equivalent, ...] = (
    Equivalent(
        "shared/store/lua/take.lua",
        "if left >= 0 and left <= 2 * longest then return 'leased' end",
        _THAT_VERY_MS,
    ),
    Equivalent(
        "shared/store/lua/take.lua",
        "if left > 0 and left < 2 * longest then return 'leased' end",
        _THAT_VERY_MS,
    ),
    Equivalent(
        "shared/store/lua/resend.lua",
        "if left >= 0 and left <= 2 * (tonumber(job[3]) or 0) then return {} end",
        _THAT_VERY_MS,
    ),
    Equivalent(
        "shared/store/lua/resend.lua",
        "if left > 0 and left < 2 * (tonumber(job[3]) or 0) then return {} end",
        _THAT_VERY_MS,
    ),
    Equivalent("shared/store/lua/unleased.lua", "if left < 0 or left > 2 * longest then", _THAT_VERY_MS),
    Equivalent("shared/store/lua/unleased.lua", "if left <= 0 or left >= 2 * longest then", _THAT_VERY_MS),
    Equivalent(
        "shared/store/lua/claim.lua",
        "if left ~= -2 and left < 2 * math.max(tonumber(job[2]) or 0, tonumber(ARGV[3])) then return 0 end",
        _THAT_VERY_MS,
    ),
    Equivalent(
        "shared/store/lua/divert.lua",
        "if until_ms > 0 and (until_ms <= now or until_ms >= now + 2 * longest) then left = true end",
        _THAT_VERY_MS,
    ),
    Equivalent(
        "shared/store/lua/spooled.lua",
        "if left ~= -2 and (not job[4] or left < 2 * (tonumber(job[4]) or 0)) then return 0 end",
        _THAT_VERY_MS,
    ),
    Equivalent(
        "shared/store/lua/elect.lua",
        "if holder and holder ~= ARGV[1] and redis.call('PTTL', KEYS[1]) < 2 * longest then return 0 end",
        _THAT_VERY_MS,
    ),
    Equivalent(
        "shared/store/lua/attach.lua",
        "if ARGV[4] == '0' and tonumber(job[2] or '0') >= now then return tonumber(job[2]) end",
        _THAT_VERY_MS,
    ),
    Equivalent(
        "worker/supervision/reconciler.py",
        "if now - first_seen > self._settings.lease_s / 3:",
        "a third of a lease, to the nanosecond of a monotonic clock",
    ),
    Equivalent(
        "worker/supervision/reconciler.py",
        "if time.monotonic() >= deadline:",
        "the length of a step, to the nanosecond of a monotonic clock",
    ),
    Equivalent(
        "shared/store/leases.py",
        "unleased |= {int(batch): send.decode() for batch, send in zip(found[::2], found[1::2], strict=False)}",
        "the script answers in pairs",
    ),
    Equivalent(
        "shared/store/aggregation_lock.py",
        "return bool(left_ms != _NO_KEY and (length_ms is None or left_ms < 2 * int(length_ms)))",
        _THAT_VERY_MS,
    ),
)
