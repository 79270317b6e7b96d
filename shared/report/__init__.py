"""A job's results folder as one page that explains itself: `build_report`, or `python -m shared.report FOLDER`.

`results_folder` reads, `distances`, `neighbours`, `groups` and `duplicates` find out, `thumbnails` and `figures` draw,
`page` fills the templates, `build` puts them together.
"""
