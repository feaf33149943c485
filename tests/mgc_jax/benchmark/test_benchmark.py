"""The benchmark: the count of its arithmetic, and real races on a small size."""

import dataclasses
import json
import math
import subprocess
import sys
from pathlib import Path

import jax
import pytest
from jax.profiler import ProfileData

from data_pipeline import mel
from data_pipeline.errors import InputError
from data_pipeline.storage import json_file
from data_pipeline.storage.json_file import write_json
from mgc_jax.benchmark import chips, contenders, flops, race, table, workload
from mgc_jax.cli import main
from mgc_jax.config import Config, recipes
from mgc_jax.models import audio_spectrogram_transformer, htsat, mert
from mgc_jax.network.audio_encoders import audio_encoder
from mgc_jax.runtime import device_trace
from scripts import audio_storage

SMALL = ["audio.seconds=1.5", "lyrics.max_tokens=8", "model.width=16", "model.heads=2", "model.gcn_hidden=16"]
FLAGS = [f"--config.{item}" for item in SMALL]
WITHOUT = (
    "tensorflow tensorflow_datasets librosa numba ml_collections soxr soundfile annotated_types iterstrat tensorboardX "
    "array_record torch transformers matplotlib jinja2"
)
BLOCKED = f"""
import importlib, pkgutil, sys
class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {WITHOUT.split()}:
            raise ImportError(f"no {{name}} here")
sys.meta_path.insert(0, Nothing())
"""


def test_the_arithmetic_of_the_papers_model_is_what_its_shapes_say():
    settings = Config()
    encoder = workload.ENCODERS[settings.lyrics.encoder]
    parts = flops.training(settings, encoder, 87, 512)
    # BERT-base: 12 layers with 7.08 M weights each, twice a token, and two products of 512 x 512 x 768.
    assert parts["lyrics encoder"] == pytest.approx(512 * 12 * (2 * 7_077_888 + 2 * 2 * 512 * 768))
    # The second block alone, by hand: 64 -> 128 channels on 646 x 64 positions, three times.
    first, second = 2 * 9 * 64 * 1292 * 128, 2 * 9 * 64 * 128 * 646 * 64
    later = ((128, 256, 323, 32), (256, 512, 161, 16), (512, 512, 80, 8))
    third, fourth, fifth = (2 * 9 * a * b * t * m for a, b, t, m in later)
    assert parts["audio CNN"] == pytest.approx(2 * first + 3 * (second + third + fourth + fifth))
    # In windows of 128 that begin every 63 pieces: 8 of them.
    windows = flops.training(recipes.load(None, ["lyrics.window=128"]), encoder, 87, 512)
    assert windows["lyrics encoder"] == pytest.approx(8 * 128 * 12 * (2 * 7_077_888 + 2 * 2 * 128 * 768))
    stored = recipes.load(None, ["lyrics.input=features"])
    assert flops.training(stored, encoder, 87, 512) == {
        name: value for name, value in parts.items() if name != "lyrics encoder"
    }


def test_stored_outputs_of_an_audio_encoder_stand_in_the_cnns_place():
    settings = recipes.load(None, ["audio.input=features", "lyrics.input=features"])
    encoder = workload.ENCODERS[settings.lyrics.encoder]
    parts = flops.training(settings, encoder, 87, 512, (10, 1706))
    assert "audio CNN" not in parts
    assert parts["projections"] == 2 * 2 * 512 * (10 * 1706 + 512 * 768)  # nobody asks for the features' gradient
    trained = recipes.load(None, ["audio.input=features", "train.encoder_rate=0.1"])
    assert flops.training(trained, encoder, 87, 512, (10, 1706))["projections"] == (
        2 * 512 * (2 * 10 * 1706 + 3 * 512 * 768)
    )
    load = workload.make("paper", "features", batches=1, audio_input="features", overrides=["train.batch_size=3"])
    assert load.config.audio.sample_rate == 16_000
    assert "spectrogram" not in load.examples
    assert (load.examples["audio_features"].shape, load.examples["audio_features"].dtype) == ((3, 10, 1706), "float16")
    # A recipe that wants features has them without being asked again.
    assert workload.make("paper", "features", "manifest", ["train.batch_size=3"], batches=1).audio_shape == (10, 1706)


def test_the_audio_encoders_have_the_published_windows():
    known = workload.AUDIO_ENCODERS
    ast = audio_spectrogram_transformer
    preprocessor = {"feature_extractor_type": "MAESTFeatureExtractor", "num_mel_bins": 96, "max_length": 1876}
    ears = {
        "MIT/ast-finetuned-audioset-10-10-0.4593": ast.front_end(ast.AstConfig(), {}, mel.filters),
        "mtg-upf/discogs-maest-30s-pw-129e": ast.front_end(
            ast.AstConfig(num_mel_bins=96, max_length=1876), preprocessor, mel.filters
        ),
    }
    for name, front_end in ears.items():
        assert (known[name].rate, known[name].window, known[name].hop) == (
            front_end.rate,
            front_end.window,
            front_end.hop,
        )
        assert known[name].tokens == round(front_end.window / front_end.rate)
    clap = known["laion/larger_clap_general"]
    assert (clap.rate, clap.window, clap.tokens) == (htsat.RATE, htsat.WINDOW, htsat.TOKENS)
    assert known["m-a-p/MERT-v1-95M"].window == mert.MertConfig().window
    pytest.importorskip("musicnn")
    musicnn = audio_encoder("musicnn")
    fields = [field.name for field in dataclasses.fields(known["musicnn"])]
    assert [getattr(known["musicnn"], name) for name in fields] == [getattr(musicnn, name) for name in fields]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (["audio.encoder=vggish"], "audio.encoder must be one of musicnn, MIT/.* here, not vggish"),
        (["audio.sample_rate=22050"], "musicnn hears 16000 Hz, but audio.sample_rate is 22050"),
        (["audio.seconds=2.0"], "clips of 2 s are shorter than the 3.01 s that musicnn hears at once"),
    ],
)
def test_audio_features_that_there_are_not(settings, sentence):
    with pytest.raises(InputError, match=sentence):
        workload.make("demo", "features", None, settings, audio_input="features")


def test_the_count_is_near_the_compilers():
    # The compiler also counts norms and the optimiser, and leaves out the taps of a kernel that fall on padding.
    more = ["audio.seconds=3.0", "model.audio_preset=paper", "train.batch_size=8", "compute.dtype=float32"]
    load = workload.make("demo", "features", None, more, batches=1)
    ours = load.flops_per_track * 8 / jax.device_count()
    step = contenders.FusedStep(load, "stream", contenders.mesh_for(load))
    assert 0.8 < ours / step.facts()["compiler_flops"] < 1.2


def test_every_pass_sees_every_example_once():
    load = workload.make("demo", "features", None, ["train.batch_size=8", *SMALL], batches=3)
    rows = [load.order.indices(step) for step in range(6)]
    assert sorted(x for part in rows[:3] for x in part.tolist()) == list(range(24))
    assert sorted(x for part in rows[3:] for x in part.tolist()) == list(range(24))
    assert [x.tolist() for x in rows[:3]] != [x.tolist() for x in rows[3:]]


def test_lyrics_of_like_length_need_less():
    load = workload.make("demo", "tokens", None, ["train.batch_size=8", *SMALL, "lyrics.max_tokens=64"], batches=4)
    cut = load.in_buckets(8)
    assert (load.lengths, load.config.train.lyrics_bucket) == ([64] * 4, 0)
    assert 16 <= min(cut.lengths) < max(cut.lengths) <= 64
    for step in range(8):
        batch = cut.batch(step)
        assert batch["num_tokens"].max() <= batch["tokens"].shape[1] == cut.length(step)
        assert batch["tokens"].shape[1] - batch["num_tokens"].max() < 8
    assert cut.flops_per_track < 0.9 * load.flops_per_track


@pytest.mark.slow
@pytest.mark.rare
def test_with_tokens_it_times_lyrics_of_like_length_too():
    load = workload.make("demo", "tokens", None, ["train.batch_size=8", *SMALL, "lyrics.max_tokens=24"], batches=2)
    rows = race.race(load, contenders.ours(load), rounds=2, steps=4)
    names = ["mgc-jax, stream", "mgc-jax, device", "mgc-jax, stream, lyrics by 3"]
    assert [row["name"] for row in rows] == names
    assert rows[2]["model_flops_per_track"] < rows[1]["model_flops_per_track"] == rows[0]["model_flops_per_track"]
    assert all(0 <= row["data_wait"] < 1 for row in rows)


def test_the_page_has_the_scripts_table():
    page = Path(__file__).parents[3] / "docs" / "audio-encoders.md"
    assert audio_storage.table() in page.read_text("utf-8")


@pytest.mark.slow
def test_an_audio_encoders_outputs_are_raced_with_the_twin():
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from mgc_jax.torch_reference.contenders import SameWork

    torch.compiler.set_stance("force_eager")
    more = ["train.batch_size=8", *SMALL, "audio.seconds=6.1", "compute.dtype=float32"]
    load = workload.make("demo", "features", None, more, batches=1, audio_input="features")
    assert load.audio_shape == (2, 1706)
    step = contenders.FusedStep(load, "stream", contenders.mesh_for(load))
    rows = race.race(load, [step, SameWork(load)], rounds=1, steps=1)
    assert [(row["audio"], row["name"]) for row in rows] == [
        ("features", "mgc-jax, stream"),
        ("features", "PyTorch, same work"),
    ]
    assert 0.7 < load.flops_per_track * 8 / jax.device_count() / step.facts()["compiler_flops"] < 1.2
    assert "| features | features | PyTorch, same work |" in table.markdown(table.of("demo", "float32", 1, 1, rows))


@pytest.mark.slow
def test_the_command_times_ours_and_the_twin_side_by_side(tmp_path: Path, capsys):
    torch = pytest.importorskip("torch")
    torch.compiler.set_stance("force_eager")  # what is tested is the race; compiling takes a minute
    file = tmp_path / "benchmark.json"
    arguments = ["benchmark", "--size", "demo", "--against", "torch", "--lyrics", "features", "--json", str(file)]
    assert main([*arguments, "--rounds", "2", "--steps", "2", *FLAGS]) == 0
    result = json.loads(file.read_text())
    names = ["PyTorch, same work", "PyTorch, same work, split on the device", "PyTorch, as a user would"]
    assert [row["name"] for row in result["rows"]] == ["mgc-jax, stream", "mgc-jax, device", *names]
    for row in result["rows"]:
        step = row["step_seconds"]
        assert 0 < step["low"] <= step["median"] <= step["high"]
        assert row["tracks_per_second"] == pytest.approx(row["batch_size"] / step["median"])
        assert row["mfu"] is None  # of a CPU nothing is claimed
    assert result["rows"][0]["ratio"] == {"median": 1.0, "low": 1.0, "high": 1.0}
    assert "| features | PyTorch, as a user would |" in capsys.readouterr().out


@pytest.mark.slow
def test_the_command_leaves_a_trace_and_says_where_the_time_goes(tmp_path: Path, capsys):
    file, folder = tmp_path / "benchmark.json", tmp_path / "new" / "profile"
    arguments = ["benchmark", "--size", "demo", "--lyrics", "features", "--rounds", "2", "--steps", "2", *FLAGS]
    assert main([*arguments, "--json", str(file), "--profile", str(folder)]) == 0
    (profile,) = json.loads(file.read_text())["profiles"]
    assert (profile["lyrics"], profile["name"], profile["steps"]) == ("features", "mgc-jax, device", 2)
    total = sum(profile["parts"].values())
    assert total == pytest.approx(profile["kernel_ms"]) == pytest.approx(sum(row["ms"] for row in profile["kernels"]))
    assert {"audio CNN or encoder", "fusion (SCMA)", "genre graph", "losses", "optimiser"} <= profile["parts"].keys()
    assert profile["parts"].get("other", 0) + profile["parts"].get("other programs", 0) < 0.2 * total
    trace = ProfileData.from_file(str(device_trace.newest(folder / "spectrogram_features")))
    assert device_trace.kernels(trace)
    said = capsys.readouterr().out
    assert "| part | ms a step | share |" in said
    assert f"tensorboard --logdir {folder}" in said


def test_a_folder_for_the_trace_that_cannot_be_made_is_said_before_the_work(tmp_path: Path, capsys):
    (tmp_path / "file").write_text("no folder")
    assert main(["benchmark", "--size", "demo", "--profile", str(tmp_path / "file" / "profile")]) == 2
    assert capsys.readouterr().err == f"mgc-jax: {tmp_path / 'file' / 'profile'}: Not a directory.\n"


@pytest.fixture
def paced(monkeypatch):
    """A contender of a known pace, by a clock that it moves; ``steps`` is after how many it fails."""
    clock = [0.0]
    monkeypatch.setattr(race.time, "perf_counter", lambda: clock[0])

    class Paced:
        name, start_seconds = "paced", 1.0

        def __init__(self, seconds, steps=math.inf):
            self.seconds, self.steps = seconds, steps

        def run(self, count):
            self.steps -= count
            if self.steps < 0:
                raise RuntimeError("a worker\n died")
            clock[0] += count * self.seconds

        def facts(self):
            return {"compiler_bytes": 2e9, "device_bytes": 3 * 2**30, "data_wait": 0.02}

    return Paced


def test_a_rival_that_fails_is_a_row_that_says_why_and_each_round_is_told(paced):
    load = workload.make("demo", "features", None, ["train.batch_size=8", *SMALL], batches=1)

    def none():
        raise torch_is_here

    torch_is_here, told = ValueError(), []
    rivals = [race.Rival("none", none), race.Rival("late", lambda: paced(1.0, 8)), race.Rival("well", lambda: paced(1))]
    rows = race.race(load, [paced(0.5)], rivals, rounds=3, steps=4, had=told.append)
    assert [row.get("error") for row in rows] == [None, "ValueError", "RuntimeError: a worker died", None]
    assert [[row.get("rounds") for row in once] for once in told] == [
        [1, None, 1, 1],
        [2, None, None, 2],
        [3, None, None, 3],
    ]
    assert rows[3]["ratio"]["median"] == 2.0
    text = table.markdown(table.of("demo", "float32", 3, 4, rows))
    assert "| features | none | failed: ValueError |" in text
    assert {line.count("|") for line in text.splitlines()[2:]} == {len(table.HEAD) + 1}
    with pytest.raises(RuntimeError, match="died"):
        race.race(load, [paced(0.5), paced(0.5, 8)], rounds=3, steps=4)


def test_a_race_that_is_cut_short_leaves_the_rounds_that_were_had(paced, monkeypatch, tmp_path: Path):
    file = tmp_path / "benchmark.json"
    monkeypatch.setattr(contenders, "ours", lambda load: [paced(0.5), paced(1.0)])

    def cut(path, value):
        write_json(path, value)
        raise KeyboardInterrupt

    monkeypatch.setattr(json_file, "write_json", cut)
    arguments = ["benchmark", "--size", "demo", "--lyrics", "features", "--rounds", "2", "--steps", "1", *FLAGS]
    assert main([*arguments, "--json", str(file)]) == 130
    assert [row["rounds"] for row in json.loads(file.read_text())["rows"]] == [1, 1]


def test_shares_of_a_known_chip(paced, monkeypatch):
    monkeypatch.setattr(race.jax, "device_count", lambda: 1)
    monkeypatch.setattr(chips, "of", lambda device: chips.Chip(1e12, 8e9, 16e9, 1e9))
    load = workload.make("demo", "features", None, ["train.batch_size=8", *SMALL], batches=1)
    rows = race.race(load, [paced(0.5), paced(1.0)], rounds=3, steps=4)
    assert [row["step_seconds"]["median"] for row in rows] == [0.5, 1.0]
    assert [row["ratio"]["median"] for row in rows] == [1.0, 2.0]
    needed = load.flops_per_track
    assert rows[0]["mfu"] == pytest.approx(needed * 8 / 0.5 / 1e12)
    assert rows[1]["bandwidth_share"] == pytest.approx(2e9 / 1.0 / 8e9)
    summary = table.of("demo", "float32", 3, 4, rows)
    assert summary["machine"]["peak_bytes"] is None  # a CPU does not tell
    assert "held" not in table.markdown(summary)
    summary["machine"]["peak_bytes"] = 2**31
    text = table.markdown(summary)
    assert "Most that all of ours held on a device: 2.00 GiB." in text
    assert text.endswith(" | 25 % | 3.00 | 2 % |  |")
    assert rows[1]["music4all_minutes"] == pytest.approx(30_555 * 100 / 8 / 60)
    assert table.markdown({**summary, "size": "paper"}).endswith(" | 3.00 | 2 % | 6366 |")
    assert "| features | paced | 16 | 500.0 (500.0 to 500.0) | 1.00 (1.00 to 1.00) | 1.0 |" in text


def test_nothing_that_trains_from_arrays_imports_what_reads_music():
    """Every module of the rooms that a training step is made of."""
    program = f"""{BLOCKED}
import mgc_jax
for room in "benchmark training network models config runtime evaluation inference".split():
    package = importlib.import_module(f"mgc_jax.{{room}}")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"mgc_jax.{{room}}.{{module.name}}")
import mgc_jax.cli.benchmark, mgc_jax.cli.compile
print(sum(name.startswith("mgc_jax.") for name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 80


@pytest.mark.slow
def test_it_needs_neither_tensorflow_nor_a_decoder_nor_pytorch():
    program = f"{BLOCKED}from mgc_jax.cli import main\nsys.exit(main(sys.argv[1:]))"
    arguments = ["benchmark", "--size", "paper", "--lyrics", "features", "--rounds", "2", "--steps", "1", *FLAGS]
    # Random weights of BERT-base, which are not used here, are what takes longest.
    arguments += ["--config.model.audio_preset=narrow", "--config.lyrics.encoder=minilm"]
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "mgc-jax, device" in done.stdout
    refused = [*arguments, "--against", "torch"]
    done = subprocess.run([sys.executable, "-c", program, *refused], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "needs the extra torch" in done.stderr.splitlines()[-1]
