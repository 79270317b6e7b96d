"""URL prefixes: what they contain, and what is refused."""

import pytest

from shared.config.settings import Settings
from shared.domain.locations import check_canonical, check_name, is_allowed, is_url, parse_location


@pytest.mark.parametrize(
    ("given", "canonical"),
    [
        ("s3://photos", "s3://photos"),
        ("s3://photos/", "s3://photos"),
        ("S3A://photos/a b/c%20d/", "s3://photos/a b/c%20d"),
        ("gs://photos/a/", "gs://photos/a"),
        ("gcs://photos", "gs://photos"),
        ("https://Example.com:443/a/", "https://example.com/a"),
        ("http://127.0.0.1:8080/a", "http://127.0.0.1:8080/a"),
    ],
)
def test_each_place_has_one_text(given: str, canonical: str) -> None:
    """It is read back as itself, and no other spelling is taken from a record."""
    assert is_url(given) and str(parse_location(given)) == canonical
    assert check_canonical(canonical) == canonical
    if given != canonical:
        with pytest.raises(ValueError, match="canonical"):
            check_canonical(given)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://photos",
        "file:///etc",
        "s3://",
        "s3://key:secret@photos/a",
        "s3://photos:80/a",
        "https://user:secret@example.com/a",
        "https://example.com/a?token=secret",
        "https://example.com/a#b",
        "https://exa mple.com/a",
        "s3://photos/a/../b",
        "s3://photos//a",
        "https://example.com/a/%2e%2e/b",
        "https://example.com/a/%252e%252e/b",
        "https://example.com/a%5c..%5cb",
        "s3://photos/a\nb",
    ],
)
def test_other_urls_are_refused_without_a_word_of_their_secrets(url: str) -> None:
    """Unknown schemes, credentials, queries, and names that lead elsewhere when they are decoded."""
    with pytest.raises(ValueError) as refused:
        parse_location(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("s3://photos/2024", True),
        ("s3://photos/2024/a", True),
        ("s3://photos/2024b", False),
        ("s3://photos", False),
        ("s3://photos2/2024", False),
        ("gs://photos/2024", False),
        ("https://example.com/x", True),
        ("http://example.com/x", False),
        ("https://example.com:8443/x", False),
        ("https://example.com.evil.org/x", False),
    ],
)
def test_a_prefix_allows_what_is_below_it(url: str, allowed: bool) -> None:
    """A prefix ends at a slash; scheme, host and port are part of it."""
    settings = Settings(_env_file=None, allowed_urls="s3://photos/2024/, https://example.com")
    assert is_allowed(parse_location(url), settings.allowed_locations) == allowed


def test_nothing_is_allowed_by_default() -> None:
    """Workers of a server that others can write to read no object that nobody allowed."""
    assert Settings(_env_file=None).allowed_locations == []


@pytest.mark.parametrize("name", ["", "a//b", "a/./b", "../b", "/b"])
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    """Also in object storage, whose proxies may normalize them."""
    with pytest.raises(ValueError, match="name"):
        check_name("s3", name)
