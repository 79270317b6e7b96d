"""Numbers of things in words."""


def counted(number: int, one: str, many: str | None = None) -> str:
    """`1 face`, `2,000 faces`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
