"""The report of a results folder, `report.html`.

`build_report` makes it, as does `python -m shared.report FOLDER`.

`page_values` works out what `view_model` declares, with `charts`, `heat_map`, `captions`, `profile` and `thumbnails`;
`rendering` fills the templates; `build` puts them together.
"""
