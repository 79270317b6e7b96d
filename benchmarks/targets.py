"""Compares measurements with their targets."""

from collections.abc import Sequence


def print_targets(rows: Sequence[tuple[str, str, str, bool]]) -> None:
    """Prints a table: name, target, measurement, and whether the target is met."""
    print("\n| figure | target | measured | met |")
    print("| --- | --- | --- | --- |")
    for what, target, measured, met in rows:
        print(f"| {what} | {target} | {measured} | {'yes' if met else '**no**'} |")
