"""A frame as text, for requests in JSON."""

from __future__ import annotations

import base64
import io

from PIL import Image

from eva_lightning.video.decoder import Pixels


def png_url(frame: Pixels) -> str:
    """A lossless data URL: a served model sees the same pixels as one in process."""
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
