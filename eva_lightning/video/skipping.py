"""Skipping: which pictures can be left out because no other picture is decoded from them.

In H.264 as mp4, mkv and mov hold it the packet itself says so, and is then not fed to the codec at all; with
other codecs the codec is told to skip, where its skipping is exact. Which pictures are wanted is the GOP
reader's business.
"""

from __future__ import annotations

from typing import Any

SLICES = (1, 2, 3, 4)
"""Kinds of H.264 units that are a picture's slices, whole or in parts."""

BESIDE_SLICES = (6, 9, 12)
"""Kinds that may lie beside them and that no other picture needs: notes, delimiters, filling."""


def skips_exactly(context: Any) -> bool:
    """Whether a picture marked as "not referred to" is referred to by none at all.

    True by the standard for H.264 and for B-pictures of MPEG-2 and MPEG-4. In HEVC the mark speaks of one
    temporal layer only, and pictures of a higher one may refer to it, so it counts where there is one layer
    (the third to fifth bit of byte 21 of the hvcC header). VP9 and AV1 gain nothing.
    """
    if context.name in ("h264", "mpeg2video", "mpeg4"):
        return True
    header: bytes | None = context.extradata
    return (
        context.name == "hevc"
        and header is not None
        and len(header) > 22
        and header[0] == 1
        and ((header[21] >> 3) & 7) == 1
    )


def unit_length_bytes(context: Any) -> int:
    """Bytes of the length before each unit of an H.264 packet; 0 where packets are of another kind."""
    header: bytes | None = context.extradata
    if context.name != "h264" or header is None or len(header) < 7 or header[0] != 1:
        return 0
    return (header[4] & 3) + 1


def nothing_refers_to(packet: Any, length_bytes: int) -> bool:
    """Whether an H.264 packet is slices with nal_ref_idc 0 and what describes them; False for nonsense."""
    data, at, slices = memoryview(packet), 0, 0
    while at + length_bytes < len(data):
        length = int.from_bytes(data[at : at + length_bytes], "big")
        kind = data[at + length_bytes] & 0x1F
        if data[at + length_bytes] & 0xE0 or not length or kind not in SLICES + BESIDE_SLICES:
            return False
        slices += kind in SLICES
        at += length_bytes + length
    return at == len(data) and slices > 0
