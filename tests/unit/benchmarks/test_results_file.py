"""`python -m benchmarks --only` replaces the sections that were measured anew, and keeps the others."""

from pathlib import Path

from benchmarks.__main__ import HEAD, RESULTS, format_sections, read_sections


def test_sections_are_kept_in_the_order_of_the_benchmarks() -> None:
    """Also titles with code, and sections with tables and subheadings."""
    sections = {"`b`: waits": "| a |\n| --- |\n\n### more\n\n| 1 |\n", "a": "text\n"}
    text = format_sections(sections, ["a", "`b`: waits", "not measured yet"])
    assert text.startswith(HEAD)
    assert read_sections(text) == sections
    assert list(read_sections(text)) == ["a", "`b`: waits"]
    assert format_sections(read_sections(text), ["a", "`b`: waits"]) == text


def test_the_committed_file_is_one_that_it_writes() -> None:
    """A section that no benchmark writes would stay out of date for ever."""
    text = Path(RESULTS).read_text()
    assert format_sections(read_sections(text), list(read_sections(text))) == text
