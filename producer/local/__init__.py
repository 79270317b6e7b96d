"""`run`: a server, shared by all `run`s of a data folder, and workers of its own."""
