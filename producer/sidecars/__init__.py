"""XMP sidecars: writing regions of named faces, reading those of other programs."""
