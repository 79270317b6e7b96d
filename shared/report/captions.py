"""Sentences on the page that depend on the job's figures."""

from collections.abc import Mapping, Sequence
from typing import Any

from shared.analysis.calibration import FALSE_PAIRS_MEASURED, Calibration, calibration_of, why_not_calibrated
from shared.analysis.constraints import NOBODY
from shared.analysis.false_pairs import expect_false_pairs
from shared.analysis.people_groups import PeopleGroups
from shared.analysis.strangers import Strangers
from shared.domain.counts import counted
from shared.report.charts import Histogram, Timeline
from shared.report.thumbnails import Thumbnails
from shared.results.corrections import Correction
from shared.results.left_out import LeftOut
from shared.results.model_words import ModelWords

_SHORT_JOB_S = 5.0  # more than workers let pass between two samples


def duration(seconds: float) -> str:
    """The time for people: `15 ms`, `4.2 s`, `3 min 20 s`, `5 h 12 min`."""
    if seconds < 0.1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def false_pairs_note(faces: int, threshold: float, calibration: Calibration) -> str:
    """How many pairs of different people to expect within the threshold among so many faces; empty for one face."""
    found = expect_false_pairs(faces, threshold, calibration)
    if not found.pairs:
        return ""
    if found.expected is not None:
        number = f"about {_rounded(found.expected)}"
        source = f"{_rounded(found.low)} to {_rounded(found.high)}, 95 % confidence"
    elif found.low:
        number, source = f"more than {_rounded(found.low)}", "the threshold is above all distances that were measured"
    else:
        number, source = f"at most {_rounded(found.high)}", "the threshold is below all distances that were measured"
    return (
        f"If all {faces:,} faces were of different people, {number} of their {counted(found.pairs, 'pair')} would be "
        f"expected within {threshold:g} ({source})."
    )


def _rounded(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"


def left_out_note(left_out: LeftOut) -> str:
    """How many faces are left out of groups, and why; empty if none are."""
    if not left_out.count:
        return ""
    limits = left_out.limits
    words = (
        f"smaller than {limits.size_px:g} px",
        f"with a probability below {limits.probability:g}",
        f"with a sharpness below {limits.sharpness:g}",
    )
    counts = left_out.below.sum(axis=0).tolist()
    reasons = ", ".join(f"{count:,} {word}" for count, word in zip(counts, words, strict=True) if count)
    return f"{counted(left_out.count, 'face is', 'faces are')} left out of the groups: {reasons}."


def threshold_note(threshold: float | None, contract: Mapping[str, Any], job: str, faces: int) -> str:
    """Where the threshold comes from, what it lets one expect among so many faces, and what it does not guarantee.

    `contract` is the job's, from `summary.json`. Without a threshold, the note says why there is none.
    """
    calibration = calibration_of(contract)
    if threshold is None:
        why = why_not_calibrated(contract) if calibration is None else "The results have no neighbors of the faces."
        return (
            f"{why} So faces are not grouped. `python -m producer report {job} --threshold D` groups them at a "
            "distance of your own."
        )
    if calibration is None:
        return f"The threshold {threshold:g} was given by hand. {why_not_calibrated(contract)}"
    known = calibration.same_person
    by_hand = f"The threshold {threshold:g} was given by hand; the calibrated one is {known:g}."
    limits = (
        "This guarantees nothing for other photos: children, relatives, other ages, other cameras. A group is a "
        "suggestion, not proof."
    )
    parts = ("" if threshold == known else by_hand, false_pairs_note(faces, threshold, calibration), limits)
    return " ".join(filter(None, parts))


def model_note(model: ModelWords) -> str:
    """The model, who trained it on what, and its license."""
    weights = "" if model.weights == model.name else f" ({model.weights})"
    return f"Embeddings by {model.name}{weights}: {model.origin}. License: {model.license}."


def calibration_note(contract: Mapping[str, Any]) -> str:
    """The threshold of the job's contract, what it accepts, and how that is known."""
    calibration = calibration_of(contract)
    if calibration is None:
        return f"{why_not_calibrated(contract)} How many strangers a group may have is not known."
    known = calibration.same_person
    return (
        f"Its threshold {known:g} was calibrated on LFW View 1 for these options: "
        f"{100 * calibration.false_accepts_at(known).rate:.2g} % of {FALSE_PAIRS_MEASURED / 1e6:.1f} million pairs of "
        f"different people are that near, and {100 * calibration.true_accepts:.0f} % of the pairs of one person."
    )


def strangers_note(strangers: Strangers) -> str:
    """What the number of strangers in the heading of a group means."""
    sure = f" ({_percent(strangers.low)} to {_percent(strangers.high)} %, 95 % confidence)"
    span = (
        sure if strangers.words == "about" else ", since the threshold is outside of the distances that were measured"
    )
    return (
        f"Strangers in a group: if all others of the {strangers.faces:,} faces were of other people, {strangers.words} "
        f"{_percent(strangers.rate)} % of them would be expected within the threshold of one of its faces{span}. "
        "In the groups of LFW View 1, at the calibrated threshold, there were less than half as many; of people of "
        "one age and sex ten times as many pairs are within it."
    )


def few(number: float) -> str:
    """An expected number for people: `0.11`, `2.3`, `1,204`, `less than 0.01`."""
    return "less than 0.01" if 0 < number < 0.01 else _rounded(number)


def _percent(share: float) -> str:
    return _rounded(100 * share)


def hidden_note(hidden: int) -> str:
    """How many faces are not shown since somebody has said so; empty for none."""
    return f"{counted(hidden, 'face')} hidden." if hidden else ""


def people_note(people: PeopleGroups) -> str:
    """What corrections did to the groups of a page."""
    shown = people.person[people.shown] != NOBODY
    confirmed = int(people.confirmed[people.shown].sum())
    suggested = int(shown.sum()) - confirmed
    names = counted(len(people.names), "person", "people")
    named = f"{names} with a name: {counted(confirmed, 'face')} confirmed, {suggested:,} suggested."
    total = len(people.missing) + len(people.corrections.found)
    return " ".join(filter(None, (named, hidden_note(people.hidden), missing_note(people.missing, total))))


def missing_note(missing: Sequence[Correction], corrections: int) -> str:
    """How many of the corrections are of faces that the job does not have; empty for none."""
    if not missing:
        return ""
    where = f"{missing[0].origin}: " if missing[0].origin else ""
    verb = "names" if len(missing) == 1 else "name"
    return (
        f"{len(missing):,} of {counted(corrections, 'correction')} {verb} faces that are not in this job, the first: "
        f"{where}{missing[0].face}."
    )


def pictures_note(thumbnails: Thumbnails, job: str) -> str:
    """Why faces have no picture; empty if all have one."""
    parts = []
    if thumbnails.missing:
        parts.append(
            f"No picture of {counted(thumbnails.missing, 'face')}: images are not on this machine, were moved "
            f"or changed, or have names that cannot be written. `python -m producer report {job} --images DIR` "
            "says where they are."
        )
    if thumbnails.left_out:
        parts.append(
            f"No picture of {counted(thumbnails.left_out, 'face')}, for lack of time or space: "
            f"`python -m producer report {job}` has no time limit."
        )
    return " ".join(parts)


def large_pictures_note(
    *, faces: int, pictured: int, chosen: int, missing: int, left_out: int, job: str, whole: bool
) -> str:
    """How many faces of a large page have no picture, and why; empty if all have one.

    `chosen` are those that were to have one, `whole` says whether the page is about all faces of the job.
    """
    if pictured == faces:
        return ""
    verb = "has" if pictured == 1 else "have"
    parts = [f"{pictured:,} of {counted(faces, 'face')} {verb} a picture: first those of the largest groups."]
    if whole and chosen < faces:
        parts.append(
            f"`python -m producer report {job} --report-faces N` shows more, and `report {job} --group G` all faces of "
            "one group."
        )
    if missing:
        parts.append(
            f"The images of {counted(missing, 'face')} are not on this machine, or have changed: "
            f"`python -m producer report {job} --images DIR` says where they are."
        )
    if left_out:
        parts.append(
            f"{counted(left_out, 'face')} had to be left out for lack of time: `python -m producer report {job}` has "
            "no time limit."
        )
    return " ".join(parts)


def histogram_alt(chart: Histogram | None, threshold: float | None) -> str:
    """The histogram as text, for screen readers."""
    if chart is None:
        return ""
    near = "" if chart.near is None else f" {chart.near} are at or below the threshold {threshold:g}."
    span = f"from {chart.smallest:.2f} to {chart.largest:.2f}, median {chart.median:.2f}"
    return f"Histogram of {counted(chart.pairs, 'distance')} {span}.{near}"


def recalled_note(recalled: int, images: int) -> str:
    """How many images were not computed, since the speed counts them too; empty if all were."""
    if not recalled:
        return ""
    known = (
        f"All {images:,} images were"
        if recalled >= images > 1
        else f"{recalled:,} of them {'was' if recalled == 1 else 'were'}"
    )
    return f"{known} known from an earlier job and not computed again: the speed counts them too."


def phases_in_words(timeline: Timeline) -> str:
    """The bands of the curves as text, for screen readers."""
    return " ".join(
        f"{phase.name.capitalize()} from {duration(phase.starts_s)} to {duration(phase.starts_s + phase.seconds)}."
        for phase in timeline.phases
    )


def no_samples_note(duration_s: float | None, files: int) -> str:
    """Why there are no curves, as far as the folder tells."""
    if files:
        return "No samples: the files in resources/ hold none that can be read."
    if duration_s is not None and duration_s < _SHORT_JOB_S:
        return "No samples: the job was shorter than the time between two of them."
    return "No samples: resources/ is empty, because none had reached the server, or it kept none."
