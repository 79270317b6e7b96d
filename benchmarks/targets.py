"""Figures beside their targets."""

from collections.abc import Sequence


def print_targets(rows: Sequence[tuple[str, str, str, bool]]) -> None:
    """A table: what, target, measured, whether it is met."""
    print("\n| figure | target | measured | met |")
    print("| --- | --- | --- | --- |")
    for what, target, measured, met in rows:
        print(f"| {what} | {target} | {measured} | {'yes' if met else '**no**'} |")
