"""What mkdocs does besides Markdown.

``<!-- output of: scripts/NAME.py ARGUMENTS -->`` becomes what that prints: what the code knows (settings, commands,
rooms) is written down once, in the code. ``$$ formula $$`` becomes MathML, which browsers draw by themselves.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ROLE = re.compile(r":(?:class|func|meth|mod):<code>~?(?:[\w.]+\.)?(\w+)</code>")
FORMULA = re.compile(r"^\$\$ (.*?) \$\$$", re.MULTILINE | re.DOTALL)
MARK = re.compile(r"^<!-- output of: (scripts/\S+\.py[^\n]*?) -->$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by mkdocs with each page's text."""
    from latex2mathml.converter import convert  # here, for tests import this file without the extra docs

    markdown = FORMULA.sub(lambda found: f"<div>{convert(found[1], display='block')}</div>", markdown)
    return MARK.sub(lambda found: output(found[1]), markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Called with each page's HTML: in docstrings, ``:class:`Name``` is just a name."""
    return ROLE.sub(r"<code>\1</code>", html)


def output(command: str) -> str:
    """What ``scripts/NAME.py ARGUMENTS`` prints; where it fails the build ends with its traceback."""
    return subprocess.run(
        [sys.executable, *command.split()], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    ).stdout.strip()
