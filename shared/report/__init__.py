"""A job's results folder as one page that explains itself: `build_report`, or `python -m shared.report FOLDER`.

`page_values` works out what `view_model` declares, with `charts`, `heat_map`, `captions`, `profile` and `thumbnails`;
`rendering` fills the templates; `build` puts them together.
"""
