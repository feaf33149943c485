"""What stands in lyrics files and is not sung: a table of rules, each with its name.

What is not in the table stays: stage directions in brackets, ``(oh oh)``, ``<3``. Every pattern takes time in
proportion to the text: its runs are bounded, or begin where a line does.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from data_pipeline.lyrics import chords

_ROUNDS = 8  # pages escaped more often than this were never seen
_END = r"[^\S\n]*(?:\n|\Z)"

_TIME = r"(?:\d{1,2}:)?\d{1,3}:\d{2}(?:[.,:]\d{1,3})?"
_LRC_TAGS = (
    "#|al|album|ar|artist|au|author|by|creator|editor|encoding|hash|id|kana|key|la|lang|language|length|lr|offset|qq|re|"
    "sign|ti|title|tool|total|ve|ver|version"
)
_CREDITS = (
    "作词|作詞|作曲|编曲|編曲|词曲|詞曲|词|詞|曲|原唱|演唱|制作人|製作人|监制|監製|混音|录音|錄音|母带|母帶|出品|发行|發行|和声|和聲|"
    "Lyrics by|Lyricist|Composed by|Composer|Arranged by|Arranger|Producer|Produced by|Written by|"
    "(?:Song)?writers?|(?:Song)?writer\\(s\\)|Publishers?|Auteurs?|Compositeurs?|Compositor(?:es)?"
)

_BLOCK_TAGS = (
    "address|article|blockquote|body|center|dd|div|dl|dt|figure|h[1-6]|hr|html|li|main|ol|p|pre|section|table|tbody|td|"
    "th|thead|tr|ul"
)
_INLINE_TAGS = (
    "a|abbr|acronym|b|bdi|bdo|big|cite|code|del|em|font|i|img|input|ins|kbd|label|link|mark|meta|q|rb|rp|rt|ruby|s|samp|"
    "small|span|strike|strong|sub|sup|time|tt|u|var|wbr"
)
_ELEMENTS = "aside|button|footer|form|head|header|iframe|nav|noscript|script|select|style|svg|template|textarea|title"
_VALUE = r"""(?:"[^"<>]{0,500}"|'[^'<>]{0,500}'|[^\s"'<>]{1,500})"""
_BARE = "hidden|nowrap|noshade|clear|itemscope|disabled|checked|compact"
_ATTRIBUTES = rf"(?:\s{{1,20}}(?:[\w:-]{{1,50}}\s?=\s?{_VALUE}|{_BARE})){{0,20}}\s{{0,20}}/?"

_NUMBER = r"(?:\d{1,2}|[IVX]{1,4}|[A-D]|one|two|three|four|five)"
_SECTIONS = (
    "intro(?:duction)?|verses?|(?:pre|post)?-?\\s?chorus|refrain|bridge|middle\\s?(?:8|eight)|outro|interlude|prelude|"
    "strophe|couplet|pr[ée]-?refrain|pont|estribillo|(?:pre|post)-?coro|coro|estrofa|verso|puente|(?:pr[ée]|p[óo]s)-?refrão|"
    "refrão|ponte|strofa|ritornello|pre-?ritornello|zwrotka|refren|przejście|"
    "sloka|refrén|omkväd|kertosäkeistö|nakarat|köprü|куплет|припев|предприпев|пред-припев|бридж|интро|аутро|приспів|"
    "主歌|副歌|导歌|導歌|桥段|橋段|前奏|间奏|間奏|尾奏|サビ|[AaBbCcＡＢＣ]メロ|イントロ|アウトロ|후렴|간주|전주|\\d절"
)
_FIELDS = (
    "Artists?|Artist name|Band|Singers?|Performers?|Performed by|Song by|Title|Song(?: title| name)?|"
    "Track(?: title| name)?|Album(?: title| name)?|Year|Date|Released?(?: date)?|Genres?|Style|(?:Record )?Label|"
    "Duration|Length|BPM|Tempo|Key|Capo|Tuning|Language|Authors?|Featuring|Lyrics?|Words|Music|Interpret(?:en)?|Künstler|Titel|"
    "Sprache|Jahr|Artistes?|Interprètes?|"
    "Titre|Année|Langue|Artistas?|Intérpretes?|Cantantes?|T[íi]tulo|Canción|Música|Álbum|Año|Ano|Artista|Titolo|Canzone|Anno|"
    "Исполнитель|Песня|Название|Альбом|Год|歌手|歌名|曲名|专辑|專輯|アーティスト|タイトル|アルバム|가수|제목|앨범"
)
_FIELD = rf"(?:{_FIELDS})[^\S\n]?[:：=](?!/)[^\n]*"
_SHEET_FIELD = r"Capo(?: on)?:? ?\d{1,2}(?:st|nd|rd|th)?(?: fret)?|Tuning:? [A-Ga-g#b -]{4,20}|Standard tuning"

_LABELS = (
    f"{_SECTIONS}|hook|solo|(?:guitar|piano|sax(?:ophone)?|drum|bass|violin|harmonica|synth|organ)\\s(?:solo|break|riff)|"
    "break(?:down)?|build(?:-?up)?|drop|instrumental(?:\\s(?:break|bridge|intro|outro|solo|interlude|section))?|part|section|"
    "skit|coda|vamp|tag|ending|end|fade(?:\\s?out)?|spoken(?:\\s?word)?|ad-?libs?|repeat|music|applause|cheering|"
    "teil|parte|partie|sample"
)
_QUALIFIED = r"(?:(?:first|second|third|fourth|last|final|1st|2nd|3rd|4th|half|short|extended|double|repeat)\s)?"
_TIMES = r"(?:[x×]\s?\d{1,2}|\d{1,2}\s?(?:[x×]|times|mal|veces|vezes|fois|volte|раза?)|twice|bis)"


class Rule(NamedTuple):
    """What is taken out: each match of ``pattern`` is replaced, in a text that matches ``where`` too."""

    name: str
    pattern: re.Pattern[str]
    replacement: str | Callable[[re.Match[str]], str] = ""
    where: re.Pattern[str] | None = None


_OPENING = re.compile(rf"<!--|<({_ELEMENTS})(?:\s[^<>]{{0,2000}})?>", re.IGNORECASE)


def _joined(match: re.Match[str]) -> str:
    """What is left of a mark inside a line: the white space on one of its sides."""
    before = match.string[match.start() - 1 : match.start()]
    after = match.string[match.end() : match.end() + 1]
    spaced = match[0][-1:].isspace()
    return " " if spaced and before and not before.isspace() and after and not after.isspace() else ""


def _entity(match: re.Match[str]) -> str:
    return html.unescape(match[0])


def _line(pattern: str) -> re.Pattern[str]:
    """A whole line."""
    return re.compile(rf"^[^\S\n]*(?:{pattern}){_END}", re.MULTILINE | re.IGNORECASE)


def _inside(pattern: str, flags: int = re.MULTILINE | re.IGNORECASE) -> re.Pattern[str]:
    """Something in a line, with the blanks behind it."""
    return re.compile(rf"(?:{pattern})[^\S\n]*", flags)


_DOCUMENT = re.compile(r"\A\s*<(?:\?xml|!doctype|html|tt|sami)\b", re.IGNORECASE)
_WEBVTT = re.compile(r"\A\s*WEBVTT\b")
_SCRIPT = re.compile(r"^\[Script Info\]", re.MULTILINE | re.IGNORECASE)
_CUE = rf"[^\S\n]*{_TIME}[^\S\n]{{0,9}}-->[^\S\n]{{0,9}}{_TIME}[^\n]*(?:\n|\Z)"

_TIMED_LINES = re.compile(rf"(?:^{_TIME}[^\S\n]+\S[^\n]*(?:\n\s*|\Z)){{3}}", re.MULTILINE)
_DASH = r"[^\S\n]*[-–—|:][^\S\n]+"
_DASHED_LINES = re.compile(rf"(?:^{_TIME}{_DASH}\S[^\n]*(?:\n\s*|\Z)){{2}}", re.MULTILINE)
_PARENTHESES = rf"\({_TIME}\)"
_TIMES_IN_PARENTHESES = re.compile(rf"(?:^[^\S\n]*{_PARENTHESES}[\s\S]*?){{2}}", re.MULTILINE)
_TIME_LINES = re.compile(rf"(?:^{_TIME}[^\S\n]*\n[^\n]+(?:\n\s*|\Z)){{2}}", re.MULTILINE)

_FRAMES = re.compile(r"^\{\d{1,7}\}\{\d{0,7}\}", re.MULTILINE)
_TENTHS = r"^\[\d{1,6}\]\[\d{1,6}\]/?"

_ULTRASTAR = re.compile(r"^#(?:TITLE|ARTIST|BPM|GAP):", re.MULTILINE | re.IGNORECASE)
_NOTE = r"^[:*FRG][ \t]-?\d{1,7}[ \t]\d{1,7}[ \t]-?\d{1,4}[ \t]?([^\r\n]*)[^\S\n]*(?:\n|\Z)"


def _sung(match: re.Match[str]) -> str:
    """The words of a line of notes, whose syllables stand below each other; a ~ holds the one before."""
    syllables = re.findall(_NOTE, match[0], re.MULTILINE)
    return "".join(syllables).replace("~", "").strip() + "\n"


def _shown(match: re.Match[str]) -> str:
    """The words of MPL2's lines, in which a bar ends a line and a slash is for italics."""
    return re.sub(r"\|/?", "\n", re.sub(_TENTHS, "", match[0], flags=re.MULTILINE))


_KARAOKE = (
    Rule("karaoke notes", re.compile(rf"(?:{_NOTE})+", re.MULTILINE), _sung, _ULTRASTAR),
    Rule("karaoke notes", _line(r"-[ \t]?\d{1,7}(?:[ \t]\d{1,7})?|E|P ?\d"), where=_ULTRASTAR),
    Rule("karaoke notes", _line(r"#[A-Z0-9]{2,30}:[^\n]*"), where=_ULTRASTAR),
)

_SUBTITLES = (
    Rule("subtitle tags", re.compile(r"\\h"), " ", _SCRIPT),
    Rule("subtitle tags", re.compile(r"\{[^{}\n]{0,200}\\p[1-9][^{}\n]{0,200}\}[^{}\n]*"), where=_SCRIPT),  # drawings
    Rule("subtitle header", re.compile(r"^(?!Dialogue:)[^\n]*(?:\n|\Z)", re.MULTILINE), where=_SCRIPT),
    Rule("subtitle times", re.compile(r"^Dialogue:\s?[^,\n]*,[\d:.]+,[\d:.]+,(?:[^,\n]*,){6}", re.MULTILINE)),
    Rule("subtitle tags", re.compile(r"\{\\[^{}\n]{0,200}\}")),
    Rule("subtitle tags", re.compile(r"\\N"), "\n"),
    Rule("subtitle tags", _inside(r"</?(?:c|v|lang)(?:[.\s][^<>\n]{0,200})?>"), _joined, _WEBVTT),
    Rule(
        "subtitle header",
        re.compile(r"^(?:NOTE|STYLE|REGION)\b[^\n]*\n(?:[^\n]*\S[^\n]*(?:\n|\Z))*", re.MULTILINE),
        where=_WEBVTT,
    ),
    Rule("subtitle times", re.compile(rf"(?<=\n\n)[^\n]+\n(?={_CUE})"), where=_WEBVTT),  # a cue's name
    Rule("subtitle times", re.compile(rf"(?:^[^\S\n]*\d{{1,6}}[^\S\n]*\n)?^{_CUE}", re.MULTILINE)),
    Rule("subtitle times", _line(rf"{_TIME},{_TIME}")),
    Rule("subtitle tags", re.compile(r"\{[A-Za-z]:[^{}\n]{0,100}\}"), where=_FRAMES),
    Rule("subtitle tags", re.compile(r"\|/?"), "\n", _FRAMES),
    Rule("subtitle times", _FRAMES),
    Rule("subtitle times", re.compile(rf"(?:{_TENTHS}[^\n]*(?:\n|\Z)){{2,}}", re.MULTILINE), _shown),
    Rule("subtitle header", re.compile(r"\A\s*WEBVTT\b[^\n]*(?:\n(?:[\w-]+[:=][^\n]*(?:\n|\Z))*|\Z)")),
)

_TIMED = (
    Rule("time stamps", _inside(rf"(?:\[-?{_TIME}\]|<-?{_TIME}>)"), _joined),
    Rule("time stamps", _inside(r"^\[\d{1,7},\d{1,7}\]|<\d{1,7},\d{1,7},\d{1,7}>"), _joined),
    Rule("file tags", _line(rf"\[(?:{_LRC_TAGS})\s?:[^\n]*\]")),
    # As transcripts have them, and never one line alone: at 12:30 somebody may sing.
    Rule("time stamps", re.compile(rf"^{_TIME}{_DASH}", re.MULTILINE), where=_DASHED_LINES),
    Rule("time stamps", re.compile(rf"^{_TIME}[^\S\n]+", re.MULTILINE), where=_TIMED_LINES),
    Rule(
        "time stamps",
        re.compile(rf"^[^\S\n]*{_PARENTHESES}(?:{_DASH}|[^\S\n]*)", re.MULTILINE),
        where=_TIMES_IN_PARENTHESES,
    ),
    Rule("time stamps", _line(_TIME), where=_TIME_LINES),
    Rule("credits", _line(rf"\[?(?:{_CREDITS})\s?[:：][^\n]*|\[(?:produced|written|composed|mixed) by [^\[\]\n]*\]")),
)

# In a sheet, which must be looked at before its sure lines are gone.
_CHORDS = (
    Rule("chords", chords.TAGS),
    Rule("chords", chords.IN_PARENTHESES, where=chords.BEFORE_A_WORD),
    Rule("ChordPro directives", chords.COMMENT, where=chords.DIRECTIVE),
    Rule("chords", _inside(chords.IN_BRACKETS.pattern, flags=re.MULTILINE), _joined, chords.PROBABLY_CHORDPRO),
    Rule("ChordPro directives", chords.DIRECTIVE),
    Rule("chords", chords.LETTERS, where=chords.SHEET),
    Rule("chords", chords.LINE),
    Rule("tablature", chords.TABLATURE),
)

_HTML = (
    Rule("HTML tags", re.compile(rf"<br{_ATTRIBUTES}>{_END}|<br{_ATTRIBUTES}>", re.IGNORECASE), "\n"),
    Rule(
        "HTML tags",
        re.compile(rf"</?(?:{_BLOCK_TAGS}){_ATTRIBUTES}>(?:{_END})?", re.IGNORECASE),
        "\n",
    ),
    Rule("HTML tags", _inside(rf"</?(?:{_INLINE_TAGS}){_ATTRIBUTES}>"), _joined),
    Rule("HTML tags", re.compile(r"</?[a-z][^<>]{0,2000}>", re.IGNORECASE), "\n", _DOCUMENT),
    Rule("HTML tags", re.compile(r"<(?:!DOCTYPE|\?xml|!\[CDATA\[)[^<>]{0,500}>|\]\]>", re.IGNORECASE), "\n"),
    Rule("HTML entities", re.compile(r"&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,31});", re.IGNORECASE), _entity),
)

_PAGE_TITLE = (
    "(?:Paroles|Letras?|Lyrics?|Songtext|Liedtext|Testo|Tekst|Текст|Слова)(?: of| to| for| de| d[aeio]s?| del| von| zu)"
)
_BY = r"(?: par | por | by | von | di |\s[-–—]\s)"

_PAGES = (
    Rule(
        "page junk",
        re.compile(r"\A\s*\d{1,4} Contributors?[^\n]{0,600}? Lyrics(?:[^\n]{0,1000}?Read More[^\S\n]*)?"),
    ),
    # Two or more at the top, or several in one line.
    Rule("song's data", re.compile(rf"\A\s*(?:{_FIELD}(?:\n\s*|\Z)){{2,30}}", re.IGNORECASE)),
    Rule(
        "song's data",
        re.compile(rf"\A\s*(?:{_FIELDS})[:：][^\n]{{0,200}}?[/|,;·-]\s?(?:{_FIELDS})[:：][^\n]*{_END}", re.I),
    ),
    Rule("song's data", _line(_SHEET_FIELD)),
    # The title of a page: at the top, or with the artist's name in the last line.
    Rule("page junk", re.compile(rf"\A\s*{_PAGE_TITLE} [^\n]{{1,200}}{_BY}[^\n]{{1,200}}{_END}")),
    Rule("page junk", re.compile(rf"^[^\S\n]*{_PAGE_TITLE} [^\n]{{1,200}}{_BY}[^\n]{{1,200}}{_END}(?=\s*\Z)", re.M)),
    Rule("page junk", re.compile(rf"\A\s*{_PAGE_TITLE} [A-Z0-9\"«“][^\n]{{0,200}}\n[^\S\n]*(?:\n|\Z)")),
    Rule(
        "page junk",
        re.compile(rf"\A\s*(?:Paroles|Letra|Songtext|Testo) (?:de|von|di) [A-Z0-9\"«“][^\n]{{0,200}}{_END}"),
    ),
    Rule(
        "page junk",
        re.compile(r"(?:\d{1,5}|\d{1,3}\.\d[KM]|\d{1,3}[KM])?[^\S\n]?Embed(?:Share URLCopyEmbedCopy)?\s*\Z"),
    ),
    Rule("page junk", re.compile(r"See [^\n]{1,100} Live\s?Get tickets as low as \$\d+")),
    Rule("page junk", re.compile(rf"You might also like(?:{_END}|(?=[\[A-Z\"'(]))")),
    # A title in capitals: words that are sung are written small.
    Rule("page junk", re.compile(rf"\A\s*(?:(?:[^\sa-z]\S{{0,40}}|[a-z]{{1,3}}) ){{0,12}}Lyrics:?{_END}")),
    Rule(
        "page junk",
        re.compile(
            r"\*{3,9}[^\n*]{0,20}This Lyrics is NOT for Commercial use[^\n*]{0,20}\*{3,9}\s*(?:\(\d{1,20}\))?",
            re.IGNORECASE,
        ),
    ),
    Rule(
        "page junk",
        _line(
            r"Submit (?:Lyrics? )?Corrections?|(?:Report|Suggest) (?:a )?(?:Corrections?|Lyrics? errors?)"
            r"|Thanks to [^\n]{1,200} for (?:correcting|adding|submitting) th[^\n]{1,80}"
            r"|Paroles (?:de|officielles)[^\n]{0,20} chanson [^\n]{1,200}|Paroles2Chansons[^\n]{0,200}"
            r"|Letra de la canción [^\n]{1,200}|Letra da música [^\n]{1,200}|Songtext (?:von|zu) [^\n]{1,200}"
            r"|Testo della canzone[^\n]{0,200}|Tekst piosenki:?[^\n]{0,200}|Текст песни[^\n]{0,200}"
            r"|Lyrics (?:licensed|provided|powered|courtesy|©)[^\n]{0,200}|[^\n]{0,20}Find more lyrics at[^\n]{0,200}"
            r"|[^\n]{0,20}Mojim\.com[^\n]{0,100}|Source: (?:LyricFind|Musixmatch|AZLyrics|Genius)[^\n]{0,100}"
            r"|\[?\s?(?:More )?Lyrics (?:from|at|found (?:at|on)|taken from|by):? ?"
            r"\[?(?:https?:|www\.)\S*\s?\]?"
            r"|\[?\s?(?:Lyrics )?(?:Submitted|Transcribed|Contributed|Corrected|Uploaded) by: [^\n]{1,60}"
            r"|\[(?:Paroles d|Letra d|Songtext z|Текст|Testo d|Tekst|Lyrics (?:to|of|for))[^][\n]{1,150}\]"
            r"|(?:https?://|www\.)\S+|(?:Copyright|\(C\)|©)[^\n]{1,300}|All rights reserved\.?"
        ),
    ),
)

_SECTION_MARKS = (
    Rule(
        "section headings",
        re.compile(
            rf"^[^\S\n]*[\[［【{{<][^\S\n]*{_QUALIFIED}(?:{_LABELS})(?:\s?{_NUMBER}\b)?(?:\s?{_TIMES})?"
            rf"(?:\s?(?:[:：(,&/+|–—-]|(?:by|with|feat|repeat|reprise)\b)[^\[\]［］【】{{}}<>\n]{{0,120}})?\s?[\]］】}}>]:?(?:{_END}|[^\S\n]*)",
            re.MULTILINE | re.IGNORECASE,
        ),
    ),
    Rule(
        "section headings",
        _line(
            rf"[(（*#=-]{{1,4}}\s?(?:repeat\s)?{_QUALIFIED}(?:{_SECTIONS}|instrumental break|repeat)"
            rf"(?:\s?{_NUMBER})?:?(?:\s?{_TIMES})?\s?[)）*#=-]{{0,4}}:?"
        ),
    ),
    Rule(
        "section headings",
        re.compile(
            rf"^[^\S\n]*(?:{_SECTIONS})(?:\s{_NUMBER})?(?:\s?[(\[]?{_TIMES}[)\]]?)?[^\S\n]?[:：](?:{_END}|[^\S\n]*)",
            re.MULTILINE | re.IGNORECASE,
        ),
    ),
    Rule(
        "section headings",
        _line(
            rf"(?:(?:pre|post)-?\s?chorus|chorus|verse\s{_NUMBER}|refrain\s{_NUMBER}|припев|副歌|サビ"
            r"|repeat\s(?:chorus|refrain|verse|hook|bridge))"
            rf"(?:\s?\d)?(?:\s?{_TIMES})?"
        ),
    ),
    Rule("repetition marks", _inside(rf"[(\[（]\s?(?:{_TIMES}|repeat(?:\s{_TIMES})?)\s?[)\]）]"), _joined),
    Rule(
        "repetition marks",
        re.compile(
            r"(?<=\S)[^\S\n]{1,9}[x×]\s?\d{1,2}(?=[^\S\n]*(?:\n|\Z))|^[^\S\n]*[x×]\d{1,2}(?=[^\S\n]*$)",
            re.MULTILINE | re.IGNORECASE,
        ),
    ),
)

RULES = (*_KARAOKE, *_SUBTITLES, *_TIMED, *_CHORDS, *_HTML, *_PAGES, *_SECTION_MARKS)


def described() -> dict[str, Any]:
    """The table as :func:`strip` goes through it, for programs in which this one is not: patterns of Python's ``re``
    with their flags in front, and the names of the functions that stand in a replacement's place."""
    return {
        "rounds": _ROUNDS,
        "elements": _with_flags(_OPENING),
        "rules": [
            {
                "name": rule.name,
                "pattern": _with_flags(rule.pattern),
                "where": None if rule.where is None else _with_flags(rule.where),
            }
            | (
                {"replacement": rule.replacement}
                if isinstance(rule.replacement, str)
                else {"function": rule.replacement.__name__.lstrip("_")}
            )
            for rule in RULES
        ],
    }


def _with_flags(pattern: re.Pattern[str]) -> str:
    flags = "".join(letter for letter, flag in (("i", re.I), ("m", re.M)) if pattern.flags & flag)
    return f"(?{flags}){pattern.pattern}" if flags else pattern.pattern


def strip(text: str) -> tuple[str, dict[str, int]]:
    """The text without its mark-up, and how often each rule applied, by its name.

    A text without mark-up comes back unchanged, and so does what was stripped once.
    """
    counts: Counter[str] = Counter()
    for _ in range(_ROUNDS):  # a page's tags may be escaped
        before = text
        text, removed = _without_elements(text)
        counts["HTML elements"] += removed
        for rule in RULES:
            if rule.where is None or rule.where.search(text):
                text, count = rule.pattern.subn(rule.replacement, text)
                counts[rule.name] += count
        if text == before:
            break
    return text, dict(+counts)


def _without_elements(text: str) -> tuple[str, int]:
    """Without comments and without the elements that hold no text of the page, such as scripts."""
    kept, position, removed = [], 0, 0
    closed: dict[str, bool] = {}
    lower = text.lower()
    while opening := _OPENING.search(text, position):
        end = "-->" if opening[1] is None else f"</{opening[1].lower()}"
        found = lower.find(end, opening.end()) if closed.get(end, True) else -1
        closed[end] = found >= 0
        kept.append(text[position : opening.start()])
        if found < 0:
            kept.append(opening[0])
            position = opening.end()
            continue
        close = text.find(">", found)
        position = len(text) if close < 0 else close + 1
        removed += 1
        kept.append("\n")
    kept.append(text[position:])
    return "".join(kept), removed
