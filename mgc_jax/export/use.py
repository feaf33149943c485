"""The part of a model card that is code: how to load the folder, with and without this package."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mgc_jax.api import Model
from mgc_jax.export import program
from mgc_jax.export.markdown import code, table
from mgc_jax.network import build
from mgc_jax.runs import weights_file


def use(model: Model, *, measured: bool, onnx: Mapping[str, Any] | None) -> str:
    """How the files of the folder are used, as Markdown; ``measured`` says whether evaluations are among them, ``onnx``
    what ONNX files are."""
    spec, tokens = model.spec, model.config.lyrics.max_tokens
    sound, (axes, dtype) = next(iter(program.inputs(spec, tokens).items()))
    shape, what = (1, *axes), "samples at " + f"{spec.sample_rate} Hz" if model.features else "log-mel levels"
    parts = [
        "With mgc-jax, from this folder or from `hf://user/name`:",
        code("import mgc_jax", "", 'model = mgc_jax.load(".")', "print(model.vocabulary.names, model.thresholds)")
        + '\n\n`model.predict("song.mp3", "the lyrics")` ranks the genres of a song.',
        "With jax alone (`pip install jax flatbuffers`); what the numbers mean stands in `preprocessing.json`:",
        code(
            "from pathlib import Path",
            "",
            "import numpy as np",
            "from jax import export",
            "",
            'program = export.deserialize(bytearray(Path("model.stablehlo").read_bytes()))',
            f"{sound} = np.zeros({shape}, np.{dtype})  # {what} of a clip",
            f"tokens = np.zeros((1, {tokens}), np.int32)  # word pieces of the lyrics",
            "num_tokens = np.zeros(1, np.int32)  # 0: no lyrics",
            f"scores, logits = program.call({sound}, tokens, num_tokens)",
        )
        + "\n\n`program.mlir_module_serialized` is the same as a portable StableHLO artifact for other runtimes.",
    ]
    if build.uses_bert(model.config) and not build.audio_network(model.config):
        heard = "audio_features" if model.features else "spectrogram"
        parts += [
            "In PyTorch (mgc-jax with its extra `torch`):",
            code(
                "from mgc_jax.torch_reference import build",
                "",
                f'model = build.of_run(".")  # {heard}, tokens, num_tokens -> logits and embeddings',
            ),
        ]
    if onnx:
        parts += [
            "With ONNX Runtime alone, by the one file `onnx_runner.py` of mgc-jax "
            "(`pip install onnxruntime tokenizers soundfile soxr numpy`):",
            "```sh\npython onnx_runner.py . song.mp3 --lyrics song.txt\n```",
        ]
    files = {
        weights_file.NAME: "the weights under dotted names; vocabulary and encoder's sha256 in its metadata",
        "config.json, genres.json": "settings, vocabulary with counts",
        **({} if model.folder.thresholds() is None else {"thresholds.json": "one threshold a genre"}),
        **({"evaluation_*.json": "the figures above and more"} if measured else {}),
        "encoder/": "the lyrics encoder and its tokenizer, so that nothing has to be downloaded",
        **({"audio_encoder/": "the audio encoder likewise"} if model.features else {}),
        "preprocessing.json": "from a song to the inputs: rates, windows, levels, tokens",
        program.NAME: "the model with its weights as one program for CPU, CUDA and TPU, any batch size, float32",
    }
    if onnx and onnx["lyrics_encoder"]:
        files[onnx["lyrics_encoder"]["file"]] = "what reads the lyrics of a song, for ONNX runtimes"
    if onnx:
        files[onnx["head"]["file"]] = "what hears its windows beside them"
    parts.append(table(["file", "holds"], [[f"`{name}`", text] for name, text in files.items()]))
    return "\n\n".join(parts)
