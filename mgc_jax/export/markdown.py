"""Pieces of Markdown."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence


def code(*lines: str) -> str:
    """A block of Python."""
    return "\n".join(["```python", *lines, "```"])


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; cells are Markdown, see :func:`plain` for those from a file."""
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def show(value: float | None) -> str:
    """A figure, or a dash for one that is not defined."""
    return "-" if value is None else f"{value:.3f}"


def plain(text: str) -> str:
    """Text from a file as text: no markup, no cell of its own in a table."""
    return "".join(f"\\{c}" if c in "\\`*_[]|#" else c for c in html.escape(" ".join(text.split()), quote=False))
