"""Pictures of explanations: everything that is written can be read, whatever the song is."""

from __future__ import annotations

import dataclasses
import itertools
import json
import warnings
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from data_pipeline.lyric_words import Words, find_words
from data_pipeline.lyrics.tokenizer import Pieces
from mgc_jax.explain.explanation import Attention, Explanation, Spectrogram
from mgc_jax.explain.text import clock, summary
from mgc_jax.inference.prediction import Prediction
from mgc_jax.plots import explanations
from mgc_jax.plots.effect_colours import colour, words_html
from mgc_jax.plots.text import NO_GLYPH, drawable, shortened, width, wrapped

NAMES = (
    "rock",
    "death metal",
    "singer-songwriter",
    "hip hop",
    "a genre whose name does not want to come to its end ever",
)
LYRICS = "the rain is here\nand so am I\n\nlights, lights, don't stop"
STRANGE = "$x_{ \\frac <b>愛してる</b> שלום \U0001f3b5 it's " + "w" * 300 + "\n\n\nПривет नमस्ते \u202e end"


def words_of(text: str, read: int) -> Words:
    """The words of a text of which the first ``read`` have a word piece each."""
    nothing = find_words(text, Pieces(np.zeros(0, np.uint16), np.zeros((0, 2), np.int64), np.zeros(0, bool)))
    return dataclasses.replace(nothing, owner=np.arange(min(read, len(nothing.spans))))


def explanation(
    genres: int = 1, text: str = LYRICS, read: int = 1000, windows: int = 1, of: int | None = None, **changes
) -> Explanation:
    """Random effects on a song of ``of`` windows of 6 s, of which ``windows`` were explained."""
    rng = np.random.default_rng(3)
    of = of or windows
    words = words_of(text, read)
    groups = words.groups(64)
    starts = np.linspace(0, 6 * (of - 1), windows).round()
    spans = (starts[:, None, None] + np.stack([np.arange(8), np.arange(1, 9)], axis=1) * 0.75).reshape(-1, 2)
    effect = rng.normal(size=(groups.max(initial=-1) + 2, genres))
    effect[-1] = np.nan
    parts = rng.normal(scale=3, size=(3, genres))
    tokens = np.flatnonzero(words.read)
    to_words = rng.dirichlet(np.ones(len(tokens) + 1), 4 * windows)
    attention = Attention(
        (starts[:, None, None] + np.stack([np.arange(4), np.arange(1, 5)], axis=1) * 1.5).reshape(-1, 2),
        tokens,
        to_words,
        rng.dirichlet(np.ones(4 * windows), len(tokens) + 1),
    )
    ranked = tuple((name, 0.9 - 0.1 * place) for place, name in enumerate(NAMES))
    given = {
        "prediction": Prediction("songs/a song.mp3", ranked, NAMES[:2], of, len(tokens) + 2),
        "genres": NAMES[:genres],
        "logits": parts.sum(0),
        "thresholds": rng.normal(size=genres),
        "base": parts[0],
        "sound_part": parts[1],
        "words_part": parts[2],
        "graph": rng.normal(size=genres),
        "related": rng.normal(size=(genres, len(NAMES))),
        "seconds": 6.0 * of,
        "windows": np.stack([starts, starts + 6], axis=1),
        "segments": spans,
        "segment_effect": rng.normal(size=(len(spans), genres)),
        "words": words,
        "groups": groups,
        "word_effect": effect[groups],
        "attention": attention if text else None,
        "spectrogram": Spectrogram(rng.integers(0, 255, (60 * of, 40), np.uint8), 0.1, np.geomspace(50, 10000, 40)),
        "names": NAMES,
        "uses_audio": True,
        "uses_lyrics": True,
    }
    return Explanation(**(given | changes))


def written(figure: Figure) -> list[Text]:
    """What can be read in a figure that was drawn: no labels of ticks outside of their axes."""
    found = []
    panels = [figure, *figure.subfigs]
    for panel in panels:
        found += panel.texts
    for axes in figure.axes:
        if not axes.axison:
            found += axes.texts
            continue
        found += [*axes.texts, axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label]
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            inside = [low <= place <= high for place in axis.get_ticklocs()]
            shown = axis.get_tick_params()
            if shown.get("labelbottom", True) and shown.get("labelleft", True):
                found += [label for label, there in zip(axis.get_ticklabels(), inside, strict=True) if there]
    return [text for text in found if text.get_visible() and text.get_text().strip()]


def check(figure: Figure) -> list[str]:
    """All texts, of which none leaves the picture and none lies on another one."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.canvas.draw()
    texts = written(figure)
    boxes = [text.get_window_extent() for text in texts]
    wide, high = figure.bbox.width, figure.bbox.height
    for text, box in zip(texts, boxes, strict=True):
        assert box.x0 >= 0, text
        assert box.y0 >= 0, text
        assert box.x1 <= wide, text
        assert box.y1 <= high, text
    for (one, a), (other, b) in itertools.combinations(zip(texts, boxes, strict=True), 2):
        across = min(a.x1, b.x1) - max(a.x0, b.x0)
        down = min(a.y1, b.y1) - max(a.y0, b.y0)
        assert across <= 2 or down <= 2.5, (one, other)
    return [text.get_text() for text in texts]


CASES = {
    "one genre": {"genres": 1},
    "two genres": {"genres": 2},
    "five genres": {"genres": 5},
    "no lyrics": {"text": ""},
    "long lyrics": {
        "genres": 3,
        "text": "\n".join(["some words that go on and on, over and over, until they do not"] * 90),
    },
    "lyrics in one line": {"genres": 3, "text": "on and on " * 300},
    "cut lyrics": {"genres": 2, "read": 5},
    "strange lyrics": {"genres": 3, "text": STRANGE},
    "a long song": {"genres": 2, "windows": 8, "of": 100},
    "a rival": {"genres": 2, "graph": None, "related": None, "attention": None},
    "a deaf model": {"uses_audio": False},
    "effects of nothing": {"segment_effect": np.zeros((8, 1)), "graph": np.zeros(1), "sound_part": np.zeros(1)},
}


@pytest.mark.parametrize("case", CASES)
def test_everything_can_be_read(case: str):
    texts = check(explanations.draw(explanation(**CASES[case])))
    assert "a song.mp3" in texts
    everything = " ".join(" ".join(texts).split())
    said = {
        "no lyrics": ["no lyrics were given"],
        "long lyrics": ["more words", "share their colour"],
        "cut lyrics": ["the model reads 5 of these 12 words"],
        "strange lyrics": ["$x_{", "letters that no font of this machine has"],
        "a long song": ["8 of its 100 windows", "grey: not explained", "8:20"],
        "a rival": ["words for rock (red)"],
    }
    for sentence in said.get(case, []):
        assert sentence in everything


def of_one_modality(**uses: bool) -> Explanation:
    return explanation(genres=2, text="", attention=None, graph=None, related=None, **uses)


def test_what_a_model_does_not_take_is_not_named():
    deaf, unread = of_one_modality(uses_audio=False), of_one_modality(uses_lyrics=False)
    for found, there, elsewhere in ((deaf, "no words", "silence"), (unread, "silence", "words")):
        drawn = " ".join(check(explanations.draw(found)))
        written_out = summary(found)
        for text in (drawn, written_out):
            assert there in text
            assert elsewhere not in text
        assert "the first two make up the sum" in drawn
    assert "hears" not in " ".join(check(explanations.draw(deaf)))
    assert "sound" not in summary(deaf)
    assert "sound" not in json.dumps(deaf.to_json()["genres"])
    assert deaf.to_json().keys() & {"segments", "words", "words_not_read"} == {"words", "words_not_read"}
    assert unread.to_json().keys() & {"segments", "words", "words_not_read"} == {"segments"}


def test_names_that_look_like_formulas_and_do_not_end_are_drawn():
    found = explanation()
    prediction = dataclasses.replace(found.prediction, file="a/$\\frac{x" + "long name " * 60 + ".mp3")
    texts = check(explanations.draw(dataclasses.replace(found, prediction=prediction)))
    assert texts[0].startswith("$\\frac{xlong name")
    assert texts[0].endswith("…")


def test_parts_are_pictures_of_their_own():
    found = explanation(genres=2)
    for part in (explanations.sound, explanations.words, explanations.shares, explanations.attention):
        check(explanations.compose(found, [part(found)]))


@settings(max_examples=25)
@given(text=st.text(max_size=60), genres=st.integers(1, 3))
def test_any_text_is_laid_out(text: str, genres: int):
    found = explanation(genres=genres, text=text)
    check(explanations.compose(found, [explanations.words(found)]))


def test_the_strip_shows_the_mean_where_spans_overlap():
    found = explanation(windows=2)
    spans = np.array([[0.0, 2.0], [1.0, 3.0], [5.0, 6.0]])
    found = dataclasses.replace(found, segments=spans, segment_effect=np.array([[1.0], [3.0], [-1.0]]), seconds=7.0)
    edges, strip = explanations._over_time(found, 1)
    assert edges.tolist() == [0.0, 1.0, 2.0, 3.0, 5.0, 6.0, 7.0]
    assert strip[:, 0].tolist() == [1.0, 2.0, 3.0, None, -1.0, None]


def test_text_is_measured_and_cut():
    assert width("wide words", 9) > width("words", 9) > 0
    assert shortened("words", 9, 5.0) == "words"
    cut = shortened("words " * 100, 9, 2.0)
    assert cut.endswith("…")
    assert width(cut, 9) <= 2.0 < width(cut[:-1] + "ww…", 9)
    lines = wrapped("some words to wrap " * 5, 9, 1.5).split("\n")
    assert len(lines) > 3
    assert " ".join(lines).split() == ("some words to wrap " * 5).split()
    assert all(width(line, 9) <= 1.5 for line in lines)
    assert drawable("a\u200bb\x07\U000f0000") == "ab"
    assert drawable("\U0001d173\U00013000") in {NO_GLYPH, "\U00013000"}


class Reader(HTMLParser):
    """The text of a page and what its elements say about themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.text, self.spans, self.tags = "", [], set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag == "span":
            self.spans.append(dict(attrs))

    def handle_data(self, data):
        self.text += data


def test_words_as_html_are_escaped_and_coloured():
    text = 'the <script>alert("1")</script> rain & sun\n\nend " of \'it'
    found = explanation(genres=2, text=text, read=5)
    page = words_html(found, found.genres[1])
    reader = Reader()
    reader.feed(page)
    assert reader.text == text
    assert reader.tags == {"span", "br"}
    assert page.count("<br>") == 2
    assert len(reader.spans) == len(text.split())
    for span, effect in zip(reader.spans, found.word_effect[:, 1], strict=True):
        if np.isnan(effect):
            assert span == {"style": "color:#8a8a8a", "title": "not read"}
        else:
            assert span["title"] == f"{effect:+.2f}"
            red, _, blue = to_rgb(span["style"].removeprefix("background:").partition(";")[0])
            assert (red > blue) == (effect > 0)
    with pytest.raises(ValueError, match="not in tuple"):
        words_html(found, "polka")


def test_colours_grow_with_the_effect_and_black_text_can_be_read_on_them():
    light = [np.dot(to_rgb(colour(share)), [0.2126, 0.7152, 0.0722]) for share in np.linspace(-1, 1, 21)]
    assert (np.diff(light[:11]) > 0).all()
    assert (np.diff(light[10:]) < 0).all()
    assert min(light) > 0.25
    assert colour(7.0) == colour(1.0)


def test_the_summary_names_the_strongest():
    found = explanation(genres=2, windows=2, of=5, read=9)
    text = summary(found)
    assert text.startswith("songs/a song.mp3: rock, death metal\nexplained from 2 windows of 5, evenly chosen")
    assert "the model reads 9 of the 12 words" in text
    best = int(found.segment_effect[:, 1].argmax())
    times = "-".join(clock(second) for second in found.segments[best])
    line = next(line for line in text.split("death metal: score")[1].splitlines() if "seconds for" in line)
    assert line.split("for", 1)[1].strip().startswith(f"{times} {found.segment_effect[best, 1]:+.2f}")
    assert clock(125.25) == "2:05.2"
    assert clock(59.96) == "1:00.0"
    deaf = dataclasses.replace(found, uses_audio=False, graph=None, related=None)
    assert "seconds for" not in summary(deaf)
    assert "related" not in summary(deaf)
