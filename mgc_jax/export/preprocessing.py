"""What lies between a song and the model's inputs, as numbers: for whoever feeds the program in another language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from data_pipeline import mel
from data_pipeline.audio import GATE_DB, RANGE_DB, AudioSpec
from data_pipeline.lyrics import absence, markup
from data_pipeline.lyrics.tokenizer import LyricsTokenizer
from mgc_jax.export.program import NAME, OUTPUTS, inputs

FORMAT = 1


def preprocessing(
    spec: AudioSpec, tokenizer: LyricsTokenizer, genres: int, onnx: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The content of ``preprocessing.json``; ``onnx`` tells of the ONNX files, where they are."""
    tokens = tokenizer.max_tokens
    types = {
        name: f"{dtype} ({', '.join(['b', *map(str, shape)])}{'' if shape else ','})"
        for name, (shape, dtype) in inputs(spec, tokens).items()
    }
    spectrogram = {"spectrogram": _spectrogram(spec)} if spec.input == "spectrogram" else {}
    return {
        "format": FORMAT,
        "audio": {
            "channels": "mono: the mean of all channels; the loudest one where they cancel each other (where the mix "
            "keeps under a hundredth of the power that unrelated channels would leave)",
            "full_scale": 1.0,
            "sample_rate": spec.sample_rate,
            "resampling": "soxr HQ",
            "clip_seconds": spec.seconds,
            "clip_samples": spec.num_samples,
            "windows": "consecutive clips of what sounds; the last one ends with it, and is left out where it adds "
            "less than 1 s; what stays under the gate for as long as a clip, or for 1 s at either end of the song, "
            "does not sound; what is shorter than a clip is padded with zeros behind",
            "level": "root mean square of a clip's samples about their mean",
            "gate_db": GATE_DB,
            "gate": "a clip, or a tenth of a second where the clips are laid, whose level is gate_db under that of the "
            "loudest second of the song is left out",
            "score": "the mean over a song's clips, weighted by their levels",
        },
        **spectrogram,
        "lyrics": {
            "cleaning": "control characters are spaces; time stamps, HTML, headings and what lyrics pages add are "
            "stripped by the rules of markup, white space around it dropped; no lyrics where nothing is left or every "
            "line says so by the patterns of absence, such as [INSTRUMENTAL]",
            "markup": markup.described(),
            "absence": absence.described(),
            "tokenizer": "encoder/tokenizer.json",
            "max_tokens": tokens,
            "truncation": "words are cut behind; the first and the last token stay",
            "pad_id": 0,
            "special_tokens": tokenizer.special,
            "first_and_last_id": tokenizer.encode("").tolist(),
            "missing": "num_tokens 0, tokens all pad_id",
        },
        "program": {
            "file": NAME,
            "inputs": [{"name": name, "type": type_} for name, type_ in types.items()],
            "outputs": [{"name": name, "type": f"float32 (b, {genres})"} for name in OUTPUTS],
            "genres": "genres.json, names, in this order",
            "decision": "the genres whose score reaches that of thresholds.json (0.5 without the file); the highest "
            "one where none does",
        },
        **({} if onnx is None else {"onnx": onnx}),
    }


def _spectrogram(spec: AudioSpec) -> dict[str, Any]:
    return {
        "n_fft": spec.n_fft,
        "hop_length": spec.hop_length,
        "window": "hann, periodic",
        "centered": True,
        "padding": "zeros, n_fft / 2 on either side",
        "power": 2.0,
        "n_mels": spec.n_mels,
        "f_min": 0.0,
        "f_max": spec.sample_rate / 2,
        "mel_scale": "slaney",
        "mel_norm": "slaney",
        "mel_edges": mel.frequencies(spec.n_mels, spec.sample_rate).tolist(),
        "reference": "the clip's own maximum",
        "range_db": RANGE_DB,
        "levels": 255,
        "quantisation": "round(levels * (1 + max(-range_db, 10 * log10(mel / max(mel))) / range_db)); 0 for silence",
        "dequantisation": "level / 127.5 - 1, done by the program",
        "axes": "frames, mels",
        "frames": spec.num_frames,
    }
