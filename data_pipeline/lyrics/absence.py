"""What a lyrics file says where there are no lyrics."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

INSTRUMENTAL = "instrumental"
MISSING_VALUE = "a word for a missing value"
NOT_AVAILABLE = "not available"
ERROR_PAGE = "an error page"
NO_WORDS = "no words"
EMPTY = "empty"

_STATEMENTS = {
    INSTRUMENTAL: """
        ins?trumental(e|es|a|na|is)?|instrumentaali|instrument[aá]ln[ía]|instrumentális|enstr[uü]mantal|ορχηστρικό
        (this (\\w+ )?is )?(an? )?(purely )?instrumental( (track|song|music|piece|version|tune|only|mix))?
        ins?trumentale?(musik|titel|stück|version|spor|låt| (version|musik|titel|música|muzika|canción))
        (canción|pista|tema|faixa|versión|versão|música|musique|morceau|chanson|piste|brano|musica|utwór) instrumentale?
        (\\w+ ){1,5}(is|es|é|est|è|ist) (an? |un |una |um |uma |une |ein |eine )?(\\w+ )?instrumentale?
        (no|without) (lyrics|vocals|words|singing)|instrumental (no|without) (lyrics|vocals|words)|sin letra|sem letra
        sans paroles|ohne (text|gesang)|senza (parole|testo)|без слов
        инструментал(ьная( (композиция|музыка|версия))?|ьный( трек)?)?|інструментал(ьна( композиція)?)?
        (この(曲|楽曲)は)?(インストゥルメンタル|インストルメンタル|インスト)(曲|楽曲|トラック)?(です)?|歌詞(なし|はありません)
        (此|这|這|本)?(歌曲|首歌|歌|曲)?(为|為|是)?(没有填词的|沒有填詞的)?[纯純](音乐|音樂)( ?[请請]您?欣[赏賞])?
        伴奏|器乐|器樂|演奏曲|轻音乐|輕音樂|연주곡(입니다)?|인스트루멘[탈털]|반주|경음악|가사 ?없음
    """,
    MISSING_VALUE: "nan|none|null|nil|n a|na|undefined|missing|empty|unknown|no data|nodata|tba|tbd|todo",
    NOT_AVAILABLE: """
        (sorry )?(the )?lyrics?( (for|of|to) (this|the) \\w+)?( is| are)?( currently)? not( yet)? (available|found)…
        (the )?lyrics?( (for|of|to) (this|the) \\w+)? (have |has )?not( yet)?( been)? (released|transcribed)…
        (the )?lyrics?( (is|are))? (not avail|unavailable|missing|coming soon|unknown|n a)…
        (sorry )?we (do not|don t|dont) (currently )?(have|own) (the |any )?(lyrics|rights)…
        (sorry )?(we )?(could not|couldn t|can t|cannot|unable to|failed to) (find|get|load)( (the|any|these))? lyrics…
        (the )?lyrics for this (song|track|snippet)… have yet to be (released|transcribed|finalized|added)…
        please check back once the song has been released…
        (be the first to )?(add|submit)( the| these)? lyrics…
        (sorry )?no (lyrics?|results?)( (were|was))? ?(found|available|yet|for this (song|track))…
        unfortunately we (are not|aren t|re not) (authorized|licensed|allowed) to (show|display) (these|the) lyrics…
        ((la |a )?letra|letras)( de \\w+ \\w+)? (no|não) (está )?(disponibles?|disponíve(l|is)|encontrada)…
        (les )?paroles (ne sont )?(pas|non|in) ?(encore )?disponibles?…|(aucune parole|pas de paroles)…
        (il )?testo non (è )?(ancora )?disponibile…|kein songtext|brak tekstu…
        (songtext|text)( ist)?( leider| noch)? nicht (verfügbar|vorhanden)…
        keine? (songtext|lyrics|text) (verfügbar|vorhanden|gefunden)…
        текста?( песни)? (не найден|отсутствует|недоступен|нет)|нет текста…
        [暂暫没沒]?[有无無]?歌[词詞]|未找到歌[词詞]|歌[词詞]未找到|歌詞が見つかりません
        가사 ?준비 ?중…|등록된 가사가 없습니다
    """,
    ERROR_PAGE: """
        (http |error |http error |status )?(40\\d|410|429|451|50[0-4]|52\\d)( [a-z ]{3,60})?
        (error )?(page |file |document )?not found|(403 )?forbidden|access denied|bad (gateway|request)
        internal server error|service (temporarily )?unavailable|gateway time ?out|too many requests|moved permanently
        the (requested )?(url|page|resource|document)… ((not|t) (be )?found|(not|t) exist|no longer exists)…
        (sorry |oops |whoops )?we (couldn t|could not|can t|cannot) find…
        (sorry |oops |whoops )?(this|the|that) page (you|requested|can|could|does|is|isn t|doesn t|has)…
        just a moment|checking (if the site connection is secure|your browser)…
        enable javascript( and cookies)? to continue
        please (enable (javascript|cookies)|verify you are…|complete the…)
        attention required…|are you a robot|you (don t|do not) have permission to access…|additionally a [45]\\d\\d…
        (nginx|apache|cloudflare|openresty|microsoft iis|litespeed)…
        (die )?seite (wurde )?nicht gefunden|page (non trouvée|introuvable)|página n(o|ão) encontrada|pagina non trovata
        strona nie (została )?znaleziona|страница не найдена|页面不存在|找不到(该|網|网)?[页頁]面?
        ページが見つかりません(でした)?
        페이지를 찾을 수 없습니다
    """,
}
"""What a line says, by kind: patterns of its words in small letters; ... stands for anything."""

_PATTERNS = {
    kind: re.compile("|".join(f"(?:{line.strip().replace('…', '.{0,120}')})" for line in lines.strip().splitlines()))
    for kind, lines in _STATEMENTS.items()
}

_MOST_LINES = 12
"""More than that are lyrics, whatever they say."""


def described() -> dict[str, Any]:
    """What :func:`kind` goes by, for programs in which this one is not."""
    return {"most_lines": _MOST_LINES, "patterns": [pattern.pattern for pattern in _PATTERNS.values()]}


def kind(text: str) -> str | None:
    """Why ``text``, which has no mark-up, holds no lyrics; None for lyrics.

    Every line must say so: a song about an instrumental is a song.
    """
    if not text.strip():
        return EMPTY
    lines = [line for line in map(_plain, text.splitlines()) if line]
    if not lines:
        return NO_WORDS
    if len(lines) > _MOST_LINES:
        return None
    found = [next((name for name, pattern in _PATTERNS.items() if pattern.fullmatch(line)), None) for line in lines]
    return None if None in found else found[0]


def is_error_page(text: str) -> bool:
    """Whether a saved web page, of which this is the title and the text, is a server's word on an error."""
    lines = [line for line in map(_plain, text.splitlines()) if line]
    return any(re.match(rf"(?:{_PATTERNS[ERROR_PAGE].pattern})\b", line) for line in lines[:8])


def _plain(line: str) -> str:
    """The words of a line, in small letters and with one blank between them."""
    line = unicodedata.normalize("NFKC", line).casefold()
    return " ".join(re.sub(r"[^\w]|_", " ", line).split())
