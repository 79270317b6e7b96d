"""The values in an XMP packet, whichever of the forms of RDF a program has written them in."""

from collections.abc import Iterator

from producer.sidecars.tree import Element, NotParsed, parse
from producer.sidecars.vocabulary import RDF

Name = tuple[str, str]
"""Namespace and local name."""
Value = str | dict[Name, "Value"] | list["Value"]
"""Text, a structure or a list."""

_DESCRIPTION, _ROOT, _VALUE = (RDF, "Description"), (RDF, "RDF"), (RDF, "value")
_LISTS = tuple((RDF, kind) for kind in ("Bag", "Seq", "Alt"))
_ITEM = (RDF, "li")
_PARSE_TYPE = (RDF, "parseType")
_NO_FIELDS = (RDF, "http://www.w3.org/XML/1998/namespace")


def properties(content: bytes) -> dict[Name, Value]:
    """The properties of the packet, by namespace and name. NotParsed if it is no XMP."""
    root = _find(parse(content), _ROOT)
    if root is None:
        raise NotParsed("it is XML, but no XMP: it has no rdf:RDF")
    found: dict[Name, Value] = {}
    for description in root.children:
        if description.name == _DESCRIPTION:
            found |= _fields(description)
    return found


def structure(value: Value | None) -> dict[Name, Value]:
    """The value as a structure; an empty one if it is none."""
    return value if isinstance(value, dict) else {}


def items(value: Value | None) -> list[Value]:
    """The value as a list; an empty one if it is none."""
    return value if isinstance(value, list) else []


def text(value: Value | None) -> str:
    """The value as text without blanks around it; nothing if it is none."""
    return value.strip() if isinstance(value, str) else ""


def _find(element: Element, name: Name) -> Element | None:
    """The element or the first one below it that has this name."""
    waiting = [element]
    while waiting:
        found = waiting.pop()
        if found.name == name:
            return found
        waiting += reversed(found.children)
    return None


def _fields(element: Element) -> dict[Name, Value]:
    """Its properties: attributes are a short form of elements with text."""
    found: dict[Name, Value] = {
        name: value for name, value in element.attributes.items() if name[0] not in _NO_FIELDS and name[0]
    }
    return found | {child.name: _value(child) for child in element.children}


def _value(element: Element) -> Value:
    inner = element.children[0] if len(element.children) == 1 else None
    if inner is not None and inner.name in _LISTS:
        return [_value(item) for item in inner.children if item.name == _ITEM]
    if inner is not None and inner.name == _DESCRIPTION:
        return _with_value(_fields(inner))
    if element.attributes.get(_PARSE_TYPE) == "Resource" or element.children or any(_own(element)):
        return _with_value(_fields(element))
    return element.text


def _own(element: Element) -> Iterator[Name]:
    return (name for name in element.attributes if name[0] and name[0] not in _NO_FIELDS)


def _with_value(fields: dict[Name, Value]) -> Value:
    """A value with qualifiers is the value."""
    return fields.get(_VALUE, fields)
