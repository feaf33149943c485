"""A BERT of random weights, small enough for tests, in Hugging Face's layout."""

import dataclasses
import json
import string
from pathlib import Path

import numpy as np
from flax import nnx
from safetensors.numpy import save_file

from mgc_jax.models.bert import Bert, BertConfig, weight_table
from tests.support import tiny_tokenizers

TINY = BertConfig(
    vocab_size=101, hidden_size=28, num_hidden_layers=2, num_attention_heads=7, intermediate_size=37,
    max_position_embeddings=19,
)  # fmt: skip


def save_weights(folder: Path, rename=lambda name: name, drop=(), shapes: BertConfig = TINY, **extra) -> Path:
    """``config.json`` and ``model.safetensors`` of a BERT's shapes."""
    rng = np.random.default_rng(1)
    bert = Bert(shapes, rngs=nnx.Rngs(0))
    sizes = {".".join(map(str, path)): v.shape for path, v in nnx.to_flat_state(nnx.state(bert))}
    tensors = {}
    for ours, theirs in weight_table(shapes).items():
        shape = sizes[ours][::-1] if ours.endswith("kernel") else sizes[ours]
        centre = 1.0 if ours.endswith("scale") else 0.0
        tensors[rename(theirs)] = (centre + 0.2 * rng.normal(size=shape)).astype(np.float32)
    for name in drop:
        del tensors[name]
    save_file({**tensors, **extra}, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", **dataclasses.asdict(shapes)}))
    return folder


def save_encoder(folder: Path) -> Path:
    """All that an encoder's folder holds; its words are single letters."""
    folder.mkdir(parents=True, exist_ok=True)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *string.ascii_lowercase]
    words += [f"##{letter}" for letter in string.ascii_lowercase]
    words += [f"[unused{n}]" for n in range(TINY.vocab_size - len(words))]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    return save_weights(folder)


def save_xlm_roberta(folder: Path, words: int) -> Path:
    """All that the folder of an XLM-R holds, with a vocabulary of so many ``words``: w5, w6 ..; it reads 17 tokens."""
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(folder, "roberta.{}".format, shapes=dataclasses.replace(TINY, vocab_size=words))
    raw = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(raw | {"model_type": "xlm-roberta", "pad_token_id": 1}))
    return tiny_tokenizers.save(tiny_tokenizers.large(words), folder)
