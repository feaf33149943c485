"""A model taken elsewhere: the exported folder is a model like any other, and its program needs nothing of ours."""

import contextlib
import importlib.util
import json
import os
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import fsspec
import huggingface_hub
import jax
import jax.export
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import mgc_jax
from data_pipeline.audio import log_mel
from data_pipeline.errors import InputError
from data_pipeline.lyrics.encoder import public_name
from data_pipeline.lyrics.tokenizer import LyricsTokenizer
from data_pipeline.reading.prepared_data import PreparedData
from data_pipeline.storage.json_file import write_json
from mgc_jax import api
from mgc_jax.benchmark import topology
from mgc_jax.cli import main
from mgc_jax.evaluation.results import METRICS
from mgc_jax.export.card import card
from mgc_jax.export.folder import export
from mgc_jax.export.subject import Subject
from mgc_jax.runs import weights_file
from tests.support import tiny_model
from tests.support.xla import compiled_anew

ROOT = Path(__file__).parents[3]
LYRICS = "dancing all night under neon light"
RIVAL = "loss.contrastive_weight=0 model.architecture="


@pytest.fixture(scope="module")
def workdir(run: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An evaluated run."""
    folder = tmp_path_factory.mktemp("exporting") / "run"
    shutil.copytree(run, folder)
    assert main(["evaluate", "--workdir", str(folder), "--data", str(data)]) == 0
    return folder


@pytest.fixture(scope="module")
def exported(workdir: Path) -> Path:
    out = workdir.parent / "model"
    assert main(["export", "--workdir", str(workdir), "--out", str(out), "--license", "CC-BY-4.0"]) == 0
    return out


@contextlib.contextmanager
def changed(file: Path, content: bytes):
    whole = file.read_bytes()
    file.write_bytes(content)
    try:
        yield
    finally:
        file.write_bytes(whole)


def python(code: str, *arguments: str, folder: Path) -> str:
    """What another Python says, on one device and off line."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# ---- The folder is a model ----------------------------------------------------------------------------------------


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


# ---- The program --------------------------------------------------------------------------------------------------

ALONE = """
import sys
blocked = ("mgc_jax", "data_pipeline", "flax", "orbax", "optax", "safetensors", "transformers", "huggingface_hub")
sys.modules.update(dict.fromkeys(blocked))
from pathlib import Path
import numpy as np
from jax import export
program = export.deserialize(bytearray(Path(sys.argv[1]).read_bytes()))
assert program.platforms == ("cpu", "cuda", "tpu"), program.platforms
given = np.load(sys.argv[2])
for rows in (1, 3):
    scores, logits = program.call(*(given[name][:rows] for name in ("spectrogram", "tokens", "num_tokens")))
    np.savez(f"{rows}.npz", scores=np.asarray(scores), logits=np.asarray(logits))
assert not [name for name in sys.modules if name.split(".")[0] in blocked and sys.modules[name] is not None]
"""


def check_program(model: api.Model, folder: Path, tmp_path: Path) -> None:
    """The program, with nothing but jax, says what the live model says."""
    given = tiny_model.batch(model, rows=3)
    np.savez(tmp_path / "given.npz", **given)
    python(ALONE, str(folder / "model.stablehlo"), str(tmp_path / "given.npz"), folder=tmp_path)
    live = tiny_model.logits(model, given)
    for rows in (1, 3):
        out = np.load(tmp_path / f"{rows}.npz")
        assert (out["logits"].shape, out["logits"].dtype) == ((rows, model.vocabulary.size), np.float32)
        np.testing.assert_allclose(out["logits"], live[:rows], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(out["scores"], jax.nn.sigmoid(live[:rows]), atol=1e-6)
    assert np.ptp(live, axis=0).max() > 1e-3  # the inputs matter


@pytest.mark.slow
def test_the_program_needs_nothing_but_jax(workdir, exported, tmp_path):
    model = mgc_jax.load(workdir)
    assert model.config.lyrics.input == "features"  # what the run was trained on; the program takes tokens
    check_program(model, exported, tmp_path)


VARIANTS = {
    "default": "",
    "literal": "model.heads=1 model.residual_norm=False model.pooling=flatten model.genre_bias=False",
    "concat": "model.fusion=concat model.audio_preset=narrow_patches",
    "audio": "model.fusion=audio model.head=linear loss.contrastive_weight=0.0",
    "lyrics": "model.fusion=lyrics",
    "trained encoder": "train.encoder_rate=0.5",
    "bfloat16": "compute.dtype=bfloat16 compute.attention=xla",
    "santana": "model.architecture=santana loss.contrastive_weight=0.0 audio.n_mels=75 model.baseline_width=0.1",
    "pandeya": "model.architecture=pandeya loss.contrastive_weight=0.0 model.baseline_width=0.1",
}


@pytest.mark.usefixtures("one_block_of_each_kind")
@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_kind_of_model(variant, tmp_path, capsys):
    model = tiny_model.model(tmp_path / "run", VARIANTS[variant])
    remarks = export(model, tmp_path / "model")
    assert len(remarks) == 3  # no thresholds, no figures, no licence
    again = mgc_jax.load(tmp_path / "model")
    given = tiny_model.batch(model, rows=3)
    np.testing.assert_array_equal(tiny_model.logits(model, given), tiny_model.logits(again, given))
    if variant == "bfloat16":  # the program computes in float32 with the same weights
        settings = json.loads((tmp_path / "model" / "config.json").read_text())
        settings["compute"]["dtype"] = "float32"
        (tmp_path / "model" / "config.json").write_text(json.dumps(settings))
        model = mgc_jax.load(tmp_path / "model")
    check_program(model, tmp_path / "model", tmp_path)
    assert any(name.startswith("bert.") for name in weights_file.leaves(again.state)) == (variant == "trained encoder")
    if variant in ("santana", "pandeya"):
        assert "torch" not in (tmp_path / "model" / "README.md").read_text()
        with contextlib.suppress(ImportError):
            import onnxscript  # noqa: F401
            import transformers  # noqa: F401

            arguments = ("export", "--onnx", "--workdir", str(tmp_path / "model"), "--out", str(tmp_path / "onnx"))
            assert "goes by way of the PyTorch twin" in sentence(capsys, *arguments)


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("libtpu"), reason="the TPU's compiler is not here")
def test_the_tpus_compiler_takes_the_program(small):
    program = jax.export.deserialize(bytearray((small / "model.stablehlo").read_bytes()))
    chip = jax.sharding.SingleDeviceSharding(topology.devices("v5e:2x2")[0])
    rows = [aval.update(shape=(4, *aval.shape[1:])) for aval in program.in_avals]
    shapes = [jax.ShapeDtypeStruct(aval.shape, aval.dtype, sharding=chip) for aval in rows]
    compiled = jax.jit(program.call).lower(*shapes).compile()
    assert compiled.cost_analysis()["flops"] > 1e6


# ---- PyTorch and ONNX ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_twin_of_an_exported_folder(workdir, exported, data):
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from mgc_jax.torch_reference import build as twins

    twin = twins.of_run(exported)
    given = next(PreparedData(data).evaluation_batches("test", batch_size=8))
    given = {name: given[name] for name in ("spectrogram", "tokens", "num_tokens")}
    with torch.no_grad():
        theirs = twin(*(torch.as_tensor(np.asarray(value)) for value in given.values())).logits.numpy()
    np.testing.assert_allclose(theirs, tiny_model.logits(mgc_jax.load(workdir), given), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["default", "audio", "trained encoder"])
def test_onnx(variant, tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    from mgc_jax.torch_reference import onnx_file

    model = tiny_model.model(tmp_path / "run", VARIANTS[variant])
    export(model, tmp_path / "model", write_onnx=onnx_file.write)
    session = onnxruntime.InferenceSession(tmp_path / "model" / "model.onnx")
    for rows in (1, 3, 5):
        given = tiny_model.batch(model, rows)
        scores, logits = session.run(["scores", "logits"], given)
        live = tiny_model.logits(model, given)
        np.testing.assert_allclose(logits, live, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(scores, jax.nn.sigmoid(live), atol=1e-5)
    assert "model.onnx" in (tmp_path / "model" / "README.md").read_text()


# ---- What an engineer is told -------------------------------------------------------------------------------------


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


# ---- The card -----------------------------------------------------------------------------------------------------


def test_the_card_repeats_the_runs_own_figures(workdir, exported):
    report = json.loads((workdir / "evaluation_test.json").read_text())
    loaded = huggingface_hub.ModelCard.load(exported / "README.md")
    figures = {result.metric_type: result.metric_value for result in loaded.data.eval_results}
    assert figures == {key: pytest.approx(report[key], abs=1e-4) for key in METRICS.values()}
    assert {result.dataset_split for result in loaded.data.eval_results} == {"test"}
    assert (loaded.data.license, loaded.data.library_name) == ("cc-by-4.0", "mgc-jax")
    text = loaded.text
    assert "generated corpus" in text
    assert "nobody made it" in text
    for row in report["genres"]:
        cells = [str(row["support"]), f"{row['average_precision']:.3f}", f"{row['f1']:.3f}", f"{row['threshold']:.3f}"]
        cells.append(f"{row['linear_average_precision']:.3f}")
        name = row["name"].replace("&", "&amp;")
        (line,) = [line for line in text.splitlines() if line.startswith(f"| {name} |")]
        assert line.strip("| ").split(" | ")[2:] == cells
    assert f"{report['trivial']['best_constant']['f1_example']:.3f}" in text
    assert f"test ({report['num_tracks']} tracks)" in text
    assert f" | {report['linear']['map_macro']:.3f} | " in text
    assert "logistic regression on the same features" in text


@pytest.mark.slow
def test_the_cards_code_runs_as_it_stands(exported):
    text = (exported / "README.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 3
    with contextlib.suppress(ImportError):
        import torch  # noqa: F401
        import transformers  # noqa: F401

        python("\n".join(blocks) + "\nassert logits.shape == scores.shape\nmodel.eval()", folder=exported)
        return
    python("\n".join(blocks[:2]), folder=exported)


@pytest.mark.slow
def test_the_card_says_what_was_not_measured(workdir, tmp_path):
    model = mgc_jax.load(workdir)
    report = json.loads((workdir / "evaluation_test.json").read_text())

    def text(name: str, *evaluations: dict) -> str:
        folder = tmp_path / f"run-{name}"
        shutil.copytree(workdir, folder, ignore=shutil.ignore_patterns("checkpoints", "*_test.json", "thresholds.json"))
        for evaluation in evaluations:
            write_json(folder / f"evaluation_{evaluation['split']}.json", evaluation)
        model.folder = type(model.folder)(folder)
        export(model, tmp_path / name)
        return (tmp_path / name / "README.md").read_text()

    never = text("never")
    assert "never evaluated" in never
    assert "model-index" not in never
    assert "0.5 decides" in never
    assert not (tmp_path / "never" / "thresholds.json").exists()
    stale = text("stale", report | {"checkpoint_step": 1})
    assert "Kind of corpus: a generated corpus" in stale
    other = text("other", report | {"other_data": True, "source": "a *manifest*"})
    assert "another data set than the one that it was trained on: test (a \\*manifest\\*)" in other
    assert "Kind of corpus: not known" in other
    assert "nobody made it" not in other
    assert "of another checkpoint" in stale
    assert "never evaluated" in stale
    validation = text("validation", report | {"split": "validation", "source": "<b>a manifest</b>", "lrap": None})
    assert "never evaluated on the test tracks" in validation
    assert "figures there flatter" in validation
    assert "&lt;b&gt;" in validation
    assert "| label ranking average precision | - |" in validation


@pytest.mark.usefixtures("one_block_of_each_kind")
@pytest.mark.parametrize(
    ("variant", "hears", "reads", "pretrained"),
    [("", True, True, True), ("model.fusion=audio", True, False, False), ("model.fusion=lyrics", False, True, True),
     (f"{RIVAL}santana audio.n_mels=80", True, False, False), (f"{RIVAL}pandeya", True, True, False),
     (f"{RIVAL}pandeya model.fusion=audio", True, True, False)],
)  # fmt: skip
def test_the_limits_are_those_of_what_the_model_takes(variant, hears, reads, pretrained, tmp_path):
    text = card(Subject(tiny_model.model(tmp_path / "run", variant), "model", {}, "unknown", onnx=False))
    assert ("It hears" in text) == hears
    assert ("whole lyrics" in text) == (hears and reads)
    assert ("It reads the first" in text) == reads
    assert ("pretrained on" in text) == pretrained


# ---- Mistakes -----------------------------------------------------------------------------------------------------


def sentence(capsys: pytest.CaptureFixture, *arguments: str) -> str:
    capsys.readouterr()
    assert main(list(arguments)) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


def test_a_taken_folder_is_refused_before_the_work(workdir, tmp_path, capsys):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("x")
    (tmp_path / "file").write_text("x")
    for name, fragment in (("full", "is not empty"), ("file", "is a file"), ("file/below/it", "file is a file")):
        arguments = ("export", "--workdir", str(workdir), "--out", str(tmp_path / name))
        assert fragment in sentence(capsys, *arguments)
    assert (tmp_path / "full" / "mine.txt").read_text() == "x"


def test_what_is_no_run_is_refused(workdir, tmp_path, capsys):
    out = ("--out", str(tmp_path / "model"))
    (tmp_path / "empty").mkdir()
    assert "holds no run" in sentence(capsys, "export", "--workdir", str(tmp_path / "empty"), *out)
    assert "There is no folder" in sentence(capsys, "export", "--workdir", str(tmp_path / "lost"), *out)
    unfinished = shutil.copytree(workdir, tmp_path / "unfinished", ignore=shutil.ignore_patterns("checkpoints"))
    assert "no evaluated checkpoint yet" in sentence(capsys, "export", "--workdir", str(unfinished), *out)
    assert "none that the hub spells so" in sentence(capsys, "export", "--workdir", "w", *out, "--license", "my own!")
    assert not list(tmp_path.glob("model*"))


def test_a_broken_evaluation_is_named_and_leaves_nothing(workdir, tmp_path, capsys):
    folder = shutil.copytree(workdir, tmp_path / "run")
    (folder / "evaluation_test.json").write_text('{"split": "test"}')
    message = sentence(capsys, "export", "--workdir", str(folder), "--out", str(tmp_path / "model"))
    assert "evaluation_test.json cannot be used" in message
    assert not list(tmp_path.glob("model*"))


@contextlib.contextmanager
def no_file_over(size: int):
    """The nearest to a full disk that needs no disk of its own."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [1 << 10, 1 << 15, 1 << 17])
def test_no_room_leaves_nothing(size, tmp_path):
    """The encoder, the weights and the program are too large, one after the other."""
    model = tiny_model.model(tmp_path / "run")
    with compiled_anew(), no_file_over(size), pytest.raises((InputError, OSError)) as error:
        export(model, tmp_path / "model")
    assert "too large" in str(error.value)
    assert not list(tmp_path.glob("model*"))


def test_the_place_may_be_empty_or_half_written(workdir, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model.partial").mkdir()
    (tmp_path / "model.partial" / "rest").write_text("of a run that was killed")
    assert main(["export", "--workdir", str(workdir), "--out", str(tmp_path / "model")]) == 0
    assert not (tmp_path / "model" / "rest").exists()
    assert not (tmp_path / "model.partial").exists()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported model that is quickly loaded."""
    folder = tmp_path_factory.mktemp("small")
    export(tiny_model.model(folder / "run"), folder / "model")
    return folder / "model"


def metadata_of(file: Path) -> dict[str, str]:
    with safe_open(file, framework="numpy") as stored:
        return stored.metadata()


SPOILT = {
    "another version": (lambda a, m: m.update(format_version="2", mgc_jax_version="9.0"), "written by mgc-jax 9.0"),
    "another program": (lambda a, m: m.update(format="pt"), "holds no model of mgc-jax"),
    "another vocabulary": (lambda a, m: m.update(genres='["polka"]'), "another genre vocabulary"),
    "another encoder": (lambda a, m: m.update(encoder_sha256="0" * 64), "another encoder"),
    "a missing name": (lambda a, m: a.pop("null_token"), "null_token is missing"),
    "a foreign name": (lambda a, m: a.update(more=a["log_scale"]), "more is not known"),
    "another shape": (lambda a, m: a.update(null_token=a["null_token"][:3]), r"null_token is float32\[3\], not"),
    "another type": (lambda a, m: a.update(null_token=a["null_token"].astype(np.float16)), "null_token is float16"),
    "another value": (lambda a, m: a.update(log_scale=np.array(a["log_scale"] + 1)), "changed or damaged"),
}


@pytest.mark.parametrize("kind", SPOILT)
def test_weights_that_do_not_belong_here(kind, small, tmp_path):
    spoil, fragment = SPOILT[kind]
    file = small / "model.safetensors"
    arrays, metadata = load_file(file), metadata_of(file)
    spoil(arrays, metadata)
    save_file(arrays, tmp_path / "spoilt", metadata=metadata)
    with changed(file, (tmp_path / "spoilt").read_bytes()), pytest.raises(InputError, match=fragment) as error:
        mgc_jax.load(small)
    assert "\n" not in str(error.value)


def test_it_is_read_from_a_bucket(small, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    files = fsspec.filesystem("memory")
    files.put(str(small), "/bucket/model", recursive=True)
    try:
        there = mgc_jax.load("memory://bucket/model")
    finally:
        files.rm("/bucket", recursive=True)
    assert there.folder.path.is_relative_to(tmp_path)
    assert there.encoder == there.folder.path / "encoder"
    assert not (there.folder.path / "model.stablehlo").exists()  # for those who go without this program
    given = tiny_model.batch(there, rows=2)
    np.testing.assert_array_equal(tiny_model.logits(there, given), tiny_model.logits(mgc_jax.load(small), given))


def test_weights_that_are_cut(small):
    file = small / "model.safetensors"
    content = file.read_bytes()
    for size in (0, 5, 100, len(content) // 2, len(content) - 1):
        with changed(file, content[:size]), pytest.raises(InputError, match="cannot be read"):
            mgc_jax.load(small)


def test_another_encoder_beside_the_weights(small, tmp_path):
    folder = Path(shutil.copytree(small, tmp_path / "model"))
    weights = load_file(folder / "encoder" / "model.safetensors")
    weights["embeddings.LayerNorm.bias"] = weights["embeddings.LayerNorm.bias"] + 1
    save_file(weights, folder / "encoder" / "model.safetensors")
    with pytest.raises(InputError, match="another encoder"):
        mgc_jax.load(folder)
    (folder / "encoder" / "tokenizer.json").unlink()
    (folder / "encoder" / "vocab.txt").unlink()
    with pytest.raises(InputError, match=r"lacks tokenizer\.json"):
        mgc_jax.load(folder)
