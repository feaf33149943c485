"""A figure as a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from data_pipeline.storage.files import written_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def save_picture(figure: Figure, file: Path, dpi: int) -> None:
    """Write a picture of the kind that the file's name ends in, whole or not at all.

    Raises:
        InputError: the place cannot be written.
    """
    with written_whole(file) as stream:
        figure.savefig(stream, format=file.suffix[1:].lower(), dpi=dpi)
