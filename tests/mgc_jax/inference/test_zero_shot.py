"""Genres that a user names, without training: a CLAP from its folder, against Transformers and by the commands."""

import json
import shutil

import numpy as np
import pytest
import soundfile

import mgc_jax
from data_pipeline.errors import InputError
from mgc_jax.cli import main
from mgc_jax.inference.zero_shot import genre_names
from mgc_jax.models import clap
from mgc_jax.network import published_folder
from tests.support import published, tiny_clap
from tests.support.optional import Lazy

torch, transformers = Lazy("torch"), Lazy("transformers")
RATE = 48_000
GENRES = ("salsa", "hip hop", "música llanera", "R&B")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("published") / "tiny_clap"


@pytest.fixture(scope="module")
def theirs(folder):
    """Transformers' network, feature extractor and tokenizer."""
    model, extractor = tiny_clap.save(folder)
    words = transformers.PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), pad_token="<pad>")
    return model, extractor, words


@pytest.fixture(scope="module")
def model(folder, theirs):
    return mgc_jax.load(folder, genres=GENRES)


@pytest.fixture(scope="module")
def song(tmp_path_factory):
    """23 s: three windows, of which the last ends with the song."""
    file = tmp_path_factory.mktemp("songs") / "song.wav"
    soundfile.write(file, published.music(23, RATE)[0], RATE, subtype="FLOAT")
    return file


def shares(theirs, windows) -> np.ndarray:
    """What Transformers makes of windows, each by itself: the probabilities of the genres, and their mean."""
    network, extractor, words = theirs
    texts = words([f"This audio is a {genre} song." for genre in GENRES], padding=True, return_tensors="pt")
    features = extractor(list(windows), sampling_rate=RATE, return_tensors="pt").input_features
    with torch.no_grad():
        out = network(input_ids=texts.input_ids, attention_mask=texts.attention_mask, input_features=features.float())
    return out.logits_per_audio.softmax(-1).mean(0).numpy()


def test_a_songs_scores_are_those_of_transformers(theirs, model, song):
    samples = soundfile.read(song, dtype="float32")[0]
    wanted = shares(theirs, [samples[: 10 * RATE], samples[10 * RATE : 20 * RATE], samples[-10 * RATE :]])
    found = model.predict(song)
    assert found.windows == 3
    scores = dict(found.ranked)
    np.testing.assert_allclose([scores[name] for name in GENRES], wanted, atol=2e-4)
    assert wanted.max() - wanted.min() > 0.02  # they differ by far more than the tolerance
    assert sum(scores.values()) == pytest.approx(1, abs=1e-5)
    assert list(found.predicted) == [name for name, score in found.ranked if score >= 1 / 4]


def test_a_song_shorter_than_a_window_is_repeated_as_transformers_does(theirs, model):
    short = published.music(3.3, RATE)[0]
    scores = dict(model.predict(short, rate=RATE).ranked)
    np.testing.assert_allclose([scores[name] for name in GENRES], shares(theirs, [short]), atol=2e-4)


def test_many_windows_weigh_the_same(model):
    sound = published.music(10, RATE)[0]
    once, often = model.predict(sound, rate=RATE), model.predict(np.tile(sound, 5), rate=RATE)
    assert (once.windows, often.windows) == (1, 5)
    assert dict(often.ranked) == pytest.approx(dict(once.ranked), abs=1e-5)


def test_a_genre_need_not_be_named_first(folder, model, song):
    other = mgc_jax.load(folder, genres=GENRES[::-1])
    assert other.genres == GENRES[::-1]
    assert dict(other.predict(song).ranked) == pytest.approx(dict(model.predict(song).ranked), abs=1e-5)


def test_the_command_prints_and_writes_what_python_finds(folder, theirs, model, song, tmp_path, capsys):
    file = tmp_path / "genres.json"
    named = ["--genres", "salsa,hip hop ", "--genres", " música   llanera, R&B"]
    assert main(["predict", "--workdir", str(folder), *named, str(song), "--json", str(file)]) == 0
    found = model.predict(song)
    first, *rows = capsys.readouterr().out.splitlines()
    assert first == f"{song} (3 windows): {', '.join(found.predicted)}"
    assert [row[4:28].strip() for row in rows] == [name for name, _ in found.ranked]
    (written,) = json.loads(file.read_text("utf-8"))
    assert {genre["name"]: genre["score"] for genre in written["genres"]} == pytest.approx(dict(found.ranked))


def test_the_page_answers_too(model, song):
    pytest.importorskip("gradio")
    from mgc_jax.web import page, queue

    songs = queue.SongQueue(model)
    songs.open()
    genres, why = page.answer(songs, str(song), "")
    songs.close()
    assert genres.count("<tr") == 4
    assert "Seconds that speak for and against" in why
    assert "knows 4 genres: salsa, hip hop, " in page._introduction(model)
    assert "where no genre fits" in page._introduction(model)


def test_weights_that_are_not_for_commerce_are_announced(folder, theirs, song, tmp_path, capsys):
    copy = shutil.copytree(folder, tmp_path / "clap")
    (copy / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n")
    assert main(["predict", "--workdir", str(copy), "--genres", "salsa, bachata", str(song)]) == 0
    warning = f"The weights of {copy} are CC-BY-NC-4.0: not for commercial use, nor is what they taught."
    assert capsys.readouterr().out.splitlines()[0] == warning


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("salsa, bachata,merengue", ("salsa", "bachata", "merengue")),
        (" drum  and\tbass , dub", ("drum and bass", "dub")),
        (["folk, world & country", "rock"], ("folk, world & country", "rock")),
        (("hip hop", "hip-hop"), ("hip hop", "hip-hop")),
    ],
)
def test_names_of_genres(given, names):
    assert genre_names(given) == names


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("", "No genre is named: give two or more"),
        (" , ,", "No genre is named: give two or more"),
        ([], "No genre is named: give two or more"),
        ("salsa,,bachata", "The name of a genre is empty: look for a comma too many"),
        ("salsa, bachata,", "The name of a genre is empty: look for a comma too many"),
        ("salsa, Salsa", "The genre 'salsa' is named twice"),
        (["hip hop", "rock", "hip  hop"], "The genre 'hip hop' is named twice"),
        ("salsa", "Scores are shares among the genres that are named, and 'salsa' alone would always get 1"),
        (["salsa", 7], "The name of a genre is text, not int"),
        ("salsa, b\udcffchata", r"No genre is called 'b\\udcffchata'"),
        (["salsa", "\x1b[2J"], r"No genre is called '\\x1b\[2J'"),
    ],
)
def test_names_that_are_none(given, sentence):
    with pytest.raises(InputError, match=f"^{sentence}") as error:
        genre_names(given)
    assert str(error.value).endswith(".")


def test_a_name_that_is_too_long(folder, theirs):
    with pytest.raises(InputError, match=r"^The genre 'la la la .* is longer than CLAP reads\.$"):
        mgc_jax.load(folder, genres=["salsa", "la " * 99])


def refused(place, capsys, *arguments: str) -> str:
    """The sentence by which ``predict`` ends."""
    assert main(["predict", "--workdir", str(place), *arguments, "song.mp3"]) == 2
    output = capsys.readouterr()
    assert (output.out, output.err.count("\n")) == ("", 1)
    return output.err.removeprefix("mgc-jax: ").strip()


NAMED = ("--genres", "salsa, bachata")
OTHERWISE = "leave the genres out, or give a CLAP such as laion/larger_clap_general."


def test_models_with_genres_of_their_own_are_not_asked_about_others(tmp_path, capsys):
    assert refused("musicnn", capsys, *NAMED) == f"musicnn has genres of its own: {OTHERWISE}"
    (tmp_path / "config.json").write_text("{}")
    assert refused(tmp_path, capsys, *NAMED) == (
        f"{tmp_path} holds no CLAP, and no other model is asked about genres that you name: {OTHERWISE}"
    )
    (tmp_path / "config.json").write_text('{"model_type": "mert_model"}')
    assert "holds no CLAP" in refused(tmp_path, capsys, *NAMED)


def test_a_clap_without_genres_says_what_it_wants(folder, theirs, capsys):
    assert refused(folder, capsys) == (
        f"{folder / 'config.json'} is that of a published network ('clap') and of no run; a CLAP scores genres that it "
        "is given (predict, serve: --genres)."
    )


@pytest.mark.parametrize("place", ["no/such/folder", "gs://bucket/clap", "clap"])
def test_places_that_hold_nothing(place, capsys):
    assert refused(place, capsys, *NAMED) == (
        f"There is no CLAP {place}: give a folder, or a name on the hub such as laion/larger_clap_general."
    )


@pytest.mark.parametrize("place", ["laion/larger_clap_music", "hf://laion/larger_clap_music"])
def test_the_broken_weights_are_refused_before_they_are_downloaded(place, monkeypatch, capsys):
    monkeypatch.setattr(published_folder, "locate", None)
    assert refused(place, capsys, *NAMED).endswith(
        "the published weights of larger_clap_music are broken; take laion/larger_clap_general."
    )


def test_a_folder_of_the_broken_weights(folder, theirs, tmp_path, monkeypatch, capsys):
    copy = shutil.copytree(folder, tmp_path / clap.BROKEN)
    monkeypatch.chdir(copy)
    assert "are broken; take laion/larger_clap_general" in refused(copy, capsys, *NAMED)
    assert "are broken; take laion/larger_clap_general" in refused(".", capsys, *NAMED)


@pytest.mark.parametrize("place", ["laion/larger_clap_general", "hf://laion/larger_clap_general"])
def test_a_name_on_the_hub_is_downloaded(place, folder, theirs, model, song, monkeypatch):
    asked = []
    monkeypatch.setattr(
        published_folder.snapshot,
        "download",
        lambda what, name, files, otherwise: asked.append((name, files)) or folder,
    )
    found = mgc_jax.load(place, genres=GENRES)
    assert found.name == "laion/larger_clap_general"
    assert dict(found.predict(song).ranked) == pytest.approx(dict(model.predict(song).ranked))
    ((name, files),) = asked
    assert name == "laion/larger_clap_general"
    assert {"tokenizer.json", "model.safetensors"} <= set(files)


def without_tokenizer(copy):
    (copy / "tokenizer.json").unlink()


def with_a_larger_tokenizer(copy):
    tokenizer = json.loads((copy / "tokenizer.json").read_text("utf-8"))
    tokenizer["model"]["vocab"]["zz"] = 500
    (copy / "tokenizer.json").write_text(json.dumps(tokenizer), "utf-8")


def with_a_tokenizer_that_marks_no_ends(copy):
    tokenizer = json.loads((copy / "tokenizer.json").read_text("utf-8"))
    (copy / "tokenizer.json").write_text(json.dumps(tokenizer | {"post_processor": None}), "utf-8")


def with_a_broken_tokenizer(copy):
    (copy / "tokenizer.json").write_text("{}")


def without_front_end(copy):
    (copy / "preprocessor_config.json").unlink()


def without_text_config(copy):
    config = json.loads((copy / "config.json").read_text("utf-8"))
    del config["text_config"]
    (copy / "config.json").write_text(json.dumps(config), "utf-8")


@pytest.mark.parametrize(
    ("break_it", "sentence"),
    [
        (without_tokenizer, "cannot be used: it has no tokenizer.json, by which the genres' names are read."),
        (with_a_larger_tokenizer, "cannot be used: its tokenizer knows more words than its text tower (500)."),
        (with_a_tokenizer_that_marks_no_ends, "its tokenizer puts no token before and behind a text."),
        (with_a_broken_tokenizer, "cannot be read or used"),
        (without_front_end, "lacks preprocessor_config.json."),
        (without_text_config, "cannot be used: config.json has no text_config."),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_folder_that_is_broken(break_it, sentence, folder, theirs, tmp_path, capsys):
    copy = shutil.copytree(folder, tmp_path / "clap")
    break_it(copy)
    assert sentence in refused(copy, capsys, *NAMED)


def test_lyrics_and_precisions_are_refused(folder, model, song):
    with pytest.raises(InputError, match=r"hears a song and reads no lyrics: leave them out\.$"):
        model.predict(song, "la la la")
    with pytest.raises(InputError, match=r"^dtype is for runs: a CLAP computes in float32\.$"):
        mgc_jax.load(folder, genres=GENRES, dtype="bfloat16")
