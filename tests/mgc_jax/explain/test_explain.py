"""Explanations against songs that are altered by hand, and against a model whose reasons are known."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import soundfile
from flax import nnx

import mgc_jax
from data_pipeline.errors import InputError
from data_pipeline.lyrics.encoder import locate_encoder
from mgc_jax.api import Model
from mgc_jax.cli import main
from mgc_jax.config import recipes
from mgc_jax.explain.explainer import MAX_WINDOWS, shapley
from mgc_jax.explain.explanation import Explanation
from mgc_jax.explain.segments import Clock, EncoderClock, stretches
from mgc_jax.models.audio_cnn import dequantise
from mgc_jax.models.classifier import Outputs
from mgc_jax.network.state import ModelState, Network, initialise
from mgc_jax.runtime import sharding

RATE = 22_050
LYRICS = "Dancing unhurriedly all night\nunder the lights, don't stop"
MASKED = {  # tiny recipe: 16 tokens, of which [CLS] and [SEP] are two
    "Dancing": "[MASK] unhurriedly all night\nunder the lights, don't stop",
    "unhurriedly": "Dancing [MASK][MASK][MASK][MASK] all night\nunder the lights, don't stop",
    "lights,": "Dancing unhurriedly all night\nunder the [MASK][MASK] don't stop",
}


def song(seconds: float, seed: int = 0) -> np.ndarray:
    """Beats of changing loudness over a chord that changes each second: (n,) float32."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * RATE)) / RATE
    pitch = rng.choice([110.0, 220.0, 330.0, 440.0, 660.0], int(seconds) + 1)[time.astype(int)]
    beats = 0.2 * rng.normal(size=len(time)) * (time % 0.4 < 0.1)
    return (
        0.3 * np.sin(2 * np.pi * pitch * time) * rng.uniform(0.1, 1, int(seconds) + 1)[time.astype(int)] + beats
    ).astype(np.float32)


@pytest.fixture(scope="module")
def model(run: Path) -> Model:
    return mgc_jax.load(str(run))


@pytest.fixture(scope="module")
def explained(model: Model) -> Explanation:
    """Three windows of 3 s, the last one ending with the song of 7 s."""
    return model.explain(song(7.0), LYRICS, rate=RATE, genres=[model.vocabulary.names[3], model.vocabulary.names[0]])


def untrained(run: Path, **settings: str | bool | int) -> Model:
    """A model of the run's genres with other settings, its weights at their start."""
    loaded = mgc_jax.load(str(run))
    changes = {f"model.{name}": value for name, value in settings.items()}
    if "architecture" in settings:  # whose loss is not contrastive
        changes["loss.contrastive_weight"] = 0.0
    config = recipes.changed(loaded.config, changes, origin="the test")
    encoder = locate_encoder(config.lyrics.encoder)
    network, state = initialise(config, loaded.vocabulary, encoder, sharding.make_mesh())
    return Model(loaded.folder, config, loaded.vocabulary, network, state, loaded.encoder)


def compiled(model: Model, function: Callable[[Any, dict], Any]) -> Callable[[dict], Any]:
    """``function`` of the whole model and a batch, without any step of the project."""
    run = jax.jit(lambda state, frozen, batch: function(model.network.merge(state, frozen), batch))
    return lambda batch: jax.device_get(run(model.state, model.network.frozen, batch))


def ask(model: Model, clips: list[np.ndarray], texts: list[str | None]) -> np.ndarray:
    """Logits (B, G) of the whole model, four rows at a time: one program, however many rows there are."""
    tokens = [model.tokens(text) for text in texts]
    rows = np.stack([np.pad(ids.astype(np.int32), (0, model.config.lyrics.max_tokens - len(ids))) for ids in tokens])
    batch = {
        "spectrogram": np.stack(clips),
        "tokens": rows,
        "num_tokens": np.array([len(ids) for ids in tokens], np.int32),
    }
    logits = compiled(model, lambda network, part: network(part, train=False).logits)
    fours = [np.arange(start, start + 4) % len(clips) for start in range(0, len(clips), 4)]
    found = [logits({name: values[four] for name, values in batch.items()}) for four in fours]
    return np.concatenate(found)[: len(clips)].astype(np.float64)


def weighted(values: np.ndarray, seconds: float, starts: Sequence[float]) -> np.ndarray:
    """The mean over the windows of 3 s that begin at ``starts``, of which the louder ones count more."""
    whole = song(seconds)
    levels = [np.std(whole[round(start * RATE) :][: 3 * RATE]) for start in starts]
    return np.average(values, axis=0, weights=levels)


def columns(model: Model, explanation: Explanation) -> list[int]:
    return [model.vocabulary.names.index(name) for name in explanation.genres]


def test_occlusion_in_time_is_what_a_loop_over_silenced_frames_gives(model: Model, explained: Explanation):
    windows = list(model.clips(song(7.0), RATE))
    assert [start for start, _ in windows] == explained.windows[:, 0].tolist() == [0.0, 3.0, 4.0]
    clips, effects, edges = [], [], []
    for start, clip in windows:
        # 130 frames of 512 samples; an audio token is 32 frames, 0.74 s, and so is a span; 2 frames are left over.
        for first, behind in ((0, 32), (32, 64), (64, 96), (96, 130)):
            clips.append(clip.copy())
            clips[-1][first:behind] = 0
            edges.append(
                [start + max(0.0, (first - 0.5) * 512 / RATE), min(start + (behind - 0.5) * 512 / RATE, start + 3)]
            )
    whole = ask(model, [clip for _, clip in windows], [LYRICS] * 3).repeat(4, axis=0)
    effects = (whole - ask(model, clips, [LYRICS] * 12))[:, columns(model, explained)]
    assert np.abs(effects).max() > 1e-3
    np.testing.assert_allclose(explained.segment_effect, effects, atol=2e-5)
    np.testing.assert_allclose(explained.segments, edges, atol=1e-9)


def test_occlusion_of_words_is_what_the_mask_in_their_place_gives(model: Model, explained: Explanation):
    clips = [clip for _, clip in model.clips(song(7.0), RATE)]
    whole = ask(model, clips, [LYRICS] * 3)
    assert explained.words.words == tuple(LYRICS.split())
    assert explained.words.lines.tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 1]
    for word, text in MASKED.items():
        assert len(model.tokens(text)) == len(model.tokens(LYRICS))
        effect = weighted(whole - ask(model, clips, [text] * 3), 7.0, [0, 3, 4])[columns(model, explained)]
        found = explained.word_effect[explained.words.words.index(word)]
        np.testing.assert_allclose(found, effect, atol=2e-5)
    assert np.nanmax(np.abs(explained.word_effect)) > 1e-3


def test_base_sound_and_words_make_up_the_logit(model: Model, explained: Explanation):
    np.testing.assert_allclose(
        explained.base + explained.sound_part + explained.words_part, explained.logits, rtol=0, atol=1e-12
    )
    clips = [clip for _, clip in model.clips(song(7.0), RATE)]
    silence = np.zeros_like(clips[0])
    here = columns(model, explained)
    both = weighted(ask(model, clips, [LYRICS] * 3), 7.0, [0, 3, 4])[here]
    np.testing.assert_allclose(explained.logits, both, atol=2e-5)
    neither, words = ask(model, [silence] * 2, [None, LYRICS])[:, here]
    sound = weighted(ask(model, clips, [None] * 3), 7.0, [0, 3, 4])[here]
    np.testing.assert_allclose(explained.base, neither, atol=2e-5)
    by_order = ((sound - neither) + (explained.logits - words)) / 2  # sound comes first, sound comes last
    np.testing.assert_allclose(explained.sound_part, by_order, atol=5e-5)


def test_shapley_values_of_a_game_that_is_known():
    sound, words = shapley(np.float64(10), np.float64(4), np.float64(3), np.float64(1))
    assert (sound, words) == (5.0, 4.0)  # 3 and 2 alone, and the 4 that only both make are halved


def test_without_lyrics_words_have_no_part(model: Model):
    found = model.explain(song(3.0), rate=RATE)
    assert found.words_part.tolist() == [0.0] * len(found.genres)
    assert found.words.words == ()
    assert found.word_effect.shape == (0, len(found.genres))
    assert found.attention is None
    assert found.genres == found.prediction.predicted


def test_attention_comes_back_to_seconds_and_words(model: Model, explained: Explanation):
    found = explained.attention
    assert found is not None
    np.testing.assert_allclose(found.to_words.sum(1), 1.0, atol=1e-6)
    np.testing.assert_allclose(found.to_seconds.sum(1), 1.0, atol=1e-6)
    assert found.words.tolist() == [*range(9)][: len(found.words)]
    clip = list(model.clips(song(7.0), RATE))[1][1]
    ids = model.tokens(LYRICS)
    batch = {"spectrogram": clip[None], "tokens": ids[None].astype(np.int32), "num_tokens": np.array([len(ids)])}
    weights = compiled(model, lambda network, b: network.cross_attention.weights(*network.represent(b, train=False)))
    heard, read = weights(batch)
    own = [model.tokens(word)[1:-1] for word in LYRICS.split()]  # the pieces of each word by itself
    place = 1
    for word, pieces in enumerate(own[:6]):
        assert ids[place : place + len(pieces)].tolist() == pieces.tolist()
        for second in range(4):
            looked = sum(float(heard[0, :, second, place + i].mean()) for i in range(len(pieces)))
            assert found.to_words[4 + second, word] == pytest.approx(looked, abs=1e-5)
        place += len(pieces)
    other = float(heard[0, :, 2, 0].mean() + heard[0, :, 2, len(ids) - 1].mean())
    assert found.to_words[4 + 2, -1] == pytest.approx(other, abs=1e-5)
    back = np.mean([float(read[0, :, place, 3].mean()) for place in (0, len(ids) - 1)])
    assert found.to_seconds[-1, 4 + 3] * 3 == pytest.approx(back, abs=1e-5)
    np.testing.assert_allclose(
        found.seconds[4:6], [[3.0, 3 + 31.5 * 512 / RATE], [3 + 31.5 * 512 / RATE, 3 + 63.5 * 512 / RATE]]
    )


def test_the_graph_is_what_the_formula_gives_with_and_without_edges(model: Model, explained: Explanation):
    network = model.network.merge(model.state, model.network.frozen)
    graph = network.genre_graph
    given = np.asarray(graph.adjacency[...], np.float64)
    nodes = np.asarray(graph.node_features[...], np.float64)
    weights = [np.asarray(layer.kernel[...], np.float64) for layer in graph.layers]
    ids = model.tokens(LYRICS)
    clips = np.stack([clip for _, clip in model.clips(song(7.0), RATE)])
    batch = {
        "spectrogram": clips,
        "tokens": np.tile(ids.astype(np.int32), (3, 1)),
        "num_tokens": np.full(3, len(ids)),
    }
    fuse = compiled(model, lambda net, b: net.fuse(*net.represent(b, train=False), train=False, key=None))
    fused = weighted(fuse(batch).astype(np.float64), 7.0, [0, 3, 4])

    def logit(adjacency: np.ndarray, genre: int) -> float:
        hidden = adjacency @ nodes @ weights[0]
        hidden = adjacency @ np.where(hidden > 0, hidden, 0.2 * hidden) @ weights[1]
        return float(hidden[genre] @ fused / np.sqrt(len(fused)))

    assert explained.graph is not None
    assert explained.related is not None
    for place, genre in enumerate(columns(model, explained)):
        alone = logit(np.diag(np.diagonal(given)), genre)
        assert explained.graph[place] == pytest.approx(logit(given, genre) - alone, abs=2e-4)
        for other in (1, 2, 5):
            cut = given.copy()
            cut[genre, other] = 0.0
            assert explained.related[place, other] == pytest.approx(logit(given, genre) - logit(cut, genre), abs=2e-5)
        assert len(explained.neighbours(place)) == model.vocabulary.size - 1
        assert explained.genres[place] not in dict(explained.neighbours(place))


@pytest.mark.usefixtures("one_block_of_each_kind")
@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"architecture": "pandeya"},
        {"fusion": "audio", "head": "linear"},
        {"audio_tokens": "all", "audio_preset": "narrow_patches"},
        *(
            pytest.param(settings, marks=pytest.mark.rare)
            for settings in (
                {"architecture": "santana"},
                {"fusion": "concat"},
                {"fusion": "lyrics"},
                {"pooling": "flatten", "heads": 1, "residual_norm": False},
            )
        ),
    ],
    ids=str,
)
def test_every_kind_of_model_is_explained(run: Path, settings: dict):
    model = untrained(run, **settings)
    genres = model.vocabulary.names[:2]
    hears, reads = (
        settings.get("fusion") != "lyrics",
        "santana" not in settings.values() and settings.get("fusion") != "audio",
    )
    found = model.explain(song(4.0), LYRICS if reads else None, rate=RATE, genres=genres)
    assert set(found.genres) == set(genres)
    here = columns(model, found)
    (_, first), (_, second) = model.clips(song(4.0), RATE)
    # The last span of the second window, the first word.
    span = int(np.flatnonzero(found.segments[:, 0] >= 1.0)[-1])
    silenced = second.copy()
    silenced[round((found.segments[span, 0] - 1.0) * RATE / 512 + 0.5) :] = 0
    masked = MASKED["Dancing"]
    logits = ask(model, [first, second, silenced, first, second], [LYRICS, LYRICS, LYRICS, masked, masked])[:, here]
    whole, (one, other, third) = logits[:2], logits[2:]
    np.testing.assert_allclose(found.logits, weighted(whole, 4.0, [0, 1]), atol=5e-5)
    np.testing.assert_allclose(found.segment_effect[span], whole[1] - one, atol=5e-5)
    np.testing.assert_allclose(found.base + found.sound_part + found.words_part, found.logits, atol=1e-9)
    assert (found.uses_audio, found.uses_lyrics) == (hears, reads)
    if reads:
        np.testing.assert_allclose(found.word_effect[0], weighted(whole - [other, third], 4.0, [0, 1]), atol=5e-5)
    else:
        assert found.words.words == ()
        assert found.words_part.tolist() == [0.0, 0.0]
        with pytest.raises(InputError, match="hears a song and reads no lyrics: leave them out"):
            model.explain(song(4.0), LYRICS, rate=RATE)
    assert found.sound_part.any() == hears
    scma = "architecture" not in settings and "fusion" not in settings
    assert (found.attention is not None) == scma
    if found.attention is not None:
        np.testing.assert_allclose(found.attention.to_words.sum(1), 1.0, atol=1e-6)
        np.testing.assert_allclose(found.attention.to_seconds.sum(1), 1.0, atol=1e-6)
        assert len(found.attention.seconds) == 2 * 4
    assert (found.graph is None) == ("architecture" in settings or settings.get("head") == "linear")
    content = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert ("segments" in content, "words" in content) == (hears, reads)
    assert ("sound" in content["genres"][0], "words" in content["genres"][0]) == (hears, reads)
    assert ("lyrics_tokens" in content["prediction"]) == reads
    mgc_jax.draw(found).canvas.draw()


class Reasons(nnx.Module):
    """A model that hears one stretch of frames and one word and nothing else: its reasons are known."""

    FIRST, BEHIND, WORD, LOUDNESS, RAIN = 60, 90, 4542, 3.0, 2.0  # 4542 is "rain"

    def __init__(self, genres: int):
        self.bias = nnx.Param(jnp.linspace(-1.0, 1.0, genres))

    def __call__(self, batch, *, train: bool, dropout_key=None) -> Outputs:
        heard = (dequantise(batch["spectrogram"])[:, self.FIRST : self.BEHIND] + 1).mean((1, 2)) / 2
        real = jnp.arange(batch["tokens"].shape[1]) < batch["num_tokens"][:, None]
        read = ((batch["tokens"] == self.WORD) & real).any(1)
        evidence = self.LOUDNESS * heard + self.RAIN * read
        side = jnp.where(jnp.arange(self.bias.shape[0]) == 0, 1.0, -1.0)
        return Outputs(self.bias[...] + side * evidence[:, None], None, None, None)


def test_a_second_explanation_compiles_nothing(model: Model, explained: Explanation):
    """Its programs are kept with the model: they take a hundred times as long as what they compute."""
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(lambda event, *_, **__: compiled.append(event))
    try:
        model.explain(song(7.0), LYRICS, rate=RATE, genres=[model.vocabulary.names[1]])
        assert not [event for event in compiled if "backend_compile" in event]
        jax.jit(lambda x: x + 1)(jnp.arange(17.0))
        assert [event for event in compiled if "backend_compile" in event]
    finally:
        jax.monitoring.clear_event_listeners()


def test_known_reasons_are_found(model: Model):
    rival = {"model.architecture": "pandeya", "loss.contrastive_weight": 0.0}
    config = recipes.changed(model.config, rival, origin="the test")
    mesh = sharding.make_mesh()
    graphdef, params = nnx.split(Reasons(model.vocabulary.size))
    empty = nnx.State({})
    state = ModelState(jnp.zeros((), jnp.int32), nnx.pure(params), empty, empty)
    shardings = jax.tree.map(lambda _: sharding.replicated(mesh), state)
    known = Model(
        model.folder,
        config,
        model.vocabulary,
        Network(graphdef, empty, mesh, sharding.rules(), shardings),
        state,
        model.encoder,
    )
    names = model.vocabulary.names
    found = known.explain(song(3.0), "the rain is here\nand the sun", rate=RATE, genres=[names[1], names[0]])
    side = np.array([1.0 if name == names[0] else -1.0 for name in found.genres])
    ((_, clip),) = known.clips(song(3.0), RATE)
    loud = Reasons.LOUDNESS * clip[Reasons.FIRST : Reasons.BEHIND].mean() / 255
    expected = np.zeros((4, 2))
    expected[2] = loud * side
    np.testing.assert_allclose(found.segment_effect, expected, atol=1e-5)
    words = np.zeros((7, 2))
    words[1] = Reasons.RAIN * side
    np.testing.assert_allclose(found.word_effect, words, atol=1e-5)
    np.testing.assert_allclose(found.sound_part, loud * side, atol=1e-5)
    np.testing.assert_allclose(found.words_part, Reasons.RAIN * side, atol=1e-5)
    assert found.attention is None
    assert found.graph is None


def test_a_long_song_is_explained_from_eight_windows(model: Model):
    found = model.explain(song(31.0), LYRICS, rate=RATE, genres=[model.vocabulary.names[0]])
    assert found.prediction.windows == 11
    starts = found.windows[:, 0]
    assert len(starts) == MAX_WINDOWS
    assert (starts[0], starts[-1]) == (0.0, 28.0)
    assert np.diff(starts).max() <= 6.0
    assert found.seconds == 31.0
    assert len(found.segments) == 4 * MAX_WINDOWS


def test_a_song_shorter_than_a_clip_ends_where_it_ends(model: Model):
    found = model.explain(song(1.2), rate=RATE)
    assert found.seconds == pytest.approx(1.2, abs=0.1)
    assert found.segments[-1, 1] == found.seconds
    assert len(found.segments) == 2
    assert found.windows.tolist() == [[0.0, found.seconds]]


def test_words_behind_the_last_token_are_counted(model: Model):
    found = model.explain(song(3.0), "rain " * 40, rate=RATE, genres=[model.vocabulary.names[0]])
    assert found.words_not_read == 40 - 14
    assert np.isnan(found.word_effect[14:]).all()
    assert not np.isnan(found.word_effect[:14]).any()
    listed = found.to_json()
    assert listed["words_not_read"] == 26
    assert listed["words"][20]["effect"] is None


def test_many_words_are_masked_in_groups(model: Model, monkeypatch):
    from mgc_jax.explain import explainer as module

    monkeypatch.setattr(module, "MAX_GROUPS", 3)
    found = model.explain(song(3.0), "one two three\nfour five", rate=RATE, genres=[model.vocabulary.names[0]])
    assert found.groups.tolist() == [0, 0, 1, 2, 2]
    ((_, clip),) = model.clips(song(3.0), RATE)
    whole, masked = ask(model, [clip] * 2, ["one two three\nfour five", "[MASK] [MASK] three\nfour five"])[:, 0]
    np.testing.assert_allclose(found.word_effect[:2, 0], whole - masked, atol=2e-5)


@pytest.mark.parametrize("genres", [[], ["rokc"], ["rock", "polka music"]])
def test_genres_that_are_not_there_are_refused(model: Model, genres: list[str]):
    with pytest.raises(InputError, match="did you mean rock" if genres == ["rokc"] else "no genre"):
        model.explain(song(3.0), rate=RATE, genres=genres)


def test_genres_are_taken_once_however_they_are_spelled(model: Model):
    name = model.vocabulary.names[0]
    found = model.explain(song(3.0), rate=RATE, genres=[name.upper(), f" {name}", name])
    assert found.genres == (name,)


def test_silence_and_no_text_are_refused(model: Model):
    with pytest.raises(InputError, match="silent"):
        model.explain(np.zeros(RATE * 3, np.float32), rate=RATE)
    with pytest.raises(InputError, match="lyrics"):
        model.explain(song(3.0), "la\x00la", rate=RATE)


@pytest.mark.parametrize(
    ("seconds", "hop", "stride", "width"),
    [(6.0, 1024, 32, 16), (3.0, 512, 32, 32), (30.0, 512, 32, 96), (30.0, 512, 1280, 80)],
)
def test_spans_fit_the_audio_tokens(model: Model, seconds: float, hop: int, stride: int, width: int):
    spec = dataclasses.replace(model.spec, seconds=seconds, hop_length=hop)
    spans = Clock(spec, stride).segments()
    assert spans[0, 0] == 0
    assert spans[-1, 1] == spec.num_frames
    assert (spans[1:, 0] == spans[:-1, 1]).all()
    assert set(np.diff(spans, axis=1)[:-1, 0]) == {width}
    assert stride % width == 0 or width % stride == 0


def test_the_command_prints_writes_and_draws(run: Path, tmp_path: Path, capsys):
    soundfile.write(tmp_path / "song.flac", song(4.0), RATE)
    (tmp_path / "song.txt").write_text(LYRICS)
    arguments = ["explain", "--workdir", str(run), str(tmp_path / "song.flac"), "--lyrics", str(tmp_path / "song.txt")]
    outputs = ["--out", str(tmp_path / "why.png"), "--json", str(tmp_path / "why.json")]
    assert main([*arguments, *outputs]) == 0
    printed = capsys.readouterr().out
    stored = json.loads((tmp_path / "why.json").read_text(), parse_constant=pytest.fail)
    assert (tmp_path / "why.png").read_bytes().startswith(b"\x89PNG")
    assert [genre["name"] for genre in stored["genres"]] == stored["prediction"]["predicted"]
    for genre in stored["genres"]:
        assert f"{genre['name']}: score {genre['score']:.2f}, predicted" in printed
        assert f"log-odds {genre['logit']:+.2f}" in printed
        assert genre["base"] + genre["sound"] + genre["words"] == pytest.approx(genre["logit"])
    best = max(stored["segments"], key=lambda span: span["effect"][stored["genres"][0]["name"]])
    assert f"{best['effect'][stored['genres'][0]['name']]:+.2f}" in printed
    assert [word["word"] for word in stored["words"]] == LYRICS.split()
    assert main([*arguments, "--genres", "metl"]) == 2
    assert main([*arguments[:4], "--lyrics", str(tmp_path / "none.txt")]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2
    assert "did you mean metal?" in errors[0]
    with pytest.raises(SystemExit) as stopped:
        main([*arguments, "--out", str(tmp_path / "why.gif")])
    assert stopped.value.code == 2


def test_the_frames_of_an_encoders_windows_have_times_and_tokens():
    """Two windows of 5 frames and 2 tokens; the second begins before the first one ends."""
    starts = np.array([0, 1, 2, 3, 4, 2.5, 3.5, 4.5, 5.5, 6.5])
    clock = EncoderClock(np.stack([starts, starts + 1], axis=1), stretches(2, 5, 2))
    np.testing.assert_array_equal(clock.tokens(), [[0, 2], [2, 5], [5, 7], [7, 10]])
    np.testing.assert_array_equal(clock.seconds(clock.tokens()), [[0, 2], [2, 5], [2.5, 4.5], [4.5, 7.5]])
    np.testing.assert_array_equal(clock.seconds(np.array([[3, 6]])), [[2.5, 5]])
    assert clock.segments()[-1, 1] == 10
