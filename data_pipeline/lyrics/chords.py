"""Chords between and within sung words: what is surely one, and what may be a word.

``Am7``, ``F#`` and ``G/B`` are chords wherever they stand. ``A``, ``Am`` alone in a line and ``Do Re Mi`` may be sung;
they are taken for chords only in the company of those.
"""

from __future__ import annotations

import re

_KIND = (
    r"(?:maj|min|dim|aug|sus|add|no|omit|alt|m|M(?=\d)|Δ|°|ø|\+|-(?=\d)|[#b♯♭]?(?:13|11|10|2|4|5|6|7|9)"
    r"|\([^()\s]{1,8}\))"
)
_BASS = r"/[A-H][#b♯♭]?"
_BARE = r"[A-H]"
_SURE = (
    rf"(?:[A-H][#b♯♭]{_KIND}{{0,5}}(?:{_BASS})?|[A-H]{_KIND}{{1,5}}(?:{_BASS})?|[A-H]{_BASS}"
    rf"|(?:Do|Re|Ré|Mi|Fa|Sol|La|Si)(?:[#b♯♭]{_KIND}{{0,5}}|{_KIND}{{1,5}}))"
)
_CHORD = rf"(?:{_SURE}|{_BARE})"
_NAMED = rf"(?:{_SURE}|{_BARE}|Do|Re|Ré|Mi|Fa|Sol|La|Si)"
_OTHER = r"(?:[|:‖]{1,3}|[-–—%/.*,]{1,3}|\(|\)|N\.?C\.?|\(?[x×]\s?\d{1,2}\)?|\(?\d{1,2}[x×]\)?)"
_END = r"[^\S\n]*(?:\n|\Z)"
_GAP = r"(?:[^\S\n]+|(?<=[|(])|(?=[|),]))"


def _words(first: str, rest: str, least: int = 0) -> str:
    return rf"(?:{_OTHER}{_GAP}){{0,9}}{first}(?:{_GAP}(?:{rest}|{_OTHER})){{{least},60}}"


# Two or more chords, one of which is surely one.
_WHOLE = r"(?<![^\s.])[|(]?{}[|),]?(?!\S)"
_SURE_ONE, _ANY = _WHOLE.format(_SURE), _WHOLE.format(_NAMED)
_TWO = rf"(?=[^\n]*{_SURE_ONE})(?=[^\n]*{_ANY}\s[^\n]*{_ANY})"
# Letters far apart, above the words that they belong to, or between bars; not "A B C", which is sung.
_APART = rf"^(?!{_GAP}?A\s+B\s+C\b)[^\S\n]*{_BARE}(?:[^\S\n]{{3,}}{_CHORD}){{1,20}}{_END}"
_BARS = rf"^[^\S\n]*\|[^\S\n]*(?:{_NAMED}[^\S\n]*(?:\|[^\S\n]*|[^\S\n])){{2,60}}{_END}"
_HUMMED = r"(?!(?:[^\S\n]*Hm\b)+[^\S\n]*$)"
_LABEL = r"[^\S\n]*+(?:[A-Za-z][A-Za-z -]{0,20}\d?:[^\S\n]++|\.(?=[A-H]))?"
SURE_LINE = rf"(?:^{_HUMMED}{_LABEL}(?:{_TWO}{_words(_NAMED, _NAMED)}{_END})|{_APART}|{_BARS})"
"""A line of chords, from its beginning on."""
SHEET = re.compile(rf"(?:{SURE_LINE}[\s\S]*?){{2}}", re.MULTILINE)
"""Text in which two lines of chords are sure, so that a line of letters is one, too."""
LINE = re.compile(SURE_LINE, re.MULTILINE)
LETTERS = re.compile(rf"^{_HUMMED}(?!A\s+B\s+C\b)[^\S\n]*(?:{_words(_CHORD, _CHORD)}|N\.?C\.?){_END}", re.MULTILINE)
"""A line of letters, or one chord alone: to be taken out of a sheet only."""

TABLATURE = re.compile(
    r"^[^\S\n]*[A-Ha-h]?[#b]?[^\S\n]?[|:‖](?=[^\n]*-{3})[-\d|:hpbrstxXmPMo/\\~().<>*=^ ]{6,}" + _END, re.MULTILINE
)
"""A string of a guitar."""

TAGS = re.compile(r"\[ch\][^\[\]\n]{1,20}\[/ch\]|\[/?(?:ch|tab)\]")
"""What a page of chords puts around them."""
IN_PARENTHESES = re.compile(rf"\({_CHORD}\)(?=\w)")
BEFORE_A_WORD = re.compile(rf"\({_SURE}\)\w")
"""Text in which ``(C)`` before a letter is a chord."""
IN_BRACKETS = re.compile(rf"\[(?:{_CHORD}|N\.?C\.?)\]")
"""A chord within words, ``[C]`` among them."""
PROBABLY_CHORDPRO = re.compile(
    rf"\[{_SURE}\]|\w\[{_BARE}\]\w|\[{_BARE}\](?=[A-Z]\w)|(?:\[{_BARE}\][\s\S]*?){{3}}"
    r"|^\{(?:t|title|st|subtitle|artist|key|soc|start_of_\w+)(?::[^{}\n]*)?\}",
    re.MULTILINE,
)
"""Text in which ``[C]`` is a chord: "[A]s I walk" is how an editor writes."""

DIRECTIVE = re.compile(
    r"^[^\S\n]*\{(?:t|title|st|subtitle|su|artist|composer|lyricist|arranger|copyright|album|year|key|time|tempo|duration|"
    r"capo|meta|c|ci|cb|comment|comment_italic|comment_box|highlight|chorus|image|define|chord|transpose|ns|new_song|"
    r"np|npp|new_page|new_physical_page|cob|column_break|col|columns|titles|sorttitle|sortartist|tag|diagrams|g|grid|"
    r"so[cvbtg]|eo[cvbtg]|start_of_\w{1,30}|end_of_\w{1,30}|text\w{1,10}|chord\w{1,10}|x_\w{1,30})"
    r"(?:[:\s][^{}\n]{0,300})?\}" + _END,
    re.MULTILINE | re.IGNORECASE,
)
"""A line that says something about a song in ChordPro."""
COMMENT = re.compile(r"^[^\S\n]*#[^\n]*(?:\n|\Z)", re.MULTILINE)
