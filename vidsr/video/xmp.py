"""The one field of an XMP packet (ISO 16684-1) that vidsr writes and reads: what made a file."""

from __future__ import annotations

import re
from html import escape, unescape

_CREATOR = re.compile(r'xmp:CreatorTool="([^"]*)"')


def creator_packet(tool: str) -> str:
    """An XMP packet that names the creator tool (8.4, XMP basic namespace) and nothing else."""
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/"'
        f' xmp:CreatorTool="{escape(tool)}"/></rdf:RDF></x:xmpmeta>'
    )


def creator_of(text: str) -> str:
    """The creator tool of an XMP packet; the text itself where it is none."""
    found = _CREATOR.search(text)
    return unescape(found.group(1)) if found else text
