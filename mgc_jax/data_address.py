"""Pictures and sounds inside an HTML page."""

from __future__ import annotations

import base64


def data_address(kind: str, content: bytes) -> str:
    """``data:`` address of a file's content, of a media type such as ``image/png``."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
