"""Names and areas of faces come back from sidecars, whichever program has written them."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producer.sidecars.packet import fits_xml, packet
from producer.sidecars.reading import described
from producer.sidecars.region import Described, Region
from producer.sidecars.tree import MOST_BYTES, NotParsed
from shared.domain.orientation import Area

ANN = Region("Ann", Area(0.25, 0.5, 0.1, 0.2))
NAMES = ['Åsa <& "O\'Neil"> 🙂', "a\tb\nc", "]]>", "&amp;", "名前"]

_PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"
 xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/"
 xmlns:stArea="http://ns.adobe.com/xmp/sType/Area#" xmlns:stDim="http://ns.adobe.com/xap/1.0/sType/Dimensions#"
 xmlns:MP="http://ns.microsoft.com/photo/1.2/" xmlns:MPRI="http://ns.microsoft.com/photo/1.2/t/RegionInfo#"
 xmlns:MPReg="http://ns.microsoft.com/photo/1.2/t/Region#" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"
 xmlns:dc="http://purl.org/dc/elements/1.1/">{}</rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""
_ATTRIBUTES = """<rdf:Description rdf:about="" tiff:Orientation="6"><mwg-rs:Regions rdf:parseType="Resource">
 <mwg-rs:AppliedToDimensions stDim:w="600" stDim:h="400" stDim:unit="pixel"/><mwg-rs:RegionList><rdf:Bag>
 <rdf:li><rdf:Description mwg-rs:Name="{name}" mwg-rs:Type="{kind}"><mwg-rs:Area stArea:x="{x}" stArea:y="0.5"
 stArea:w="0.1" stArea:h="0.2" stArea:unit="{unit}"/></rdf:Description></rdf:li></rdf:Bag></mwg-rs:RegionList>
 </mwg-rs:Regions></rdf:Description>"""
_ELEMENTS = """<rdf:Description rdf:about=""><dc:subject><rdf:Bag><rdf:li>Family</rdf:li></rdf:Bag></dc:subject>
 </rdf:Description><rdf:Description rdf:about=""><mwg-rs:Regions rdf:parseType='Resource'><mwg-rs:AppliedToDimensions
 rdf:parseType='Resource'><stDim:h>400</stDim:h><stDim:unit>pixel</stDim:unit><stDim:w>600</stDim:w>
 </mwg-rs:AppliedToDimensions><mwg-rs:RegionList><rdf:Bag><rdf:li rdf:parseType='Resource'><mwg-rs:Area
 rdf:parseType='Resource'><stArea:h>0.2</stArea:h><stArea:unit>normalized</stArea:unit><stArea:w>0.1</stArea:w>
 <stArea:x>0.25</stArea:x><stArea:y>0.5</stArea:y></mwg-rs:Area><mwg-rs:Name>Ann</mwg-rs:Name>
 <mwg-rs:Type>Face</mwg-rs:Type></rdf:li></rdf:Bag></mwg-rs:RegionList></mwg-rs:Regions></rdf:Description>
 <rdf:Description rdf:about=""><tiff:Orientation>6</tiff:Orientation></rdf:Description>"""
_MICROSOFT = """<rdf:Description rdf:about=""><MP:RegionInfo rdf:parseType="Resource"><MPRI:Regions><rdf:Bag>
 <rdf:li MPReg:Rectangle="0.2, 0.4, 0.1, 0.2" MPReg:PersonDisplayName="Ann"/>
 <rdf:li MPReg:PersonDisplayName="Somewhere"/>
 <rdf:li MPReg:Rectangle="0.2, 0.4, 0.1, 0.2" MPReg:PersonDisplayName="ffffffffffffffff"/>
 <rdf:li><rdf:Description MPReg:Rectangle="0.5,0.5,0.25,0.25" MPReg:PersonDisplayName="Ben"/></rdf:li>
 </rdf:Bag></MPRI:Regions></MP:RegionInfo></rdf:Description>"""


def _attributes(name: str = "Ann", kind: str = "Face", x: str = "0.25", unit: str = "normalized") -> str:
    return _ATTRIBUTES.format(name=name, kind=kind, x=x, unit=unit)


def _read(inner: str) -> Described:
    return described(_PACKET.format(inner).encode())


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.text(min_size=1, max_size=20).filter(lambda text: fits_xml(text) and text == text.strip()),
            *[st.floats(0.1, 0.9)] * 4,
        ),
        min_size=1,
        max_size=4,
    ),
    st.integers(1, 8),
)
def test_what_is_written_is_read(faces: list[tuple[str, float, float, float, float]], orientation: int) -> None:
    """Names come back exactly, whatever characters they have, and areas to 8 decimals."""
    regions = tuple(Region(name, Area(*sides)) for name, *sides in faces)
    found = described(packet(Described(regions, (600, 400), orientation)))
    assert (found.size, found.orientation, found.faulty) == ((600, 400), orientation, 0)
    assert [region.name for region in found.regions] == [region.name for region in regions]
    for one, other in zip(found.regions, regions, strict=True):
        assert one.area == pytest.approx(other.area, abs=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_microsofts_regions_are_the_same(name: str) -> None:
    """Without the regions of the Metadata Working Group, the others say the same."""
    content = packet(Described((Region(name, ANN.area),), (600, 400), 1)).decode()
    (region,) = described(re.sub("<mwg-rs:Regions.*</mwg-rs:Regions>", "", content, flags=re.S).encode()).regions
    assert region.name == name
    assert region.area == pytest.approx(ANN.area, abs=1e-7)


def test_the_same_regions_make_the_same_bytes() -> None:
    """A sidecar has no time and no random part, so that a second export changes nothing."""
    one, other = (packet(Described((ANN,), (600, 400), 6)) for _ in range(2))
    assert one == other


@pytest.mark.parametrize("name", ["\x01", "a\ud800b", "\ufffe"])
def test_characters_that_xml_forbids_are_refused(name: str) -> None:
    """Nothing is written that no program could read."""
    with pytest.raises(ValueError, match="XML forbids"):
        packet(Described((Region(name, ANN.area),), (600, 400), 1))


@pytest.mark.parametrize("form", [_attributes(), _ELEMENTS], ids=["attributes", "elements"])
def test_all_forms_of_rdf_are_read(form: str) -> None:
    """exiv2 (digiKam) writes structures as attributes, exiftool as elements in several descriptions."""
    found = _read(form)
    assert (found.size, found.orientation, found.faulty) == ((600, 400), 6, 0)
    assert [region.name for region in found.regions] == ["Ann"]
    assert found.regions[0].area == pytest.approx(ANN.area)


def test_microsofts_regions_are_read_without_others() -> None:
    """Ignored faces are left out, and a person without a rectangle counts as faulty."""
    found = _read(_MICROSOFT)
    assert [(region.name, region.area) for region in found.regions] == [
        ("Ann", pytest.approx(ANN.area)),
        ("Ben", pytest.approx(Area(0.625, 0.625, 0.25, 0.25))),
    ]
    assert found.faulty == 1


def test_regions_of_the_working_group_come_first() -> None:
    """Programs write both; those of Microsoft would name the faces twice."""
    assert [region.name for region in _read(_attributes(name="Cleo") + _MICROSOFT).regions] == ["Cleo"]


@pytest.mark.parametrize("kind", ["Pet", "Focus", "BarCode", ""])
def test_only_faces_count(kind: str) -> None:
    """A pet has a name too."""
    found = _read(_attributes(kind=kind))
    assert (found.regions, found.faulty) == ((), 0)


@pytest.mark.parametrize("change", [{"x": "nan"}, {"x": "1e9"}, {"x": ""}, {"x": "left"}, {"unit": "pixel"}])
def test_invalid_areas_are_counted(change: dict[str, str]) -> None:
    """A region that is nowhere costs no other."""
    found = _read(_attributes(**change))
    assert (found.regions, found.faulty) == ((), 1)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no XML"),
        (b"\xff\xd8\xff\xe0 a JPEG", "no XML"),
        (b"<a><b></a>", "no XML"),
        (b"<html/>", "no rdf:RDF"),
        (b"<?xml version='1.0' encoding='x-none'?><a/>", "encoding"),
        (b"<a>" * 100 + b"</a>" * 100, "nested too deeply"),
        (b"<a>" + b"<b/>" * 200_001 + b"</a>", "too many elements"),
        (b"<a/>" + b" " * MOST_BYTES, "bytes"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "document type"),
        (b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "document type"),
    ],
)
def test_broken_and_hostile_files_have_a_reason(content: bytes, reason: str) -> None:
    """No entity is expanded, and nothing is fetched."""
    with pytest.raises(NotParsed, match=reason):
        described(content)
