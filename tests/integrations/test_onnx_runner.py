"""The runner for ONNX files, one file that knows nothing of this package, says what the live model says."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.errors import InputError
from data_pipeline.lyrics import absence, markup
from data_pipeline.lyrics.reading import LyricsError, read_lyrics_text
from mgc_jax.api import Model
from mgc_jax.export.folder import export
from tests.support import tiny_model
from tests.support.exported import python
from tests.support.recipe import ROOT

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("onnxscript")
onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")

FILE = ROOT / "integrations" / "onnx_runner.py"
LYRICS = "[Chorus]\na b c d\n\n\ne f &amp; g (x2)\n" + "h i j " * 9
KINDS = {
    "CNN": "",
    "no words": "model.fusion=audio loss.contrastive_weight=0.0",
    "words alone, in windows": "model.fusion=lyrics lyrics.window=8",
    "musicnn and the wide path": "audio.input=features audio.sample_rate=16000 audio.seconds=6.1 model.wide=0.3",
}


def load_runner() -> Any:
    spec = importlib.util.spec_from_file_location("onnx_runner", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


onnx_runner = load_runner()


class Both(NamedTuple):
    """A model, and the folder that it was exported to."""

    model: Model
    folder: Path


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, Both]:
    """By their kind, each exported when it is first asked for."""
    from mgc_jax.torch_reference import onnx_file

    class Models(dict):
        def __missing__(self, kind: str) -> Both:
            folder = tmp_path_factory.mktemp("onnx")
            model = tiny_model.model(folder / "run", KINDS[kind])
            model.folder.save_thresholds(np.linspace(0.3, 0.6, model.vocabulary.size), model.vocabulary)
            export(model, folder / "model", write_onnx=onnx_file.writer(model))
            self[kind] = Both(model, folder / "model")
            return self[kind]

    return Models()


@pytest.fixture(scope="module")
def songs(tmp_path_factory) -> dict[str, Path]:
    folder, rng = tmp_path_factory.mktemp("songs"), np.random.default_rng(3)

    def tone(seconds: float, rate: int, hertz: float) -> np.ndarray:
        time = np.arange(int(seconds * rate)) / rate
        return (0.4 * np.sin(2 * np.pi * hertz * time) + 0.05 * rng.normal(size=time.shape)).astype(np.float32)

    def write(name: str, samples: np.ndarray, rate: int) -> Path:
        soundfile.write(folder / name, samples, rate)
        return folder / name

    hiss = (1e-4 * rng.normal(size=22_050 * 8)).astype(np.float32)
    stereo = np.stack([tone(7.3, 44_100, 300.0), 0.5 * tone(7.3, 44_100, 500.0)], axis=1)
    album = [hiss[:40_000], tone(17.2, 22_050, 900.0), hiss, 0.02 * tone(9.9, 22_050, 200.0), hiss[:30_000]]
    return {
        "stereo": write("stereo.flac", stereo, 44_100),
        "short": write("short.wav", tone(1.4, 8_000, 700.0), 8_000),
        "long, with silence": write("long.ogg", np.concatenate(album), 22_050),
        "channels that cancel each other": write("opposed.wav", stereo[:, :1] * [1.0, -0.999], 44_100),
        "MP3": write(
            "song.mp3", tone(14.0, 48_000, 150.0) * np.linspace(0.02, 1, 14 * 48_000, dtype=np.float32), 48_000
        ),
        "of the model's rate": write("own.wav", tone(20.0, 16_000, 450.0), 16_000),
        "moments": write("moments.wav", np.concatenate([hiss, [0.9] * 40, hiss]), 22_050),
    }


def check(both: Both, song: Path, lyrics: str | None) -> dict[str, Any]:
    """The runner says what the live model says."""
    live = both.model.predict(song, lyrics).to_json()
    found = onnx_runner.Runner(both.folder).predict(song, lyrics)
    ours, theirs = ({one["name"]: one["score"] for one in said["genres"]} for said in (live, found))
    assert theirs == pytest.approx(ours, abs=1e-4)
    for name in ("file", "predicted", "windows", "sound", "lyrics_tokens"):
        assert str(found.get(name)) == str(live.get(name)), name
    return theirs


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_runner_says_what_the_live_model_says(kind, models, songs):
    both, found = models[kind], {}
    hears, reads = kind != "words alone, in windows", kind != "no words"
    for name in ("stereo", "short", "long, with silence") if "musicnn" in kind else songs:
        found[name] = check(both, songs[name], LYRICS if reads else None)
    without = check(both, songs["stereo"], None)
    if not reads:
        with pytest.raises(onnx_runner.Refused, match="reads no lyrics: leave them out"):
            onnx_runner.Runner(both.folder).predict(songs["stereo"], LYRICS)
        return
    assert found["stereo"] != pytest.approx(without, abs=1e-5)
    assert (found["stereo"] == pytest.approx(found["short"], abs=1e-5)) is not hears
    for lyrics in ("[Instrumental]", "a", "b c " * 3):  # none, and less than a window of the lyrics encoder
        assert (check(both, songs["stereo"], lyrics) == pytest.approx(without, abs=1e-5)) is (
            lyrics == "[Instrumental]"
        )


def weights(file: Path) -> int:
    return sum(int(np.prod(tensor.dims)) for tensor in onnx.load(file).graph.initializer)


@pytest.mark.slow
def test_the_lyrics_encoder_is_in_a_file_of_its_own_and_in_none_where_no_words_are_taken(models):
    both = models["CNN"]
    frozen, learned = (
        sum(x.size for x in jax.tree.leaves(part)) for part in (both.model.network.frozen, both.model.state)
    )
    assert weights(both.folder / "lyrics_encoder.onnx") == pytest.approx(frozen, rel=0.1)
    assert weights(both.folder / "head.onnx") == pytest.approx(learned, rel=0.1)
    alone = models["no words"].folder
    assert not (alone / "lyrics_encoder.onnx").exists()
    assert [given.name for given in onnxruntime.InferenceSession(alone / "head.onnx").get_inputs()] == ["spectrogram"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_constants_tell_what_the_files_take(kind, models):
    folder = models[kind].folder
    constants = json.loads((folder / "preprocessing.json").read_text())["onnx"]
    for file in filter(None, (constants["lyrics_encoder"], constants["head"])):
        proto = onnx.load(folder / file["file"])
        assert [one.version for one in proto.opset_import if not one.domain] == [constants["opset"]]
        session = onnxruntime.InferenceSession(folder / file["file"])
        for told, ports in ((file["inputs"], session.get_inputs()), (file["outputs"], session.get_outputs())):
            assert [one["name"] for one in told] == [port.name for port in ports]
            axes = [re.findall(r"\w+", one["type"].partition("(")[2]) for one in told]
            assert axes == [list(map(str, port.shape)) for port in ports]


@pytest.mark.slow
def test_another_audio_encoder_than_musicnn_is_refused_before_the_work(models, monkeypatch):
    from mgc_jax.torch_reference import onnx_file

    model = models["musicnn and the wide path"].model
    monkeypatch.setattr(model.features, "encoder", dataclasses.replace(model.features.encoder, name="mert"))
    with pytest.raises(InputError, match="--onnx goes by way of the PyTorch twin: the audio encoder"):
        onnx_file.writer(model)


ALONE = """
import sys
sys.path[:] = [place for place in sys.path if place not in sys.argv[1:2]]
blocked = "mgc_jax data_pipeline jax jaxlib flax torch tensorflow transformers scipy librosa av safetensors".split()
sys.modules.update(dict.fromkeys(blocked))
import runpy
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.slow
def test_it_stands_alone(models, songs, tmp_path):
    both = models["CNN"]
    shutil.copyfile(FILE, tmp_path / "runner.py")
    (tmp_path / "words.txt").write_text(LYRICS)
    arguments = ("runner.py", str(both.folder), str(songs["stereo"]), "--lyrics", "words.txt")
    said = json.loads(python(ALONE, str(ROOT), *arguments, "--json", folder=tmp_path))
    live = both.model.predict(songs["stereo"], LYRICS)
    assert {one["name"]: one["score"] for one in said["genres"]} == pytest.approx(dict(live.ranked), abs=1e-4)
    lines = python(ALONE, str(ROOT), *arguments, folder=tmp_path).splitlines()
    assert [line.partition(" ")[2][2:] for line in lines] == [name for name, _ in live.ranked]
    assert {line.partition(" ")[2][2:] for line in lines if " * " in line} == set(live.predicted)


PROBLEMS = {
    "no folder": "holds no model that can be read",
    "no ONNX": "was exported without --onnx",
    "a broken file": "holds no model that can be read",
    "no song": "cannot be decoded",
    "no sound": "cannot be decoded",
    "silence": "silent throughout",
    "a moment": "is shorter than 1 s",
    "cut off": "cannot be decoded|is cut off",
    "Latin-1": "is not in UTF-8",
    "a page": "The lyrics are a web page or another document",
    "karaoke": "in a form that is not read here",
    "no lyrics there": "No such file",
}


@pytest.mark.slow
@pytest.mark.parametrize("problem", PROBLEMS)
def test_what_it_cannot_read_is_one_sentence(problem, models, songs, tmp_path, capsys):
    folder, song, lyrics = models["CNN"].folder, songs["stereo"], tmp_path / "words.txt"
    lyrics.write_text("la la")
    if problem == "no folder":
        folder = tmp_path / "nowhere"
    elif problem in ("no ONNX", "a broken file"):
        folder = shutil.copytree(folder, tmp_path / "model", ignore=shutil.ignore_patterns("*.safetensors"))
        constants = json.loads((folder / "preprocessing.json").read_text())
        if problem == "no ONNX":
            del constants["onnx"]
        (folder / "preprocessing.json").write_text(json.dumps(constants))
        (folder / "head.onnx").write_bytes(b"no ONNX")
    elif problem == "no song":
        song = tmp_path / "nowhere.wav"
    elif problem in ("no sound", "cut off"):
        content = song.read_bytes()
        song = tmp_path / "song.flac"
        song.write_bytes(b"no sound at all" * 9 if problem == "no sound" else content[: len(content) // 3])
    elif problem in ("silence", "a moment"):
        song = tmp_path / "song.wav"
        soundfile.write(song, np.zeros(9_000) if problem == "silence" else np.ones(4_000), 8_000)
    elif problem == "Latin-1":
        lyrics.write_bytes("é".encode("latin-1"))
    elif problem == "a page":
        lyrics.write_text("<html><body>la la</body></html>")
    elif problem == "karaoke":
        lyrics.write_text(KARAOKE)
    else:
        lyrics = tmp_path / "nowhere.txt"
    with pytest.raises(SystemExit) as ended:
        onnx_runner.main([str(folder), str(song), "--lyrics", str(lyrics)])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(PROBLEMS[problem], line)


def test_an_mp3_that_does_not_tell_its_length_is_told(songs, tmp_path):
    content = songs["MP3"].read_bytes()
    place = re.search(b"Xing|Info|VBRI", content).start()
    (tmp_path / "song.mp3").write_bytes(content[:place] + b"    " + content[place + 4 :])
    for song, expected in ((songs["MP3"], 0), (tmp_path / "song.mp3", 1)):
        notes: set[str] = set()
        onnx_runner.decode(song, notes)
        assert len(notes) == expected


LINES = (
    *("Walking home tonight", "oh oh &amp; <3", "[Chorus]", "Verse 2:", "(x2)", "[00:12.34] la <00:21.50>la", "", "  "),
    *("[Instrumental]", "nan", "No lyrics found", "<b>now</b>", "rain<br/>", "Am7  F#  G/B", "[Am]When it [C]rains"),
    *("You might also like", "12 Contributors Song Lyrics", "Embed", "{title: x}", "\u200b", "a\x01b", "Привет, мир!"),
    *("[ar:Nobody]", "See you at 12:30", "0:12 la", "0:15 la", "0:20 la", "&nosuch;", '{"a": 1}'),
)


def same(text: str) -> bool:
    """Whether the runner reads what preparation reads; else one of them, or both, must refuse it."""
    constants = {"markup": markup.described(), "absence": absence.described()}
    try:
        ours = read_lyrics_text(text) or ""
    except LyricsError:
        with pytest.raises(onnx_runner.Refused):
            onnx_runner.sung_words(text, json.loads(json.dumps(constants)))
        return False
    try:
        assert onnx_runner.sung_words(text, json.loads(json.dumps(constants))) == ours
    except onnx_runner.Refused:
        return False
    return True


@given(st.lists(st.sampled_from(LINES), max_size=8), st.sampled_from(("\n", "\r\n", "\r", "\n\n")))
def test_words_are_those_that_the_model_was_taught_with(lines, end):
    same(end.join(lines))


FORMS = {
    "LRC": "[ar:Nobody]\n[offset:+200]\n[00:12.34]Walking home\n[00:15.10][01:15.10]oh <00:21.50>oh\n",
    "SRT": "1\r\n00:00:01,000 --> 00:00:04,000\r\nWalking <i>home</i>\r\n\r\n2\r\n00:00:05,000 --> 00:00:07,000\r\n99",
    "WebVTT": "WEBVTT\n\nrefrain\n00:01.000 --> 00:04.000\n<v Bob>Walking <c.yellow>home</c>\n",
    "HTML tags": "<p>Walking home<br/>\ntonight<br>R&amp;B &lt;3</p>5 < 6 <b>now</b>",
    "ChordPro": "{t: Hollow Moon}\n{soc}\n[C]Walking [G7]home\n{eoc}\n# nobody sings this\n",
    "a page": "2 ContributorsHollow Moon Lyrics\n[Verse 1: Nobody]\nWalking home\nYou might also like\nla la12Embed",
    "a sheet": "Capo: 2\nAm7    F#    G/B\nWalking home tonight\nC   G   Am\nla la\n",
}
KARAOKE = "#TITLE:Hollow Moon\n#BPM:120\n: 0 5 12 Wal\n: 5 3 14 king\n- 20\nE\n"


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_lyrics_that_are_read(form):
    assert same(FORMS[form])
    assert "alking" in read_lyrics_text(FORMS[form])
