"""Checks on incoming messages, rejection, bookkeeping on a full server."""
