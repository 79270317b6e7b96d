"""What a person says about faces: who they are, which belong together, which do not, and which are not to be shown.

These records come from a file (`people_file`) or from other sources. They name faces by image and box, not by number,
so they are still true after an update of the job.
"""

import unicodedata
from dataclasses import dataclass
from enum import StrEnum

from shared.domain.boxes import Box, check_sides
from shared.domain.paths import ShownPath, printable

MOST_NAME_CHARACTERS = 200


class Kind(StrEnum):
    """What a correction says."""

    PERSON = "person"
    """The face is of the person with this name."""
    SAME = "same"
    """Both faces are of one person."""
    DIFFERENT = "different"
    """The faces are not of one person."""
    HIDDEN = "hidden"
    """The face is not to be shown among the groups."""


@dataclass(frozen=True, slots=True)
class FaceReference:
    """What a face is found again by."""

    image: ShownPath
    """The image as `faces.csv` names it."""
    box: Box | None = None
    """None if the face is the only one of its image."""
    digest: str = ""
    """Of the image file, as `digests.csv` has it; empty if it is not known."""
    number: int | None = None
    """The face's number in `faces.csv` when the correction was made. It only serves readers: an update changes it."""

    def __str__(self) -> str:
        """The image, and which of its faces, for a message."""
        if self.box is None:
            return self.image
        left, top, right, bottom = self.box
        return f"{self.image} (at {left:.0f},{top:.0f} to {right:.0f},{bottom:.0f})"


@dataclass(frozen=True, slots=True)
class Correction:
    """One statement about a face, or about two."""

    kind: Kind
    face: FaceReference
    person: str = ""
    """The name, in the form of `person_name`; empty unless the kind is `person`."""
    other: FaceReference | None = None
    """The second face of the kinds `same` and `different`."""
    origin: str = ""
    """Where it comes from, for messages: `people.csv, line 7`."""


def person_name(text: str) -> str:
    """The name in the form in which names are compared: NFC, without blanks around it. ValueError if it is none."""
    name = unicodedata.normalize("NFC", text).strip()
    if not name:
        raise ValueError("the name is empty")
    if len(name) > MOST_NAME_CHARACTERS:
        raise ValueError(f"the name has {len(name)} characters, and {MOST_NAME_CHARACTERS} are allowed")
    if printable(name) != name:
        raise ValueError("the name has line ends or control characters")
    return name


def check_box(box: Box) -> Box:
    """Returns the box. ValueError if it has no area, or is none that an image has."""
    left, top, right, bottom = box
    check_sides(box)
    if left >= right or top >= bottom:
        raise ValueError(f"the box {left:g},{top:g},{right:g},{bottom:g} has no area")
    return box
