"""Whatever lies in a file: the reader gives a proper result or says in a sentence what is wrong, and nothing else.

Nothing read is executed, and no file outside the folder in question is opened. The examples are the same in every run.
"""

import copy
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save_file

from data_pipeline.audio import AudioError, AudioSpec, Windows, load_clip
from data_pipeline.errors import InputError
from data_pipeline.genres import GenreVocabulary
from data_pipeline.lyrics.encoder import locate_encoder
from data_pipeline.lyrics.reading import LyricsError, read_lyrics_file
from data_pipeline.lyrics.tokenizer import LyricsTokenizer
from data_pipeline.reading.prepared_data import PreparedData, example_fields
from data_pipeline.schema import SPLITS, Corpus, safe_id
from data_pipeline.sources import manifest, music4all
from mgc_jax.config import Config, recipes
from mgc_jax.evaluation import results
from mgc_jax.evaluation.text import verdict
from mgc_jax.network import build
from mgc_jax.network.state import ModelState, TrainState
from mgc_jax.runs import checkpoint, weights_file
from mgc_jax.runs.logs import Ending, JsonLines
from mgc_jax.runs.workdir import Workdir
from tests.support import bad_files, sounds, tiny_bert

RECIPE = Path(__file__).parents[1] / "configs" / "demo.py"


def fuzz(examples: int) -> Any:
    return settings(
        max_examples=examples,
        suppress_health_check=list(HealthCheck),  # folders are shared by examples, and some data are large
    )


# ---- What must never happen ---------------------------------------------------------------------------------------

EXECUTES = {"exec", "pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "socket.connect"}
LIBRARIES = [*{sys.prefix, sys.base_prefix, str(RECIPE.parents[1])}, "/proc", "/sys", "/dev", "/usr"]
seen: list[tuple[str, str]] | None = None


def _record(event: str, arguments: tuple[Any, ...]) -> None:
    if seen is None or (event != "open" and event not in EXECUTES):
        return
    if event == "exec" and arguments[0].co_filename.startswith(sys.base_prefix):
        return  # a module of Python's own that is imported late, such as an encoding
    if event != "open":
        seen.append((event, str(arguments)[:200]))
    elif isinstance(arguments[0], str | bytes):
        seen.append((event, os.path.abspath(os.fsdecode(arguments[0]))))


sys.addaudithook(_record)  # of the interpreter: it cannot be removed, and is quiet outside of watched()


@contextmanager
def watched(folder: Path) -> Iterator[None]:
    """Fails where Python executes something, connects, or opens a file that is neither below ``folder`` nor its own."""
    global seen
    seen = []
    try:
        yield
    finally:
        events, seen = seen, None
    allowed = (str(folder), *LIBRARIES)
    assert not [e for e in events if e[0] != "open" or not e[1].startswith(allowed)]


def test_the_watch_sees_what_must_not_happen(tmp_path):
    (tmp_path / "outside").write_text("x")
    for act in (lambda: exec("1"), lambda: (tmp_path / "outside").read_text()):
        with pytest.raises(AssertionError), watched(tmp_path / "inside"):
            act()


# ---- What files are made of ---------------------------------------------------------------------------------------

TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        [
            *(
                "",
                " ",
                "..",
                "../../etc/passwd",
                "/etc/passwd",
                "a\0b",
                "x" * 5000,
                "~nobody/x",
                "C:\\x",
                "é\u2028\x85",
            ),
            *(
                "__import__('os').abort()",
                "['rock', 'po",
                "['rock' 'pop'] | R&amp;amp;B;",
                "file:///a%00%E9",
                "${HOME}",
                "<script>",
                "=1+1",
                '"',
                "'",
                "\t",
                "\r",
                "\n",
                "\ufeff",
                "\ud800",
            ),
        ]
    ),
)
NUMBERS = st.one_of(
    st.integers(),
    st.floats(),
    st.sampled_from([0, -1, 2**31, 2**63, 2**64, 10**400, 1e308, -0.0]),
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=5,
)
DEEP = st.builds(lambda: json.loads("[" * 400 + "]" * 400))
BROKEN_JSON = [b"", b"\xff\xfe", b"null", b"[]", b"{", b"[" * 100_000, b'{"a":' * 100_000, b'"\\ud800"', b"9" * 5000]


@st.composite
def mutated(draw, content: bytes) -> bytes:
    """A few bytes of ``content`` overwritten, cut out, put in or doubled; or only its beginning."""
    data = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        # Headers are where a byte says most.
        place = draw(st.integers(0, min(len(data), 200)) | st.integers(0, len(data)))
        match draw(st.sampled_from(["overwrite", "insert", "delete", "double", "cut"])):
            case "overwrite":
                new = draw(
                    st.binary(min_size=1, max_size=8) | st.sampled_from([b"\xff" * 4, bytes(4), b"\xff\xff\xff\x7f"])
                )
                data[place : place + len(new)] = new
            case "insert":
                data[place:place] = draw(st.binary(min_size=1, max_size=8))
            case "delete":
                del data[place : place + draw(st.integers(1, 300))]
            case "double":
                data[place:place] = data[place : place + draw(st.integers(1, 300))]
            case "cut":
                del data[place:]
    return bytes(data)


@st.composite
def altered(draw, tree: Any) -> Any:
    """The JSON value ``tree`` with one or two places that hold something else, or are gone."""
    tree = copy.deepcopy(tree)
    for _ in range(draw(st.integers(1, 2))):
        holder, place, node = None, None, tree
        while isinstance(node, dict | list) and node and draw(st.integers(0, 4)):
            holder = node
            place = draw(st.sampled_from(sorted(node)) if isinstance(node, dict) else st.integers(0, len(node) - 1))
            node = node[place]
        if holder is None:
            continue
        if draw(st.integers(0, 4)) == 0:
            del holder[place]
        else:
            holder[place] = draw(VALUES | DEEP)
    return tree


def json_files(tree: Any) -> st.SearchStrategy[bytes]:
    whole = json.dumps(tree).encode()
    broken = st.integers(0, len(BROKEN_JSON) - 1).map(lambda i: BROKEN_JSON[i])  # too long to be shown
    return st.one_of(altered(tree).map(lambda t: json.dumps(t).encode()), mutated(whole), broken)


def lines(seed: str, cells: int, separator: str) -> st.SearchStrategy[bytes]:
    """A table with rows of any cells under it, or any bytes of it changed."""
    row = st.lists(TEXTS, min_size=1, max_size=cells + 1).map(separator.join)
    more = st.lists(row, max_size=4).map(lambda rows: (seed + "\n".join(rows)).encode("utf-8", "surrogatepass"))
    return more | mutated(seed.encode())


# ---- Corpora ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def songs(tmp_path_factory) -> Path:
    """A folder of three sound files with lyrics, under several names."""
    folder = tmp_path_factory.mktemp("songs") / "inside"
    for name in ("audios", "lyrics"):
        (folder / name).mkdir(parents=True)
    for id_ in ("one", "two", "three"):
        (folder / "audios" / f"{id_}.mp3").write_bytes(b"x")
        (folder / "lyrics" / f"{id_}.txt").write_text("la la")
    (folder.parent / "outside.mp3").write_bytes(b"x")
    (folder.parent / "outside.txt").write_bytes(b"x")
    return folder


def check(corpus: Corpus) -> None:
    ids = [track.id for track in corpus.tracks]
    assert ids == sorted(set(ids))
    assert all(safe_id(id_) for id_ in ids)
    assert all(track.genres and all(track.genres) for track in corpus.tracks)
    assert all(track.audio.is_file() for track in corpus.tracks)
    assert all(row.file and row.reason for row in corpus.rejected)


CSV = "audio,genres,id,lyrics,lyrics_file,artist,title,language\naudios/one.mp3,rock,one,la,,A,B,en\n"
JSONL = {"audio": "audios/one.mp3", "genres": ["rock"], "id": "one", "lyrics_file": "lyrics/one.txt", "title": "B"}


@pytest.mark.parametrize(
    ("suffix", "files"),
    [
        ("csv", lines(CSV, 8, ",")),
        ("tsv", lines(CSV.replace(",", "\t"), 8, "\t")),
        ("jsonl", st.lists(json_files(JSONL), min_size=1, max_size=3).map(b"\n".join)),
        ("json", json_files([JSONL, JSONL | {"audio": "audios/two.mp3", "genres": "['rock', nan]", "id": 5}])),
    ],
)
@fuzz(120)
@given(draw=st.data())
def test_manifests(songs, suffix, files, draw):
    path = songs / f"songs.{suffix}"
    path.write_bytes(draw.draw(files))
    with suppress(InputError), watched(songs):
        check(manifest.read(path))


TABLES = {
    "id_information.csv": "id\tartist\tsong\none\tA\tB\ntwo\tC\tD\n",
    "id_genres.csv": "id\tgenres\none\trock\ntwo\tpop,rock\n",
    "id_lang.csv": "id\tlang\none\ten\n",
}


@fuzz(120)
@given(draw=st.data(), name=st.sampled_from(sorted(TABLES)))
def test_music4alls_tables(songs, draw, name):
    for table, text in TABLES.items():
        (songs / table).write_text(text)
    (songs / name).write_bytes(draw.draw(lines(TABLES[name], 3, "\t")))
    with suppress(InputError), watched(songs):
        corpus = music4all.read(songs)
        check(corpus)
        for track in corpus.tracks:
            assert track.audio == songs / "audios" / f"{track.id}.mp3"
            assert track.lyrics_file in (None, songs / "lyrics" / f"{track.id}.txt")


OUTWARDS = ["../outside", "/etc/passwd", "..", "one\0", "a/../one", "audios\\one", "x" * 5000, "é" * 3000]


@pytest.mark.parametrize("id_", OUTWARDS)
def test_an_id_that_leads_outwards_is_left_out_with_a_reason(songs, id_):
    genres = TABLES["id_genres.csv"] + f"{id_}\trock\n"
    for table, text in (TABLES | {"id_genres.csv": genres}).items():
        (songs / table).write_text(text)
    with (songs / "id_information.csv").open("a") as file:
        file.write(f"{id_}\tA\tB\n")
    (songs / "songs.jsonl").write_text(json.dumps({"audio": "audios/one.mp3", "genres": "rock", "id": id_}))
    of_tables, of_manifest = music4all.read(songs), manifest.read(songs / "songs.jsonl")
    assert [track.id for track in of_tables.tracks] == ["one", "two"]
    assert [track.id for track in of_manifest.tracks] == []
    for corpus in (of_tables, of_manifest):
        assert [row.reason for row in corpus.rejected] == ["the id cannot be a file name"]


SOUNDS = [bad_files.encoded(bad_files.tone(seconds=1.2), kind=kind) for kind in ("WAV", "MP3", "FLAC", "AIFF", "OGG")]
SOUNDS += [
    sounds.by_ffmpeg(sounds.music(1.2, 48_000), codec, container, 48_000, bit_rate=64_000)
    for codec, container in (("aac", "ipod"), ("libopus", "webm"), ("wavpack", "wv"), ("wmav2", "asf"), ("aac", "adts"))
]
SOUNDS += [2 * SOUNDS[1], SOUNDS[4] + SOUNDS[4], SOUNDS[0] + SOUNDS[0]]
SPEC = AudioSpec(sample_rate=8000, n_mels=16, seconds=1.5)


@pytest.fixture(scope="module")
def decoder(songs) -> None:
    """The decoders and the resampler, loaded."""
    for content in (SOUNDS[0], sounds.by_ffmpeg(sounds.music(1.5), "aac", "ipod")):
        (songs / "sound.wav").write_bytes(content)
        load_clip(songs / "sound.wav", SPEC)


@fuzz(400)
@given(content=st.sampled_from(SOUNDS).flatmap(mutated) | st.binary(max_size=200))
def test_audio_files(songs, decoder, content):
    path = songs / "sound.mp3"
    path.write_bytes(content)
    with watched(songs):
        for read in (lambda: [(0.0, load_clip(path, SPEC), 1.0)], lambda: list(Windows(path, SPEC))):
            try:
                clips = read()
            except AudioError:
                continue
            for start, clip, weight in clips:
                assert start >= 0
                assert 0 < weight < 10
                assert (clip.shape, clip.dtype) == ((SPEC.num_samples,), np.float32)
                assert np.isfinite(clip).all()


@pytest.mark.parametrize("rate", [1, 999, 1_000_001])
def test_a_sample_rate_that_no_music_has_costs_no_time(tmp_path, rate):
    path = tmp_path / "a.wav"  # at 1 Hz 20 000 samples would be five hours of sound
    path.write_bytes(bad_files.encoded(bad_files.tone()[:20_000], rate))
    for read in (lambda: load_clip(path, SPEC), lambda: list(Windows(path, SPEC))):
        with pytest.raises(AudioError, match=f"sample rate that no music has: {rate} Hz"):
            read()


@fuzz(150)
@given(
    content=st.one_of(
        st.binary(max_size=60),
        TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass")),
        mutated("&quot;Não&quot; sei &#xd800; &#0;\n".encode("utf-16")),
    )
)
def test_lyrics_files(songs, content):
    path = songs / "lyrics.txt"
    path.write_bytes(content)
    with watched(songs):
        try:
            text = read_lyrics_file(path)
        except LyricsError:
            return
    assert text is None or text.strip()
    (text or "").encode()


# ---- A prepared data set ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def prepared(data, tmp_path_factory) -> Path:
    """A copy of the data set that may be spoilt."""
    return Path(shutil.copytree(data, tmp_path_factory.mktemp("fuzz") / "data"))


@contextmanager
def spoilt(path: Path, content: bytes) -> Iterator[None]:
    whole = path.read_bytes()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(whole)


@fuzz(150)
@given(draw=st.data())
def test_genres_json(prepared, draw):
    path = prepared / "genres.json"
    with spoilt(path, draw.draw(json_files(json.loads(path.read_text("utf-8"))))), watched(prepared):
        try:
            vocabulary = GenreVocabulary.load(path)
        except InputError:
            return
    assert vocabulary.size == len(set(vocabulary.names))
    assert vocabulary.cooccurrence.shape == (vocabulary.size, vocabulary.size)
    assert np.isfinite(build.prior_logits(vocabulary)).all()
    "".join(vocabulary.names).encode()


@fuzz(150)
@given(draw=st.data())
def test_dataset_json(prepared, draw):
    path = prepared / "dataset.json"
    with spoilt(path, draw.draw(json_files(json.loads(path.read_text("utf-8"))))), watched(prepared):
        try:
            data = PreparedData(prepared)
            data.check_shards()
        except InputError:
            return
        for split in SPLITS:
            assert len(data._source(split)) == data.split_sizes[split] == len(data.track_ids(split))


@pytest.mark.parametrize("where", ["../outside", "shards/../../outside", "absolute", "shards/a\0b", "shards/\n"])
def test_a_shard_outside_the_data_set_is_refused(prepared, where):
    meta = json.loads((prepared / "dataset.json").read_text("utf-8"))
    shard = meta["shards"]["train"][0]
    shutil.copy(prepared / shard["file"], prepared.parent / "outside")  # sound, but not the data set's
    shard["file"] = where if where != "absolute" else str(prepared.parent / "outside")
    content = json.dumps(meta).encode()
    with spoilt(prepared / "dataset.json", content), pytest.raises(InputError, match="a shard cannot be the file"):
        PreparedData(prepared)


@fuzz(100)
@given(draw=st.data())
def test_tracks_tsv(prepared, draw):
    path = prepared / "tracks.tsv"
    content = path.read_bytes()
    head = b"\n".join(content.split(b"\n")[:6])
    data = PreparedData(prepared)
    tail = content[len(head) :]
    with spoilt(path, draw.draw(mutated(head)) + tail), watched(prepared):
        try:
            rows = data.tracks("train")
            order = data.training_order(batch_size=4, seed=0, bucket=8)
        except InputError:
            return
    assert [row["index"] for row in rows] == [str(i) for i in range(data.split_sizes["train"])]
    assert order.length(0) % 8 == 0


def test_a_title_as_long_as_a_book_does_not_spoil_the_table(prepared):
    path = prepared / "tracks.tsv"
    title = PreparedData(prepared).tracks("train")[0]["title"].encode()
    with spoilt(path, path.read_bytes().replace(b"\t" + title + b"\t", b"\t" + b"t" * 200_000 + b"\t", 1)):
        assert len(PreparedData(prepared).tracks("train")[0]["title"]) == 200_000


@fuzz(60)
@given(draw=st.data())
def test_shards_give_what_was_written_or_are_named(prepared, draw):
    meta = json.loads((prepared / "dataset.json").read_text("utf-8"))
    shard = meta["shards"]["validation"][0]
    whole = PreparedData(prepared).whole("validation", multiple=1)
    content = draw.draw(mutated((prepared / shard["file"]).read_bytes()))
    shard["bytes"] = len(content)
    with spoilt(prepared / shard["file"], content), spoilt(prepared / "dataset.json", json.dumps(meta).encode()):
        try:
            got = PreparedData(prepared).whole("validation", multiple=1)
        except InputError as error:
            named = shard["file"] in str(error)
            got = whole
        else:
            named = True
    assert named
    for name, value in whole.items():
        np.testing.assert_array_equal(got[name], value)


@fuzz(150)
@given(draw=st.data())
def test_records(prepared, draw):
    record = PreparedData(prepared)._source("test").read(np.array([0]))[0]
    try:
        fields = example_fields(draw.draw(mutated(record)))
    except (ValueError, IndexError):  # as its docstring says
        return
    assert all(isinstance(value, memoryview) for value in fields.values())


# ---- A run --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def workdir(data, tmp_path_factory) -> Workdir:
    folder = Workdir(tmp_path_factory.mktemp("run"))
    folder.begin(recipes.load(str(RECIPE)), GenreVocabulary.load(data / "genres.json"))
    return folder


@fuzz(200)
@given(draw=st.data())
def test_config_json(workdir, draw):
    path = workdir.path / "config.json"
    with spoilt(path, draw.draw(json_files(json.loads(path.read_text("utf-8"))))), watched(workdir.path):
        try:
            settings_ = workdir.config()
        except InputError:
            return
    json.dumps(recipes.as_json(settings_), allow_nan=False).encode()


@fuzz(100)
@given(draw=st.data())
def test_thresholds_json(workdir, draw):
    path = workdir.path / "thresholds.json"
    names = workdir.vocabulary().names
    path.write_text(json.dumps(dict.fromkeys(names, 0.5)))
    with spoilt(path, draw.draw(json_files(dict.fromkeys(names, 0.5)))), watched(workdir.path):
        try:
            thresholds = workdir.thresholds()
        except InputError:
            return
    assert thresholds.shape == (len(names),)
    assert np.isfinite(thresholds).all()


@fuzz(30)
@given(rows=st.lists(json_files({"step": 3, "train/loss": 1.5}), max_size=4))
def test_metrics_jsonl_keeps_whole_lines_up_to_the_step(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("log")
    good = b'{"step": 5, "train/loss": 0.5}'
    (folder / "metrics.jsonl").write_bytes(
        b"\n".join([*rows, good, b'{"step": 6, "train/loss": 0.5}', b'{"step": 5, "tr'])
    )
    log = JsonLines(folder, 5)
    log.write(6, {"train/loss": 0.25})
    log.close(Ending("finished", 0.5, 5))
    kept = [json.loads(line) for line in (folder / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert kept[-2:] == [json.loads(good), {"step": 6, "train/loss": 0.25}]
    assert all(row["step"] <= 5 for row in kept[:-1])


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """A folder with one checkpoint, and the state in it."""
    one = nnx.State({"w": jnp.arange(3.0)})
    state = TrainState(ModelState(jnp.zeros((), jnp.int32), one, one, one), (jnp.ones(2),))
    folder = tmp_path_factory.mktemp("checkpoints")
    store = checkpoint.Checkpoints(folder, keep=1)
    store.save(state, 1, dict(checkpoint.RECORD))
    store.close()
    store = checkpoint.Checkpoints(folder, keep=1)
    assert store.restore(state)  # compiles the checksum, which looks into the compilation cache
    store.close()
    return folder, state


@fuzz(25)
@given(draw=st.data())
def test_the_record_of_a_checkpoint(checkpoints, draw):
    folder, state = checkpoints
    (path,) = (folder / "1" / "record").glob("*metadata")
    store = checkpoint.Checkpoints(folder, keep=1)
    with spoilt(path, draw.draw(json_files(json.loads(path.read_text())))), watched(folder):
        try:
            restored, record, warnings = store.restore(state)
        except InputError:
            return
        finally:
            store.close()
    assert warnings == []
    assert {name: type(record[name]) for name in checkpoint.RECORD} == {
        n: type(v) for n, v in checkpoint.RECORD.items()
    }
    np.testing.assert_array_equal(restored.model.params["w"], [0, 1, 2])


# ---- An exported model ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file of weights, and what it is loaded into."""
    one = nnx.State({"w": jnp.arange(6.0).reshape(2, 3), "s": jnp.float32(3.0)})
    state = ModelState(jnp.int32(5), one, nnx.State({"mean": jnp.ones(4)}), nnx.State({}))
    file = tmp_path_factory.mktemp("weights") / "model.safetensors"
    weights_file.save(file, state, ["rock", "pop"], "0" * 64)
    return file, state


@fuzz(300)
@given(draw=st.data())
def test_model_safetensors(weights, draw):
    file, state = weights
    content = draw.draw(mutated(file.read_bytes()) | st.binary(max_size=40))
    with spoilt(file, content), watched(file.parent):
        try:
            loaded = weights_file.load(file, state, ["rock", "pop"], "0" * 64)
        except InputError:
            return
    for name, value in weights_file.leaves(state).items():
        np.testing.assert_array_equal(weights_file.leaves(loaded)[name], value)
    assert loaded.step.dtype == jnp.int32


@fuzz(150)
@given(draw=st.data())
def test_the_metadata_of_model_safetensors(weights, draw):
    file, state = weights
    with safe_open(file, framework="numpy") as stored:
        metadata = stored.metadata()
    changes = draw.draw(st.dictionaries(st.sampled_from(sorted(metadata)) | TEXTS, TEXTS, min_size=1, max_size=2))
    metadata = {k.encode(errors="replace").decode(): v.encode(errors="replace").decode() for k, v in
                (metadata | changes).items()}  # fmt: skip
    spoiled = file.with_name("spoilt")
    save_file({name: np.asarray(value) for name, value in weights_file.leaves(state).items()}, spoiled, metadata)
    with watched(file.parent), suppress(InputError):
        loaded = weights_file.load(spoiled, state, ["rock", "pop"], "0" * 64)
        assert loaded.step.shape == ()


EVALUATION = {
    "split": "test",
    "split_kind": "random",
    "source": "a manifest",
    "other_data": False,
    "bce": 4.0,
    "retrieval": None,
    "checkpoint_step": 5,
    "num_tracks": 9,
    "parameters": {"trainable": 7, "frozen": 8},
    **dict.fromkeys(results.METRICS.values(), 0.5),
    **{way: dict.fromkeys(results.DECIDING.values(), 0.5) for way in ("argmax_fallback", "at_half")},
    "trivial": {
        "prevalence": {"map_macro": 0.1, "map_micro": 0.1},
        "best_constant": {"f1_example": 0.1, "jaccard": 0.1},
    },
    "linear": {
        **dict.fromkeys(results.METRICS.values(), 0.5),
        **{"C": 1.0, "fitted_on": 5, "train_tracks": 7},
        "gain_map_macro": {"value": 0.1, "low": -0.1, "high": 0.3},
    },
    "genres": [
        {
            **{"name": name, "support": 3, "linear_average_precision": 0.4},
            **dict.fromkeys(results.PER_GENRE, 0.5),
            "f1": None,
        }
        for name in ("rock", "pop")
    ],
}


def test_the_evaluation_to_be_spoilt_can_be_read(tmp_path):
    (tmp_path / "evaluation_test.json").write_text(json.dumps(EVALUATION))
    assert results.evaluations(tmp_path, ("rock", "pop"))["test"].linear is not None


@fuzz(200)
@given(draw=st.data())
def test_evaluation_json(tmp_path_factory, draw):
    folder = tmp_path_factory.getbasetemp() / "evaluations"
    folder.mkdir(exist_ok=True)
    (folder / "evaluation_test.json").write_bytes(draw.draw(json_files(EVALUATION)))
    with watched(folder):
        try:
            found = results.evaluations(folder, ("rock", "pop"))["test"]
        except InputError:
            return
    assert list(found.genres) == list(found.support) == ["rock", "pop"]
    assert all(value is None or np.isfinite(value) for value in found.metrics.values())
    found.source.encode()
    assert verdict(found)


# ---- Settings -----------------------------------------------------------------------------------------------------

KEYS = list(recipes.flat(Config()))
LITERALS = [
    "0x" + "f" * 5000,
    "[" * 3000,
    "{[]: 1}",
    "1e999",
    "nan",
    "-" * 3000,
    "b'x'",
    "1j",
    "{0x" + "f" * 5000 + ": 1}",
]


@fuzz(300)
@given(
    key=st.sampled_from(KEYS) | st.from_regex(r"[\w.]{0,12}", fullmatch=True) | st.just("data.aliases" + ".x" * 3000),
    value=TEXTS | NUMBERS.map(repr) | VALUES.map(repr) | st.sampled_from(LITERALS),
)
def test_overrides(tmp_path_factory, key, value):
    with watched(tmp_path_factory.getbasetemp()):
        try:
            settings_ = recipes.load(None, [f"{key}={value}"])
        except InputError:
            return
    json.dumps(recipes.as_json(settings_), allow_nan=False, ensure_ascii=False).encode()


@fuzz(60)
@given(spec=TEXTS | st.tuples(TEXTS, TEXTS).map(":".join))
def test_recipes_that_are_none(spec):
    with pytest.raises(InputError):  # it may name any file: a recipe is the person's own program
        recipes.load(spec)


@fuzz(60)
@given(argument=TEXTS)
def test_arguments_of_recipes(argument):
    for name in ("music4all", "baselines", "pod"):
        with suppress(InputError):
            assert isinstance(recipes.load(f"{name}:{argument}"), Config)


# ---- The lyrics encoder -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> Path:
    folder = tiny_bert.save_encoder(tmp_path_factory.mktemp("encoder") / "tiny")
    build.pretrained_bert(folder, READS)
    return folder


READS = recipes.load(None, ["lyrics.max_tokens=16"])


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@fuzz(60)
@given(draw=st.data())
def test_the_encoders_weights(encoder, name, draw):
    path = encoder / name
    content = path.read_bytes()
    files = json_files(json.loads(content)) if name == "config.json" else mutated(content)
    with spoilt(path, draw.draw(files)), watched(encoder):
        try:
            bert = build.pretrained_bert(encoder, READS)
        except InputError:
            return
    assert bert.config.hidden_size == tiny_bert.TINY.hidden_size


def tokenizer_json(folder: Path) -> Any:
    import tokenizers

    text = tokenizers.BertWordPieceTokenizer(str(folder / "vocab.txt")).to_str()
    tree = json.loads(text)
    tree["model"]["vocab"] = dict(list(tree["model"]["vocab"].items())[:12])
    return tree


@pytest.mark.parametrize("name", ["vocab.txt", "tokenizer_config.json", "tokenizer.json"])
@fuzz(100)
@given(draw=st.data())
def test_the_encoders_words(encoder, name, draw):
    path = encoder / name
    if name == "vocab.txt":
        files = mutated(path.read_bytes())
    else:
        files = json_files(tokenizer_json(encoder) if name == "tokenizer.json" else {"do_lower_case": True})
    content = draw.draw(files)
    before = path.read_bytes() if path.exists() else None
    path.write_bytes(content)
    try:
        with watched(encoder):
            tokenizer = LyricsTokenizer(encoder, max_tokens=6)
            found = [tokenizer.encode(text) for text in ("", "ab c", "é 東 \u200d 1 " * 5)]
    except InputError:
        return
    finally:
        path.write_bytes(before) if before is not None else path.unlink()
    assert all(ids.dtype == np.uint16 and len(ids) <= 6 for ids in found)


@fuzz(80)
@given(name=TEXTS)
def test_names_of_encoders(tmp_path_factory, name):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("huggingface_hub.snapshot_download", lambda *a, **k: (_ for _ in ()).throw(OSError("offline")))
        patch.chdir(tmp_path_factory.getbasetemp())
        with pytest.raises(InputError):
            locate_encoder(name)
