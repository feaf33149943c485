"""What a model that ``mgc-jax export --onnx`` wrote says of a song, without mgc-jax:

    pip install onnxruntime tokenizers soundfile soxr numpy
    python onnx_runner.py FOLDER SONG [--lyrics FILE] [--json]

This one file is all there is: run it, import it (``Runner(folder).predict(song, lyrics)``) or copy what you need. It
gives the scores of ``mgc-jax predict`` and takes less: one recording a file, in a format of libsndfile (WAV, FLAC, Ogg,
MP3 and others, not M4A); lyrics in UTF-8, in no web page and no karaoke file. What it cannot read it refuses.
Every constant is from the folder's ``preprocessing.json``, where it is explained.
"""

import argparse
import html
import json
import math
import re
import sys
import unicodedata
from pathlib import Path

import numpy as np
import onnxruntime
import soundfile
import soxr
import tokenizers

AT_ONCE = 8  # windows


class Refused(Exception):
    """What cannot be done, in one sentence."""


class Runner:
    """The model in a folder, to be asked again and again."""

    def __init__(self, folder):
        try:
            read = {file.name: json.loads(file.read_text("utf-8")) for file in folder.glob("*.json")}
            self.constants, self.genres = read["preprocessing.json"], read["genres.json"]["names"]
            if self.constants["format"] != 1 or "onnx" not in self.constants:
                raise Refused(f"{folder} was exported without --onnx, or by another version of mgc-jax.")
            self.thresholds = np.array([read.get("thresholds.json", {}).get(name, 0.5) for name in self.genres])
            self.tokenizer = tokenizers.Tokenizer.from_file(str(folder / self.constants["lyrics"]["tokenizer"]))
            encoder, head = self.constants["onnx"]["lyrics_encoder"], self.constants["onnx"]["head"]
            self.encoder = _session(folder / encoder["file"]) if encoder else None  # of a model that takes no words
            self.head = _session(folder / head["file"])
        except Refused:
            raise
        except Exception as error:  # onnxruntime and tokenizers have no classes of their own for it
            raise Refused(f"{folder} holds no model that can be read ({type(error).__name__}: {error}).") from error

    def predict(self, song, lyrics=None):
        """What ``mgc-jax predict --json`` says of a song, a path, with its lyrics, a text; it raises Refused."""
        if lyrics and self.encoder is None:
            raise Refused("This model hears a song and reads no lyrics: leave them out.")
        text = sung_words(lyrics, self.constants["lyrics"]) if lyrics else ""
        ids = self.tokenizer.encode(text).ids if text else []
        words, notes = self._words(ids), set()
        samples, rate = decode(song, notes)
        clips, weights = zip(*windows(samples, rate, self.constants["audio"]), strict=True)
        scores = []
        for first in range(0, len(clips), AT_ONCE):
            group = np.stack([self._sound(clip, rate) for clip in clips[first : first + AT_ONCE]])
            given = {self.head.get_inputs()[0].name: group}
            if words is not None:
                given |= {
                    "words": np.repeat(words, len(group), axis=0),
                    "num_tokens": np.full(len(group), len(ids), np.int32),
                }
            scores.extend(self.head.run(["scores"], given)[0].astype(np.float64))
        mean = np.average(scores, axis=0, weights=weights)
        ranked = np.argsort(-mean, kind="stable")
        over = [i for i in ranked if mean[i] >= self.thresholds[i]] or [ranked[0]]
        return {
            "file": str(song),
            "predicted": [self.genres[i] for i in over],
            "genres": [{"name": self.genres[i], "score": float(mean[i])} for i in ranked],
            "windows": len(clips),
            "sound": sorted(notes),
            **({} if words is None else {"lyrics_tokens": len(ids)}),
        }

    def _words(self, ids):
        """What the lyrics encoder makes of word pieces (1, L, H); None for a model that takes no words."""
        if self.encoder is None:
            return None
        words = np.zeros((1, *self.head.get_inputs()[1].shape[1:]), np.float32)
        if ids:
            length = self.encoder.get_inputs()[0].shape[1]  # of any where it has a name
            tokens = np.zeros((1, length if isinstance(length, int) else len(ids)), np.int32)
            tokens[0, : len(ids)] = ids
            read = self.encoder.run(["words"], {"tokens": tokens, "num_tokens": np.array([len(ids)], np.int32)})[0]
            words[:, : read.shape[1]] = read
        return words

    def _sound(self, samples, rate):
        """A window as the head takes it: its samples at the model's rate (P,), or their spectrogram (T, M)."""
        ours, number = self.constants["audio"]["sample_rate"], self.constants["audio"]["clip_samples"]
        clip = (soxr.resample(samples, rate, ours, quality="HQ") if rate != ours else samples)[:number]
        clip = np.pad(clip.astype(np.float32), (0, number - len(clip)))
        return log_mel(clip, ours, self.constants["spectrogram"]) if "spectrogram" in self.constants else clip


def _session(file):
    return onnxruntime.InferenceSession(file, providers=onnxruntime.get_available_providers())


# ---- Sound --------------------------------------------------------------------------------------------------------


class _Forward(soundfile.SoundFile):
    def seekable(self):
        return False  # or it seeks behind each read, from which an MP3 goes on with wrong frames


def decode(song, notes):
    """The samples (n,) of a file, mono, and their rate in Hz; ``notes`` are given what was done."""
    try:
        with _Forward(song) as file:
            rate, claimed, is_mp3, parts = file.samplerate, file.frames, file.format == "MP3", [np.zeros(0, np.float32)]
            while len(second := file.read(rate, dtype="float32", always_2d=True)):
                parts.append(_mono(second, notes))
    except (soundfile.SoundFileError, OSError, RuntimeError, ValueError, TypeError) as error:
        raise Refused(f"{song} cannot be decoded: {str(error).rstrip('.')}.") from error
    samples = np.concatenate(parts)
    if 2 * len(samples) < claimed and (len(samples) < rate or not is_mp3):
        raise Refused(f"{song} is cut off: {len(samples) / rate:.1f} of {claimed / rate:.1f} s can be decoded.")
    if len(samples) < rate:
        raise Refused(f"{song} is shorter than 1 s.")
    if not np.abs(samples).max() <= 64:
        raise Refused(f"{song} holds samples that are no numbers, or far over full scale.")
    if is_mp3 and not _tells_its_length(song):
        notes.add("an MP3 that does not tell its length: read as far as libsndfile guesses")
    elif len(samples) < claimed - rate / 2:
        notes.add("cut off: read as far as it goes")
    return samples, rate


def _tells_its_length(mp3):
    with open(mp3, "rb") as file:
        tag = file.read(10)
        file.seek(10 + sum(byte << 7 * i for i, byte in enumerate(tag[:5:-1])) if tag[:3] == b"ID3" else 0)
        return re.search(b"Xing|Info|VBRI", file.read(4096))


def _mono(samples, notes):
    """The mean of the channels (n, C); where they cancel each other, the loudest one."""
    channels = np.ascontiguousarray(samples.T)
    mix, power = channels.mean(axis=0), [channel @ channel for channel in channels]
    if mix @ mix >= 0.01 * sum(power) / len(power) ** 2:
        return mix
    notes.add("one channel taken")
    return channels[np.argmax(power)]


def windows(x, rate, audio):
    """The samples of each window that is heard, and how much it counts."""
    gate = 10 ** (-audio["gate_db"] / 20)
    edges = np.arange(10 * len(x) // rate + 2) * rate // 10  # of blocks of a tenth of a second
    edges = np.append(edges[edges < len(x)], len(x))
    blocks = np.diff(edges), *(np.add.reduceat(y, edges[:-1], dtype=np.float64) for y in (x, x * x))
    seconds = [np.add.reduceat(y, np.arange(0, len(y), 10)) for y in blocks]
    levels, loudest, peak = _level(*blocks), _level(*seconds)[2 * seconds[0] >= rate].max(), np.abs(x).max()
    if peak < 1e-4 or loudest < 1e-6 * peak:
        raise Refused("The song is silent throughout.")
    sounding = np.flatnonzero((levels >= gate * loudest) & (levels > 0))
    parts = []
    for begin, end in _ranges(x, rate, edges, sounding, math.ceil(audio["clip_seconds"] * rate)):
        exact = x[begin:end].astype(np.float64)
        parts.append((x[begin:end], _level(len(exact), exact.sum(), exact @ exact) / loudest))
    return [part for part in parts if part[1] >= gate] or [max(parts, key=lambda part: part[1])]


def _level(number, total, squares):
    return np.sqrt(np.maximum(squares / number - (total / number) ** 2, 0.0))


def _ranges(x, rate, edges, sounding, length):
    """Where the windows of ``length`` samples begin and end."""
    if len(x) <= length:
        return [(0, len(x))]
    breaks = np.flatnonzero(np.diff(sounding) > math.ceil(length / rate * 10))
    runs = []
    for first, last in zip(sounding[[0, *(breaks + 1)]], sounding[[*breaks, -1]], strict=True):
        loud = np.abs(x[edges[last] : edges[last + 1]])  # a song may break off in the midst of its last block
        end = edges[last] + np.flatnonzero(loud >= loud.max() / 8)[-1] + 1
        end = end if edges[last + 1] - end > 0.01 * rate else edges[last + 1]
        runs.append((edges[first] if edges[first] >= rate else 0, end if len(x) - end >= rate else len(x)))
    long = [run for run in runs if run[1] - run[0] >= rate]
    if not long:  # moments alone: with what is around them
        return [(first, first + length) for first in sorted({min(run[0], len(x) - length) for run in runs})]
    ranges = []
    for begin, end in long:
        whole = math.ceil((end - begin) / length) * length
        if whole - (end - begin) <= rate // 10 and begin + whole <= len(x):
            end = begin + whole  # what ends with a window but for a moment
        for start in range(begin, end, length):
            if start + length <= end or start == begin:
                ranges.append((start, min(start + length, end)))
            elif end - start >= rate:
                ranges.append((end - length, end))
    return ranges


def log_mel(clip, rate, s):
    """The spectrogram (T, M) uint8 of a clip: Hann windows, mel bands, dB under the clip's maximum."""
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(clip, s["n_fft"] // 2), s["n_fft"])[:: s["hop_length"]]
    spectrum = np.fft.rfft(frames * np.hanning(s["n_fft"] + 1)[:-1].astype(np.float32))
    edges = np.array(s["mel_edges"])
    away, width = edges[:, None] - np.fft.rfftfreq(s["n_fft"], 1 / rate), np.diff(edges)[:, None]
    triangles = np.maximum(0.0, np.minimum(-away[:-2] / width[:-1], away[2:] / width[1:]))
    filters = (triangles * (2 / (edges[2:] - edges[:-2]))[:, None]).astype(np.float32)
    bands = (spectrum.real**2 + spectrum.imag**2).astype(np.float32) @ filters.T
    if not bands.max() > 0:
        return np.zeros(bands.shape, np.uint8)
    decibels = 10 * np.log10(np.maximum(bands / bands.max(), np.float32(10 ** (-s["range_db"] / 10))))
    return np.rint(s["levels"] * (1 + decibels / s["range_db"])).astype(np.uint8)


# ---- Lyrics -------------------------------------------------------------------------------------------------------

_CONTROL, _INVISIBLE = r"[\x00-\x08\x0b\x0e-\x1f\x7f]", "\ufeff\u200b\u2060"
_NO_LYRICS = r'(?i)\s*(?:<!doctype html|<html|\{\\rtf|%PDF|\{\s*["}]|\[\s*\{)'  # a page, a document, JSON


def sung_words(text, constants):
    """The words that are sung, without the marks of lyrics files; nothing where there are none."""
    markup, absence = constants["markup"], constants["absence"]
    if len(text) > 1 << 20 or "\0" in text or len(re.findall(_CONTROL, text)) > len(text) / 50:
        raise Refused("The lyrics are no text, or larger than 1 MiB.")
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    given = re.sub(_CONTROL, " ", re.sub(r"\r(?!\n)", "\n", text)).strip().strip(_INVISIBLE)
    text, before, marked = given, None, False
    for _ in range(markup["rounds"]):
        if text == before:
            break
        before = text
        if re.match(_NO_LYRICS, text) or re.search(markup["elements"], text):
            raise Refused("The lyrics are a web page or another document: take its text.")
        for rule in markup["rules"]:
            if (rule["where"] is None or re.search(rule["where"], text)) and re.search(rule["pattern"], text):
                if "function" in rule and rule["function"] not in _REPLACEMENTS:
                    raise Refused(f"The lyrics are in a form that is not read here ({rule['name']}): take their words.")
                marked = True
                text = re.sub(rule["pattern"], _REPLACEMENTS.get(rule.get("function")) or rule["replacement"], text)
    words = re.sub(_CONTROL, " ", text).strip().strip(_INVISIBLE).strip()
    if marked:
        words = re.sub(r"\n[^\S\n]*\n\s+", "\n\n", words)
    lines = (re.sub(r"[\W_]", " ", unicodedata.normalize("NFKC", line).casefold()) for line in words.splitlines())
    lines = [" ".join(line.split()) for line in lines if line.strip()]
    says_so = (any(re.fullmatch(pattern, line) for pattern in absence["patterns"]) for line in lines)
    return "" if len(lines) <= absence["most_lines"] and all(says_so) else words


def _joined(match):
    """What is left of a mark inside a line: the blank on one of its sides."""
    before, after = match.string[match.start() - 1 : match.start()], match.string[match.end() : match.end() + 1]
    return " " if match[0][-1:].isspace() and before.strip() and after.strip() else ""


_REPLACEMENTS = {"joined": _joined, "entity": lambda match: html.unescape(match[0])}


def main(arguments=None):
    """The command."""
    parser = argparse.ArgumentParser(description="Genres of a song by a model that mgc-jax exported as ONNX.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("song", type=Path)
    parser.add_argument("--lyrics", type=Path, metavar="FILE", help="in UTF-8")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    try:
        lyrics = options.lyrics.read_text("utf-8-sig") if options.lyrics else None
        found = Runner(options.folder).predict(options.song, lyrics)
    except (Refused, OSError) as error:
        parser.exit(2, f"{error}\n")
    except UnicodeDecodeError:
        parser.exit(2, f"{options.lyrics} is not in UTF-8.\n")
    for note in found["sound"]:
        print(note, file=sys.stderr)
    if options.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
        return
    for genre in found["genres"]:
        print(f"{genre['score']:.3f} {'*' if genre['name'] in found['predicted'] else ' '} {genre['name']}")


if __name__ == "__main__":
    main()
