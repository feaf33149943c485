"""Pictures and sounds inside an HTML page."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def data_uri(kind: str, content: bytes) -> str:
    """``data:`` address of a file's content, of a media type such as ``image/png``."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def png_data_uri(figure: Figure, dpi: int) -> str:
    """``data:`` address of a figure as PNG."""
    written = io.BytesIO()
    figure.savefig(written, format="png", dpi=dpi)
    return data_uri("image/png", written.getvalue())
