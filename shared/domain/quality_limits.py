"""How good a face must be to be grouped."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class QualityLimits:
    """A face that is below one of these limits is in no group. 0 excludes none."""

    size_px: float = 0.0
    """The smaller side of its box, in pixels of the upright image."""
    probability: float = 0.0
    """The detector's."""
    sharpness: float = 0.0
    """`sharpness` in faces.csv."""


DEFAULT_LIMITS = QualityLimits(sharpness=1.0)
"""Those of a job's groups.csv and report. docs/accuracy.md has the measurements behind them."""
