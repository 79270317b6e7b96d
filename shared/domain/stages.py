"""The stages of an image whose time is measured, in their order."""

STAGES = ("decode", "detect", "embed")
