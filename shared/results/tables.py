"""Tables of faces and images, kept in columns and read by row: a tenth of the memory of one object per row."""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar, cast, overload

from shared.domain.paths import ShownPath

Item = TypeVar("Item")
Text = TypeVar("Text", bound=str)


@dataclass(frozen=True)
class Face:
    """A row of `faces.csv`: row k describes row k of the arrays."""

    path: ShownPath
    box: tuple[float, float, float, float]
    """Left, top, right, bottom, in pixels of the upright image."""
    probability: float


@dataclass(frozen=True)
class ImageFile:
    """A row of `images.csv`."""

    path: ShownPath
    outcome: str
    error: str
    same_as: ShownPath | None
    """The first file with the same bytes; None if this is the first."""
    width: int
    """Of the upright image, in pixels; 0 if it was not decoded."""
    height: int


class _Rows(Sequence[Item], Generic[Item]):
    """A sequence that creates its items on access."""

    def _item(self, index: int) -> Item:
        raise NotImplementedError

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> list[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | list[Item]:
        if isinstance(index, slice):
            return [self._item(k) for k in range(*index.indices(len(self)))]
        return self._item(range(len(self))[index])

    def __iter__(self) -> Iterator[Item]:
        return map(self._item, range(len(self)))


class Texts(_Rows[Text], Generic[Text]):
    """Strings of one type, stored one after the other as UTF-8."""

    def __init__(self) -> None:
        self._bytes, self._ends = bytearray(), array("q", [0])

    def append(self, text: Text) -> None:
        """Adds one at the end."""
        self._bytes += text.encode()
        self._ends.append(len(self._bytes))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def _item(self, index: int) -> Text:
        return cast(Text, self._bytes[self._ends[index] : self._ends[index + 1]].decode())


class Faces(_Rows[Face]):
    """`faces.csv`."""

    def __init__(self) -> None:
        self.paths: Texts[ShownPath] = Texts()
        self._figures = array("d")  # box and probability

    def append(self, face: Face) -> None:
        """Adds one at the end."""
        self.paths.append(face.path)
        self._figures.extend((*face.box, face.probability))

    def __len__(self) -> int:
        return len(self.paths)

    def _item(self, index: int) -> Face:
        left, top, right, bottom, probability = self._figures[5 * index : 5 * index + 5]
        return Face(self.paths[index], (left, top, right, bottom), probability)


class Images(_Rows[ImageFile]):
    """`images.csv`."""

    def __init__(self) -> None:
        self.paths: Texts[ShownPath] = Texts()
        self._errors: Texts[str] = Texts()
        self._same_as: Texts[str] = Texts()  # empty for None
        self.outcomes: list[str] = []
        """Of each image; equal outcomes are the same object."""
        self._known: dict[str, str] = {}
        self._sizes = array("q")

    def append(self, image: ImageFile) -> None:
        """Adds one at the end."""
        self.paths.append(image.path)
        self._errors.append(image.error)
        self._same_as.append(image.same_as or "")
        self.outcomes.append(self._known.setdefault(image.outcome, image.outcome))
        self._sizes.extend((image.width, image.height))

    def copies(self) -> Iterator[tuple[ShownPath, ShownPath]]:
        """Each file that has the bytes of an earlier one, and the first file with these bytes."""
        for path, first in zip(self.paths, self._same_as, strict=True):
            if first and first != path:
                yield path, ShownPath(first)

    def __len__(self) -> int:
        return len(self.outcomes)

    def _item(self, index: int) -> ImageFile:
        width, height = self._sizes[2 * index : 2 * index + 2]
        same_as = self._same_as[index]
        first = ShownPath(same_as) if same_as else None
        return ImageFile(self.paths[index], self.outcomes[index], self._errors[index], first, width, height)
