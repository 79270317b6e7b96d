"""The command line; runs without torch."""
