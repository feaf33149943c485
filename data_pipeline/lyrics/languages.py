"""How likely a character is in each of many languages, as far as it tells encodings apart.

ASCII is the same in all of them and counts nothing. Of an alphabet the letters beyond ASCII are listed by their
frequency, which falls with the rank (Zipf); of Chinese, Japanese and Korean, the classes of characters.
"""

from __future__ import annotations

import functools
import math
import unicodedata

ALPHABETS = {
    "ru": "оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъё",
    "uk": "оанивіетрслкдмупяьзгбчйхжїцшюєщфґ",
    "bg": "аоеинтрсвлкдпмзубгчъяжцщхйшфюь",
    "sr": "аоиенрстувкдмјплзбгчшцжћхђњљфџѓќѕ",
    "kk": "аеытнрлсікдмбуоқжғпшзйңгөүәұхиявчщцфюһэъьё",
    "el": "αοιετσνηυρπκμλςίόάγέήδωχθύφβώξζψϊΐϋΰ",
    "he": "יוהלאמרתבשנעםדקחפכטגזסןצךףץ",
    "ar": "اليمنوترهبكعدسفحقأجشةطصىخءضإغذزثئؤظآ",
    "fa": "اینردهمتوسبشکزلگخقفعحپطجصچآضغذژثظ",
    "th": "านรกเอมงลยวดทตสี่ป้บหคขั้ชไจพะใำื์แุผึโซณถูฟธศฉภฝๆฎญฐ็",
    "en": "éïñèçêâöäüà",
    "fr": "éèàêçôîùâûœëïü",
    "de": "üäößé",
    "es": "áíéóñú¿¡ü",
    "pt": "ãéçáíóõêúâôà",
    "it": "èàòùìé",
    "ca": "àéíóèçúòïü",
    "nl": "ëéïèöüó",
    "sv": "äåöé",
    "da": "åøæé",
    "fi": "äöå",
    "is": "áðíéóúýþæö",
    "pl": "łęąśżóćńź",
    "cs": "íáěéšřčýžůúťďňó",
    "sk": "áíčéšýžúľťôňäďóĺŕ",
    "hu": "áéöőóüíúű",
    "ro": "ăâîșțşţ",
    "hr": "čšžćđ",
    "tr": "ıüşçğöİâî",
    "lv": "āīēšžūņļčģķ",
    "lt": "ėšųžūįčęą",
    "et": "äõüöšž",
    "vi": "đáàưôạêảơếấộâịãờớóồựầủìúíậứốềăểợụệéùừẽặổắửọẻởỏẫễĩòèữỉẹõýỗẩũỳằỡẳỹỷẵỵẽ",
}
"""The letters beyond ASCII of each language, small ones, the most frequent first."""

_WESTERN = "àáâãäåæçèéêëìíîïñòóôõöøùúûüýÿœß"
_QUOTES = "’‘“”–—…"
_PUNCTUATION = "«»„‚•¡¿‹› ♪「」『』、。，！？；：（）・～〜ー　《》【】“”،؟؛־׳״‎‏"
_SIGNS = "€£$§©®™°·´²½"
_LATIN = frozenset("en fr de es pt it ca nl sv da fi is pl cs sk hu ro hr tr lv lt et vi".split())
_SIMPLIFIED = "的我你一是不了在人有这来到说们为子和那要心爱就没过会天想去着看得里时好还以上都也自可让再多回走情下风后夜"
_TRADITIONAL = (
    "的我你一是不了在人有這來到說們為子和那要心愛就沒過會天想去著看得裡時好還以上都也自可讓再多回走情下風後夜"
)

_SEVERAL = {code: {"zh", "zh-hant"} for code in ("zh", "zho", "chi", "yue", "cmn")}
_LONG = {"iw": "he", "no": "da", "nb": "da", "nn": "da"} | dict(
    pair.split("=")
    for pair in "eng=en fra=fr fre=fr deu=de ger=de spa=es por=pt ita=it cat=ca nld=nl dut=nl swe=sv dan=da nor=da "
    "fin=fi isl=is ice=is pol=pl ces=cs cze=cs slk=sk slo=sk hun=hu ron=ro rum=ro hrv=hr tur=tr lav=lv lit=lt est=et "
    "rus=ru ukr=uk bul=bg srp=sr ell=el gre=el heb=he ara=ar fas=fa per=fa vie=vi kaz=kk tha=th jpn=ja kor=ko".split()
)
"""ISO 639-2, as ID3 tags have it, and what else means one of the languages here."""

CHARACTERS = frozenset({"zh", "zh-hant", "ja", "ko"})
"""The languages without an alphabet of their own in the table above."""


def languages(code: str | None) -> frozenset[str]:
    """The languages that a track's code, such as ``pt-BR`` or ``zh``, may mean."""
    short = (code or "").strip().casefold().replace("_", "-").partition("-")[0]
    named = _SEVERAL.get(short) or {_LONG.get(short, short)}
    return frozenset(named) & (frozenset(ALPHABETS) | CHARACTERS)


@functools.lru_cache(maxsize=1 << 16)
def logarithm(language: str, character: str) -> float:
    """The natural logarithm of a character's probability in texts of a language."""
    return math.log(_probability(language, character))


def _probability(language: str, character: str) -> float:
    if character in _QUOTES:
        return 0.25
    if character in _PUNCTUATION:
        return 0.02
    if character in _SIGNS:
        return 2e-3
    if character.isascii():
        return 1.0
    if language in CHARACTERS:
        return _ideographic(language, character)
    letters, small = ALPHABETS[language], character.lower()
    if (rank := letters.find(small)) >= 0:
        return 0.95 / ((rank + 1) * _harmonic(len(letters)))
    if language in _LATIN and small in _WESTERN:
        return 1e-3  # of a name, or a line in another language
    return 2e-4 if script(character) == script(letters[0]) else 1e-5


@functools.lru_cache(maxsize=128)
def _harmonic(n: int) -> float:
    return sum(1 / (rank + 1) for rank in range(n))


def script(character: str) -> str:
    """The first word of its Unicode name, such as LATIN or CJK."""
    return unicodedata.name(character, "").partition(" ")[0]


def _ideographic(language: str, character: str) -> float:
    kind = script(character)
    if language == "ko":
        lead = _lead("euc_kr", character)
        if kind == "HANGUL":
            return 0.95 / 2350 if 0xB0 <= lead <= 0xC8 else 0.01 / 8822
        return 0.003 / 4888 if kind == "CJK" else 1e-6
    if language == "ja":
        lead = _lead("euc_jp", character)
        if kind in ("HIRAGANA", "KATAKANA"):
            return 0.5 / 83 if kind == "HIRAGANA" else 0.08 / 86
        if kind == "CJK":
            return 0.35 / 2965 if 0xB0 <= lead <= 0xCF else 0.005 / 3390 if lead >= 0xD0 else 1e-7
        return 0.001 / 63 if kind == "HALFWIDTH" else 1e-6
    if character in (_SIMPLIFIED if language == "zh" else _TRADITIONAL):
        return 0.35 / len(_SIMPLIFIED)
    if language == "zh":
        lead = _lead("gb2312", character)
        return 0.6 / 3755 if 0xB0 <= lead <= 0xD7 else 0.01 / 3008 if lead >= 0xD8 else 1e-7 if kind == "CJK" else 1e-6
    lead = _lead("big5", character)
    return 0.6 / 5401 if 0xA4 <= lead <= 0xC6 else 0.01 / 7652 if lead >= 0xC9 else 1e-7 if kind == "CJK" else 1e-6


def _lead(encoding: str, character: str) -> int:
    """The first byte in a national standard, whose rows are by frequency; 0 for what it does not hold."""
    try:
        return character.encode(encoding)[0]
    except UnicodeEncodeError:
        return 0
