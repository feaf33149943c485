"""What is not sung goes, by rule; what is sung stays."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.lyrics import markup
from data_pipeline.lyrics.reading import read_text

LRC = """[ar:Nobody]
[ti:Hollow Moon]
[offset:+200]
[00:12.34]Walking home tonight
[00:15.10][01:15.10]oh oh
[00:20]
[00:21.5]<00:21.50>When <00:21.90>it <00:22.10>rains
"""
SRT = "1\r\n00:00:01,000 --> 00:00:04,000\r\nWalking <i>home</i> tonight\r\n\r\n"
SRT += "2\r\n00:00:05,000 --> 00:00:07,000\r\n99\r\n"
WEBVTT = """WEBVTT - Hollow Moon
Kind: captions

NOTE nobody
sings this

refrain
00:01.000 --> 00:04.000 align:start
<v Bob>Walking <c.yellow>home</c> <00:02.000>tonight

00:05.000 --> 00:07.000
99
"""
ASS = """[Script Info]
Title: Hollow Moon
[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Dialogue: 0,0:00:01.00,0:00:05.00,Default,,0,0,0,,{\\an8}Walking, home\\Ntonight
"""
ASS_DRAWING = r"""Dialogue: 0,0:00:06.00,0:00:07.00,Default,,0,0,0,,and{\k10}\hday
Dialogue: 0,0:00:06.00,0:00:07.00,Default,,0,0,0,,{\an7\p1}m 0 0 l 100 0 100 100{\p0}
"""
ULTRASTAR = """#TITLE:Hollow Moon
#BPM:120
#GAP:1000
: 0 5 12 Wal
: 5 3 14 king
* 8 3 14 ~
: 12 5 12  home~
- 20
F 21 3 0 to
: 24 3 -2 night
E
"""
SAMI = (
    "<SAMI><HEAD><STYLE>P {color: red}</STYLE></HEAD><BODY><SYNC Start=1000><P Class=ENCC>Walking<br>home"
    "<SYNC Start=2000><P>&nbsp;</BODY></SAMI>"
)
HTML = "<p>Walking home<br/>\ntonight<br>R&amp;B &lt;3</p>\n<!-- ad --><script>var a = '<p>';</script>5 < 6 <b>now</b>"
GENIUS = (
    "12 ContributorsTranslationsFrançaisHollow Moon Lyrics[Verse 1: Bob]\nWalking home\n"
    "See Nobody LiveGet tickets as low as $35You might also like[Chorus]\ntonight123Embed"
)
MUSIXMATCH = "Walking home\n...\n\n******* This Lyrics is NOT for Commercial use *******\n(1409618123456)"


@pytest.mark.parametrize(
    ("text", "words", "rules"),
    [
        (LRC, "Walking home tonight\noh oh\n\nWhen it rains", {"time stamps": 8, "file tags": 3}),
        ("<00:12.34>Hel<00:12.50>lo <00:13.00> world", "Hello world", {"time stamps": 3}),
        ("[12340,500]<0,200,0>Hel<200,300,0>lo", "Hello", {"time stamps": 3}),
        (SRT, "Walking home tonight\r\n\r\n99", {"subtitle times": 2, "HTML tags": 2}),
        (
            WEBVTT,
            "Walking home tonight\n\n99",
            {"subtitle times": 3, "subtitle tags": 3, "subtitle header": 2, "time stamps": 1},
        ),
        (ASS, "Walking, home\ntonight", {"subtitle header": 4, "subtitle times": 1, "subtitle tags": 2}),
        (
            ASS + ASS_DRAWING,
            "Walking, home\ntonight\nand day",
            {"subtitle header": 4, "subtitle times": 3, "subtitle tags": 6},
        ),
        (
            "{1}{72}Walking|home\n{73}{100}{Y:i}tonight",
            "Walking\nhome\ntonight",
            {"subtitle times": 2, "subtitle tags": 2},
        ),
        (
            "[1][72]Walking|/home\n[73][100]/tonight",
            "Walking\nhome\ntonight",
            {"subtitle times": 1},
        ),
        (ULTRASTAR, "Walking home\ntonight", {"karaoke notes": 7}),
        ("[-00:01.50]Walking\n[00:02.00]home", "Walking\nhome", {"time stamps": 2}),
        (SAMI, "Walking\nhome", {"HTML elements": 1, "HTML tags": 9, "HTML entities": 1}),
        (
            HTML,
            "Walking home\ntonight\nR&B <3\n\n5 < 6 now",
            {"HTML elements": 2, "HTML tags": 6, "HTML entities": 2},
        ),
        ("Walking&lt;br&gt;home &amp;amp; away", "Walking\nhome & away", {"HTML entities": 4, "HTML tags": 1}),
        (GENIUS, "Walking home\ntonight", {"page junk": 4, "section headings": 2}),
        ("Hollow Moon Lyrics\nWalking home\nYou might also like\nEmbed", "Walking home", {"page junk": 3}),
        (MUSIXMATCH, "Walking home\n...", {"page junk": 1}),
        ("Walking home\nSubmit Corrections\nWriter(s): Bob", "Walking home", {"page junk": 1, "credits": 1}),
        ("Paroles de la chanson Hiver par Personne\nIl neige", "Il neige", {"page junk": 1}),
        ("[00:00.00] 作词 : 某人\n[00:01.00]夜里的风", "夜里的风", {"time stamps": 2, "credits": 1}),
        ("0:00 walking home\n0:04 tonight\n0:09 oh", "walking home\ntonight\noh", {"time stamps": 3}),
        ("0:00\nwalking\n0:04\nhome", "walking\nhome", {"time stamps": 2}),
        ('[Paroles de "Hiver"]\nil neige\n[Produced by Bob]', "il neige", {"page junk": 1, "credits": 1}),
        ("(0:12) walking home\n(0:15) tonight", "walking home\ntonight", {"time stamps": 2}),
        ("0:12 - walking home\n0:15 - tonight", "walking home\ntonight", {"time stamps": 2}),
        ("Am    F     C\nWalking home\nDm7 G/B Cmaj7\ntonight", "Walking home\ntonight", {"chords": 2}),
        ("Intro: Am G F E7\nWalking home", "Walking home", {"chords": 1}),
        ("| Am | F | C x2 |\nWalking\nG\nhome\nA E F#m\nN.C.\nla", "Walking\nhome\nla", {"chords": 4}),
        ("Rem   Sol  Do\nCamino\nLam Mi7\na casa", "Camino\na casa", {"chords": 2}),
        ("e|---0---2--|\nB|--1p0----|\nWalking home", "Walking home", {"tablature": 2}),
        (
            "{title: Hollow Moon}\n{artist: Bob}\n# mine\n{soc}\n[Am]Walking [F]ho[C]me\n{eoc}\n{c: softly}",
            "Walking home",
            {"ChordPro directives": 6, "chords": 3},
        ),
        ("Solo: Am F C\n.G   D7\nWalking (Am)home (C)now", "Walking home now", {"chords": 4}),
        ("[ch]Am[/ch] [ch]F[/ch]\n[tab][ch]C[/ch]\nWalking home[/tab]", "Walking home", {"chords": 5}),
        ("[G]Amazing [C]rain, how [G]sweet", "Amazing rain, how sweet", {"chords": 3}),
        (
            "Artist: Bob\nTitle: Hollow Moon\nAlbum:\nLyrics by: Al\n\nWalking",
            "Walking",
            {"song's data": 1, "credits": 1},
        ),
        ("Artist: Bob / Title: Hollow Moon / Album: / Lyrics by:\nWalking", "Walking", {"song's data": 1}),
        ("Capo 2\nTuning: EADGBE\nWalking", "Walking", {"song's data": 2}),
        ("Paroles de Lune\nil neige\nencore", "il neige\nencore", {"page junk": 1}),
        ("il neige\nParoles de Lune par Personne", "il neige", {"page junk": 1}),
        ("Walking\nSubmit lyrics correction\n5 Embed", "Walking", {"page junk": 2}),
        ("rain (x2)\ngo go x3\n[2x]", "rain \ngo go", {"repetition marks": 3}),
    ],
)
def test_markup_is_stripped_and_counted(text, words, rules):
    lyrics = read_text(text)
    assert lyrics.text == words
    assert lyrics.stripped == rules


@pytest.mark.parametrize(
    "heading",
    [
        *(
            "[Chorus]",
            "[Verse 1: Bob & Al]",
            "[Verse II]",
            "[Pre-Chorus]",
            "[Chorus x2]",
            "[Guitar Solo]",
            "[Hook: Bob]",
        ),
        *("(Chorus)", "(Chorus x2)", "(Repeat chorus)", "Chorus:", "CHORUS", "Verse 2", "Verse 2:", "*Bridge*"),
        *(
            "[Refrão]",
            "[Estribillo]",
            "[Couplet 1]",
            "[Припев]",
            "Припев:",
            "【副歌】",
            "[후렴]",
            "{Intro}",
            "[Outro - Bob]",
        ),
        *("[Instrumental Break]", "[Music]", "[Final Chorus]", "<Chorus>", "Repeat chorus"),
    ],
)
def test_section_headings_are_not_sung(heading):
    lyrics = read_text(f"Walking home\n{heading}\ntonight")
    assert lyrics.text == "Walking home\ntonight"
    assert lyrics.stripped == {"section headings": 1}


@pytest.mark.parametrize(
    "line",
    [
        *(
            "(oh oh)",
            "[Laughing] you got me",
            "[Break it down]",
            "<3",
            "5 < 6 and 7 > 6",
            "<laughs>",
            "(solo)",
            "R&B &nothing",
        ),
        *(
            "Bridge over the river",
            "Part of me",
            "you might also like to dance",
            "John 3:16",
            "the chorus sings",
            "x marks it",
        ),
        *(
            "She wrote me lyrics",
            "I < you > me",
            "at 12:30 we meet",
            "[End of the road]",
            "note to self",
            "Embed it in my heart",
        ),
        *(
            "(One more time)",
            "la la la [oh]",
            "*whispers*",
            "intro to love",
            "rock & roll; soul",
            "A+B=C",
            "x3 times I called",
        ),
        *(
            "A",
            "Am",
            "Am I",
            "A B C",
            "A B C D E F G",
            "E",
            "Do Re Mi",
            "Do Re Mi Fa Sol La Si",
            "C'est la vie",
            "La la la",
        ),
        *("Hm Hm Hm", "Add a little", "[A]s I was walking", "[C]ome on", "{whispers}", "Mi casa", "Be D", "Go A", "CD"),
        *("Paroles de femme, paroles de vent", "Letra de mi alma", "Title: unknown", "Key to my heart", "0:12 - sharp"),
        *("(12:30) is late", "Capo di tutti capi", "# 1 in my heart", "--- oh ---", "|", "lyrics of love by the sea"),
    ],
)
def test_what_is_sung_stays(line):
    text = f"Walking home\n{line}\ntonight"
    lyrics = read_text(text)
    assert lyrics.text == text
    assert not lyrics.stripped


NOTES = st.sampled_from("ABCDEFGH").flatmap(lambda note: st.sampled_from([note, f"{note}#", f"{note}b"]))
KINDS = st.sampled_from(["m", "7", "m7", "maj7", "sus4", "dim", "add9", "m7b5", "7(b9)", "/G", "m/E", "6", "+"])
BLANKS = st.sampled_from([" ", "  ", "      ", "\t"])


@settings(max_examples=300)
@given(st.lists(st.tuples(NOTES, BLANKS), max_size=8), st.tuples(NOTES, KINDS), st.tuples(NOTES, BLANKS), st.randoms())
def test_a_line_of_chords_of_which_one_is_sure_goes(chords, sure, one_more, random):
    tokens = [f"{note}{blank}" for note, blank in (*chords, one_more)]
    tokens.insert(random.randrange(len(tokens)), "".join(sure) + " ")
    text = f"Walking home\n{''.join(tokens).strip()}\ntonight"
    assert read_text(text).text in ("Walking home\ntonight", text if "".join(sure).startswith("Hm") else "")


WORDS = st.sampled_from(
    "Am I a be Be Do re Mi Fa so Go add Dim Sus major Minor Em Hm hey A E Ab Bad Cab Face Egg Gm's and the sun".split()
)


@settings(max_examples=300)
@given(st.lists(st.lists(WORDS, min_size=1, max_size=6), min_size=1, max_size=6), st.sampled_from(["sun", "moon"]))
def test_words_that_look_like_chords_are_sung_in_the_company_of_others(lines, end):
    text = "\n".join(" ".join([*line, end]) for line in lines)
    assert read_text(text).text == text


@settings(max_examples=300)
@given(
    st.text(st.characters(categories=("L", "M", "N", "Zs", "Po", "Pd", "Sc"), exclude_characters="*#&"), max_size=200)
)
def test_plain_text_passes_unchanged(text):
    plain = "\n".join(line for line in text.splitlines() if ":" not in line and "：" not in line)
    words, counts = markup.strip(f"oh {plain} la")
    assert words == f"oh {plain} la" or counts.keys() <= {"section headings", "repetition marks"}


def test_hostile_texts_take_no_long_time():
    size = 1 << 18
    parts = (
        "<a ",
        "<script>",
        "&amp;",
        "[00:",
        "[[[[",
        " ",
        "\t",
        "{\\",
        "1",
        "<br ",
        "&",
        "*",
        "You might ",
        "12 Contributors ",
        "Am F\n",
        "| A ",
        "A ",
        "[A]",
        "-|",
        "\n",
        "0:12 - x\n(0:12)",
        "Artist: ",
        "Artist:\n",
        "Lyrics by ",
        "{t:",
    )
    started = time.process_time()
    for part in parts:
        markup.strip(part * (size // len(part)))
    assert time.process_time() - started < 20
