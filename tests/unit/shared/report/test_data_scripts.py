"""Data as scripts."""

from shared.report.data_scripts import as_script


def test_nothing_ends_a_script_or_a_line() -> None:
    """Markup and JavaScript's line separators are escaped, and everything beyond ASCII."""
    text = as_script({"name": "</script><!-- & \u2028\u2029 ü\ud800"})
    assert text.isascii() and not set("<>&") & set(text)
    assert "\\u003c/script" in text and "\\u2028\\u2029" in text
