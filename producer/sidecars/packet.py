"""Writes a sidecar: an XMP packet with the regions of named faces."""

import re
from xml.sax.saxutils import quoteattr

from producer.sidecars.region import Described, Region
from producer.sidecars.vocabulary import (
    AREA,
    DIMENSIONS,
    FACE,
    MICROSOFT,
    MICROSOFT_REGION,
    MICROSOFT_REGION_INFO,
    MWG_REGIONS,
    RDF,
    TIFF,
    XMP_META,
)
from shared.domain.orientation import AS_STORED

_NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LINE_ENDS = {"\n": "&#10;", "\r": "&#13;", "\t": "&#9;"}  # otherwise readers take them for blanks
_DECIMALS = 8
"""The error is below 0.001 pixels in an image of 100,000 pixels a side."""


def fits_xml(text: str) -> bool:
    """Whether XML can contain the text: it has no control characters and no halves of characters."""
    return _NOT_IN_XML.search(text) is None


def packet(described: Described) -> bytes:
    """The sidecar, in UTF-8; the same bytes for the same regions. ValueError if a name does not fit into XML."""
    width, height = described.size or (0, 0)
    lines = [
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>',
        f'<x:xmpmeta xmlns:x="{XMP_META}" x:xmptk="facequeue">',
        f' <rdf:RDF xmlns:rdf="{RDF}">',
        '  <rdf:Description rdf:about=""',
        f'    xmlns:tiff="{TIFF}"',
        f'    xmlns:mwg-rs="{MWG_REGIONS}"',
        f'    xmlns:stDim="{DIMENSIONS}"',
        f'    xmlns:stArea="{AREA}"',
        f'    xmlns:MP="{MICROSOFT}"',
        f'    xmlns:MPRI="{MICROSOFT_REGION_INFO}"',
        f'    xmlns:MPReg="{MICROSOFT_REGION}"',
        # Programs that read a sidecar without its image would turn nothing.
        f'    tiff:Orientation="{described.orientation or AS_STORED}">',
        '   <mwg-rs:Regions rdf:parseType="Resource">',
        f'    <mwg-rs:AppliedToDimensions stDim:w="{width}" stDim:h="{height}" stDim:unit="pixel"/>',
        "    <mwg-rs:RegionList>",
        "     <rdf:Bag>",
        *(line for region in described.regions for line in _mwg(region)),
        "     </rdf:Bag>",
        "    </mwg-rs:RegionList>",
        "   </mwg-rs:Regions>",
        '   <MP:RegionInfo rdf:parseType="Resource">',
        "    <MPRI:Regions>",
        "     <rdf:Bag>",
        *(line for region in described.regions for line in _microsoft(region)),
        "     </rdf:Bag>",
        "    </MPRI:Regions>",
        "   </MP:RegionInfo>",
        "  </rdf:Description>",
        " </rdf:RDF>",
        "</x:xmpmeta>",
        '<?xpacket end="w"?>',
    ]
    return ("\n".join(lines) + "\n").encode()


def _mwg(region: Region) -> tuple[str, ...]:
    x, y, width, height = map(_number, region.area)
    return (
        "      <rdf:li>",
        f'       <rdf:Description mwg-rs:Name={_quoted(region.name)} mwg-rs:Type="{FACE}">',
        f'        <mwg-rs:Area stArea:x="{x}" stArea:y="{y}" stArea:w="{width}" stArea:h="{height}" '
        'stArea:unit="normalized"/>',
        "       </rdf:Description>",
        "      </rdf:li>",
    )


def _microsoft(region: Region) -> tuple[str, ...]:
    area = region.area
    sides = (area.x - area.width / 2, area.y - area.height / 2, area.width, area.height)
    rectangle = ", ".join(_number(max(0.0, side)) for side in sides)
    return (
        "      <rdf:li>",
        f'       <rdf:Description MPReg:PersonDisplayName={_quoted(region.name)} MPReg:Rectangle="{rectangle}"/>',
        "      </rdf:li>",
    )


def _number(value: float) -> str:
    return f"{value:.{_DECIMALS}f}"


def _quoted(text: str) -> str:
    if not fits_xml(text):
        raise ValueError("a name has a character that XML forbids")
    return quoteattr(text, _LINE_ENDS)
