"""Every chart draws what real life brings: odd names, genres without tracks, one genre and eighty-seven."""

import itertools
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from mgc_jax.evaluation import diagnostics
from mgc_jax.evaluation.retrieval import retrieval
from mgc_jax.plots import charts

ODD = (
    "$oul$",
    "_hidden",
    "<script>alert(1)</script>",
    "rock\x07",
    "歌謡曲",
    "new wave of british heavy metal",
    r"\$",
    "a -- b",
)


def scored(genres: int, tracks: int = 60) -> tuple[list[str], np.ndarray, np.ndarray]:
    random = np.random.default_rng(genres)
    scores = random.random((tracks, genres))
    labels = (random.random((tracks, genres)) < scores / 3).astype(np.uint8)
    labels[:, -1] = 0  # a genre that the split lacks
    return [f"{ODD[g % len(ODD)]}{g or ''}" for g in range(genres)], scores, labels


def drawn(figure) -> bytes:
    """The SVG, which is well formed and as wide as a page."""
    svg = charts.as_svg(figure)
    root = ET.fromstring(svg)
    assert root.get("width") == "720pt"
    return svg


@pytest.mark.parametrize("genres", [1, 2, 26, 87])
def test_charts_of_scores(genres):
    names, scores, labels = scored(genres)
    known = np.where(labels.any(axis=0), 0.5, np.nan)
    predicted = scores > 0.5
    together = diagnostics.cooccurrence(labels)
    figures = [
        charts.genre_bars(names, known, known, labels.sum(0), len(labels)),
        charts.reliability(scores, labels),
        charts.precision_recall(names, scores, labels),
        charts.genre_maps(names, together, scores.T, diagnostics.cooccurrence(predicted)),
        charts.genre_maps(names, together),
        charts.confusions(names, predicted, labels),
    ]
    sizes = [len(drawn(figure)) for figure in figures]
    assert sum(sizes) < 3e6
    assert charts.as_svg(charts.reliability(scores, labels)) == charts.as_svg(charts.reliability(scores, labels))


def test_no_label_covers_another_or_leaves_the_picture():
    names, scores, labels = scored(87)
    counts = labels.sum(0)
    for figure in (
        charts.genre_bars(names, scores[0], scores[0], counts, len(labels)),
        charts.genre_maps(names, diagnostics.cooccurrence(labels), scores.T),
    ):
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        renderer = canvas.get_renderer()
        panel = figure.axes[0]
        boxes = [label.get_window_extent(renderer) for label in panel.get_yticklabels()]
        assert len(boxes) == 87
        ends = sorted((box.y0, box.y1) for box in boxes)
        # A box has room for tall letters above; the letters themselves end lower.
        assert all(upper[0] - lower[0] > 0.62 * (lower[1] - lower[0]) for lower, upper in itertools.pairwise(ends))
        assert min(box.x0 for box in boxes) >= 0


def test_training_curves_of_a_whole_a_young_and_a_strange_log():
    losses = ({"train/loss": 5 - i, "train/genre_loss": 6 - i, "train/bce": 7 - i} for i in range(4))
    rows = [{"step": 10.0 * i, **loss, "train/learning_rate": 0.1} for i, loss in enumerate(losses)]
    rows += [{"step": 30.0, "validation/map_macro": 0.5, "validation/bce": float("inf")}]
    figure = charts.training_curves(rows, best_step=30)
    loss = figure.axes[0]
    assert {line.get_label(): list(line.get_ydata()) for line in loss.lines if line.get_label()[0] != "_"} == {
        "loss": [5, 4, 3, 2],
        "genre loss": [6, 5, 4, 3],
    }
    assert list(figure.axes[1].lines[0].get_ydata()) == [7, 6, 5, 4]
    assert [axes.texts[0].get_text() for axes in figure.axes if axes.texts] == ["not logged"] * 2
    drawn(figure)
    drawn(charts.training_curves([{"step": 0.0}]))


def test_bars_show_the_values_given_beside_what_never_looking_gets():
    ap, f1, support = np.array([0.9, 0.2]), np.array([0.8, 0.1]), np.array([10, 40])
    left, middle, right = charts.genre_bars(["rare", "common"], ap, f1, support, 100).axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["rare", "common"]  # from the bottom up
    assert [bar.get_width() for bar in left.patches] == [0.9, 0.2]
    assert [bar.get_width() for bar in middle.patches] == [0.8, 0.1]
    assert [bar.get_width() for bar in right.patches] == [10, 40]
    floors = [segment[0][0] for segment in left.collections[0].get_segments()]
    assert floors == pytest.approx([0.1, 0.4])
    floors = [segment[0][0] for segment in middle.collections[0].get_segments()]
    assert floors == pytest.approx([0.2 / 1.1, 0.8 / 1.4])


def test_retrieval_bars():
    random = np.random.default_rng(0)
    found = retrieval(random.normal(size=(30, 4)), random.normal(size=(30, 4)), np.arange(30))
    figure = charts.retrieval_bars(found)
    heights = [bar.get_height() for bar in figure.axes[0].patches]
    one = found["lyrics_to_audio"]
    assert heights == pytest.approx([*one.recall.values(), *one.chance_recall.values()])
    drawn(figure)


def test_the_genres_shown_lie_between_the_best_and_the_worst():
    labels = np.zeros((100, 9), np.uint8)
    labels[:20] = 1
    random = np.random.default_rng(1)
    scores = np.stack([labels[:, g] * 0.1 * (8 - g) + random.random(100) for g in range(9)], axis=1)
    chosen = charts.spread_by_average_precision(scores, labels, count=3)
    assert len(chosen) == 3
    assert chosen[0] < 3
    assert chosen[-1] > 5
    assert charts.spread_by_average_precision(scores, np.zeros_like(labels)) == []


@pytest.mark.parametrize("songs", [charts.MAP_SONGS, 300, 2001])
def test_a_map_shows_every_song_in_the_colour_of_its_genre(songs):
    random = np.random.default_rng(songs)
    vectors = random.normal(size=(songs, 2)) @ random.normal(size=(2, 7))
    vectors[0] = 0.0
    names = [*(ODD[i % len(ODD)] for i in range(songs - 1)), ""]
    figure = charts.song_map(vectors, names)
    (panel,) = figure.axes
    assert sum(len(points.get_offsets()) for points in panel.collections) == songs
    labels = [text.get_text() for text in panel.get_legend().get_texts()]
    assert len(labels) == len(ODD) + 1
    assert labels[-1] == "another genre or none (1)"
    drawn(figure)


def test_the_axes_of_a_map_are_those_along_which_directions_differ_most():
    angles = np.linspace(0, np.pi, 50)
    half_circle = np.stack([np.cos(angles), np.sin(angles), np.zeros(50)], axis=1)
    figure = charts.song_map(half_circle * np.arange(1, 51)[:, None], ["rock"] * 50)  # longer ones are no farther
    places = np.asarray(figure.axes[0].collections[0].get_offsets())
    centred = half_circle[:, :2] - half_circle[:, :2].mean(axis=0)
    np.testing.assert_allclose(np.abs(places), np.abs(centred), atol=1e-9)
    first = centred[:, 0].var() / centred.var(axis=0).sum()
    assert figure.axes[0].get_xlabel() == f"first axis, {first:.0%} of the variance"
    assert figure.axes[0].get_title(loc="left").endswith("the two axes hold 100% of the variance")


def test_a_map_of_songs_that_are_all_alike():
    drawn(charts.song_map(np.ones((12, 5)), ["rock"] * 12))
