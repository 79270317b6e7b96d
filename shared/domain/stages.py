"""The timed stages of an image, in order."""

STAGES = ("decode", "detect", "embed")
