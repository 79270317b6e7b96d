"""Totals over all jobs: each image is in the right bucket, and stages that did not run are not counted."""

from shared.store.totals import BOUNDS, Totals, count_batch


def _spent(decode: float = 0.0, detect: float = 0.0, embed: float = 0.0) -> dict[str, float]:
    return {"decode": decode, "detect": detect, "embed": embed}


def test_a_bound_belongs_to_its_bucket() -> None:
    """5 ms are in the bucket of 5 ms, a little more is in the next one, and hours are in the last."""
    spent = [_spent(decode=5.0), _spent(decode=5.001), _spent(decode=0.001), _spent(decode=7.2e6)]
    added = count_batch({"ok": 4}, 4, spent)
    assert {bound: added[f"decode:{bound}"] for bound in BOUNDS if f"decode:{bound}" in added} == {
        "0.005": 2,
        "0.01": 1,
        "+Inf": 1,
    }
    assert added["decode:us"] == 5_000 + 5_001 + 1 + 7_200_000_000


def test_a_stage_that_was_not_run_is_not_counted() -> None:
    """Images without a face are not embedded, and copies of a known file are not processed."""
    added = count_batch({"no_face": 1, "ok": 1}, 1, [_spent(decode=12, detect=30), _spent()])
    assert added == {
        "images:no_face": 1,
        "images:ok": 1,
        "faces": 1,
        "decode:0.025": 1,
        "decode:us": 12_000,
        "detect:0.05": 1,
        "detect:us": 30_000,
    }


def test_buckets_are_read_back_as_sums_so_far() -> None:
    """The sums are cumulative, as Prometheus expects. The last one is the number of images."""
    totals = Totals({"embed:0.01": 2, "embed:0.05": 3, "embed:+Inf": 1, "embed:us": 1_500_000})
    assert dict(totals.buckets("embed")) == {
        "0.005": 0,
        "0.01": 2,
        "0.025": 2,
        "0.05": 5,
        "0.1": 5,
        "0.25": 5,
        "0.5": 5,
        "1.0": 5,
        "2.5": 5,
        "5.0": 5,
        "10.0": 5,
        "30.0": 5,
        "+Inf": 6,
    }
    assert totals.seconds("embed") == 1.5


def test_a_fresh_server_has_every_outcome_at_zero() -> None:
    """The first failure is then an increase, not a new series."""
    assert Totals({}).images() == {
        "ok": 0,
        "no_face": 0,
        "skipped": 0,
        "unreadable": 0,
        "too_large": 0,
        "timeout": 0,
        "crashed": 0,
    }
    assert Totals({}).faces == 0
