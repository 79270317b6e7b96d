"""Parses XML from others into a small tree. Document types are refused, so that no entity is expanded or fetched."""

from dataclasses import dataclass, field
from xml.parsers import expat

MOST_BYTES = 16 << 20
"""Sidecars with the history of an edited image have a few MiB."""
_MOST_DEPTH = 64
_MOST_ELEMENTS = 200_000
_BETWEEN = "\x1f"
"""Between the namespace and the name. XML allows it in neither."""


class NotParsed(ValueError):
    """The text is no XML that is read here; the message says why."""


@dataclass(slots=True)
class Element:
    """An XML element. Names are pairs of namespace and local name."""

    name: tuple[str, str]
    attributes: dict[tuple[str, str], str]
    children: list["Element"] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    """The pieces of the text directly in it."""

    @property
    def text(self) -> str:
        """The text directly in it."""
        return "".join(self.parts)


def parse(content: bytes) -> Element:
    """The root element. NotParsed says why there is none."""
    if len(content) > MOST_BYTES:
        raise NotParsed(f"it has {len(content):,} bytes, and {MOST_BYTES:,} are allowed")
    builder = _Builder()
    parser = expat.ParserCreate(namespace_separator=_BETWEEN)
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.characters
    parser.StartDoctypeDeclHandler = _refuse
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        raise NotParsed(f"it is no XML (line {error.lineno}: {expat.ErrorString(error.code)})") from None
    except (ValueError, LookupError) as error:  # of an encoding that Python does not know
        raise error if isinstance(error, NotParsed) else NotParsed("its encoding is not known") from None
    if builder.root is None:
        raise NotParsed("it is no XML")
    return builder.root


class _Builder:
    def __init__(self) -> None:
        self.root: Element | None = None
        self._open: list[Element] = []
        self._count = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if len(self._open) == _MOST_DEPTH or self._count > _MOST_ELEMENTS:
            raise NotParsed("it is nested too deeply, or has too many elements")
        element = Element(_split(name), {_split(key): value for key, value in attributes.items()})
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)

    def end(self, _: str) -> None:
        self._open.pop()

    def characters(self, text: str) -> None:
        self._open[-1].parts.append(text)


def _split(name: str) -> tuple[str, str]:
    namespace, _, local = name.rpartition(_BETWEEN)
    return namespace, local


def _refuse(*_: object) -> None:
    raise NotParsed("it declares a document type, which XMP has not")
