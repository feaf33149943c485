"""A model taken elsewhere: the exported folder is a model like any other."""

import json
import shutil
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

import mgc_jax
from data_pipeline.audio import log_mel
from data_pipeline.lyrics.encoder import public_name
from data_pipeline.lyrics.tokenizer import LyricsTokenizer
from mgc_jax import api
from mgc_jax.cli import main
from mgc_jax.export.folder import export
from mgc_jax.runs import weights_file
from tests.support import tiny_model
from tests.support.exported import ROOT, metadata_of

LYRICS = "dancing all night under neon light"


def test_what_is_exported_predicts_what_the_run_predicts(workdir, exported, corpus):
    song = sorted((corpus / "audios").glob("*.mp3"))[3]
    before, after = (mgc_jax.load(place).predict(song, LYRICS) for place in (workdir, exported))
    assert before == after
    assert before.lyrics_tokens > 2


def test_the_command_line_takes_the_folder_for_a_workdir(workdir, exported, data, tmp_path):
    shutil.copytree(exported, tmp_path / "model")
    before = {path: path.read_bytes() for path in (tmp_path / "model").rglob("*") if path.is_file()}
    reports = []
    for place in (workdir, tmp_path / "model"):
        arguments = ["evaluate", "--workdir", str(place), "--data", str(data), "--json", str(tmp_path / "a.json")]
        assert main(arguments) == 0
        reports.append(json.loads((tmp_path / "a.json").read_text()))
    assert reports[0] == reports[1]
    # Its card tells its thresholds and figures, which stay what they are.
    assert {path: path.read_bytes() for path in (tmp_path / "model").rglob("*") if path.is_file()} == before


def test_nothing_else_is_needed_to_load_it(exported, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = Path(shutil.copytree(exported, tmp_path / "model"))
    settings = json.loads((folder / "config.json").read_text())
    settings["lyrics"]["encoder"] = "/a/folder/of/somebody"
    (folder / "config.json").write_text(json.dumps(settings))
    ours, theirs = mgc_jax.load(exported), mgc_jax.load(folder)
    assert theirs.encoder == folder / "encoder"
    for name, leaf in weights_file.leaves(ours.state).items():
        np.testing.assert_array_equal(leaf, weights_file.leaves(theirs.state)[name])
    assert mgc_jax.load(folder).state.step == ours.state.step


def test_no_path_of_this_machine_is_told(workdir, exported, tmp_path):
    """A pushed folder is read by everybody."""
    model = tiny_model.model(tmp_path / "run", encoder=str(tmp_path / "encoders" / "my-bert"))
    export(model, tmp_path / "model")
    settings = json.loads((tmp_path / "model" / "config.json").read_text())
    assert settings["lyrics"]["encoder"] == "./my-bert"
    written = huggingface_hub.ModelCard.load(tmp_path / "model" / "README.md")
    assert written.data.base_model is None
    assert "`encoder/` is my-bert" in written.text
    export(mgc_jax.load(tmp_path / "model"), tmp_path / "again")
    assert json.loads((tmp_path / "again" / "config.json").read_text()) == settings
    places = [str(place).encode() for place in (tmp_path, workdir.parent, Path.home(), ROOT)]
    for folder in (tmp_path / "model", exported):
        for file in folder.rglob("*"):
            if file.suffix in (".json", ".md"):
                assert not [place for place in places if place in file.read_bytes()], file
    assert "data" in json.loads((workdir / "evaluation_test.json").read_text())


@pytest.mark.parametrize(
    ("name", "hub"),
    [("minilm", "minilm"), ("google-bert/bert-base-uncased", "google-bert/bert-base-uncased"), ("~/bert", "./bert"),
     ("/models/bert", "./bert"), ("../bert", "./bert"), ("./bert", "./bert"), ("my/bert", "./bert")],
)  # fmt: skip
def test_an_encoder_from_a_folder_has_no_address_on_the_hub(name, hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my" / "bert").mkdir(parents=True)
    assert public_name(name) == hub


def test_another_encoder_is_another_data_set(data, run, tmp_path, capsys):
    other = shutil.copytree(data, tmp_path / "data")
    meta = json.loads((other / "dataset.json").read_text())
    meta["lyrics"]["sha256"] = "0" * 64
    (other / "dataset.json").write_text(json.dumps(meta))
    assert main(["evaluate", "--workdir", str(run), "--data", str(other)]) == 2
    assert "another lyrics encoder" in capsys.readouterr().err


def test_the_weights_are_under_dotted_names(workdir, exported):
    stored = load_file(exported / "model.safetensors")
    state = mgc_jax.load(workdir).state
    assert {"genre_graph.adjacency", "audio_cnn.blocks.0.norm.mean", "log_scale"} <= set(stored)
    assert not [name for name in stored if name.startswith("bert.")]  # frozen: it is in encoder/
    np.testing.assert_array_equal(
        stored["cross_attention.join.kernel"], np.asarray(state.params["cross_attention"]["join"]["kernel"])
    )
    with safe_open(exported / "model.safetensors", framework="numpy") as file:
        metadata = file.metadata()
    assert json.loads(metadata["genres"]) == list(mgc_jax.load(workdir).vocabulary.names)
    assert (metadata["format_version"], metadata["step"]) == ("1", str(int(state.step)))
    assert metadata["mgc_jax_version"] == mgc_jax.__version__


def test_an_export_can_be_exported(exported, tmp_path):
    assert main(["export", "--workdir", str(exported), "--out", str(tmp_path / "again"), "--license=cc-by-4.0"]) == 0
    for name in ("config.json", "genres.json", "thresholds.json", "preprocessing.json", "encoder/tokenizer.json"):
        assert (tmp_path / "again" / name).read_bytes() == (exported / name).read_bytes()
    assert metadata_of(tmp_path / "again" / "model.safetensors") == metadata_of(exported / "model.safetensors")


def test_a_spectrogram_by_the_constants_alone(exported):
    import librosa

    constants = json.loads((exported / "preprocessing.json").read_text())
    sound, s = constants["audio"], constants["spectrogram"]
    rng = np.random.default_rng(0)
    samples = rng.normal(size=sound["clip_samples"]) * np.exp(-np.arange(sound["clip_samples"]) / 3e4)
    mel = librosa.feature.melspectrogram(
        y=samples.astype(np.float32),
        sr=sound["sample_rate"],
        n_fft=s["n_fft"],
        hop_length=s["hop_length"],
        window=s["window"].split(",")[0],
        center=s["centered"],
        pad_mode="constant",
        power=s["power"],
        n_mels=s["n_mels"],
        fmin=s["f_min"],
        fmax=s["f_max"],
        htk=s["mel_scale"] != "slaney",
        norm=s["mel_norm"],
    )
    decibels = np.maximum(-s["range_db"], 10 * np.log10(mel / mel.max()))
    levels = np.rint(s["levels"] * (1 + decibels / s["range_db"])).T
    ours = log_mel(samples, mgc_jax.load(exported).config.audio)
    assert levels.shape == ours.shape == (s["frames"], s["n_mels"])
    assert np.abs(levels - ours).max() <= 1  # a level that lies on the edge
    assert (levels == ours).mean() > 0.999


def test_tokens_by_the_tokenizers_library_alone(exported):
    import tokenizers

    constants = json.loads((exported / "preprocessing.json").read_text())["lyrics"]
    tokenizer = tokenizers.Tokenizer.from_file(str(exported / constants["tokenizer"]))
    model = mgc_jax.load(exported)
    for text in ("", LYRICS, LYRICS * 20):
        ids = tokenizer.encode(text).ids
        assert ids == model.tokenizer.encode(text).tolist()
        assert [ids[0], ids[-1]] == constants["first_and_last_id"]
    assert len(ids) == constants["max_tokens"]
    assert constants["special_tokens"]["[CLS]"] == ids[0]


def test_an_encoder_without_a_tokenizer_file_stays_cased(tmp_path):
    """Whether vocab.txt is meant for lower case, the name of its folder tells, and that changes."""
    model = tiny_model.model(tmp_path / "run-uncased")
    assert model.encoder.name.endswith("encoder")
    assert not (model.encoder / "tokenizer.json").exists()
    (model.encoder / "tokenizer_config.json").write_text("{}")
    uncased = model.encoder.rename(tmp_path / "uncased")
    model = api.Model(model.folder, model.config, model.vocabulary, model.network, model.state, uncased)
    export(model, tmp_path / "model")
    ids = LyricsTokenizer(uncased, 512).encode("AB a")
    assert 1 not in ids  # [UNK]: there are no capitals in the vocabulary
    np.testing.assert_array_equal(mgc_jax.load(tmp_path / "model").tokenizer.encode("AB a"), ids)
