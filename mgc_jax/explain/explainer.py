"""How much each second, each word, either modality and each related genre moves a genre's logit.

Axis letters: K windows, T frames, M mel bands, N segments, W words, Q groups of words, S audio tokens, L lyric tokens,
E explained genres, G genres.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import numpy as np

from data_pipeline.audio import AudioSpec, log_mel, mel_frequencies
from data_pipeline.errors import InputError
from data_pipeline.genre_names import key
from data_pipeline.lyric_words import Words, find_words
from data_pipeline.schema import AUDIO
from mgc_jax.explain.explanation import Attention, Explanation, Spectrogram
from mgc_jax.explain.occlusion import Occlusion, PaperOcclusion
from mgc_jax.explain.segments import Clock, EncoderClock, stretches, stride
from mgc_jax.inference.listening import Listening
from mgc_jax.inference.predictor import Predictor
from mgc_jax.inference.song import Song
from mgc_jax.network import build

MAX_WINDOWS, MAX_GROUPS, MAX_COLUMNS = 8, 64, 1500


def explain(
    model: Predictor,
    occlusion: Occlusion,
    song: Song,
    sound: Listening | None = None,
    genres: Sequence[str] | None = None,
) -> Explanation:
    """Explain the ``genres`` of a song, or those that are predicted, by the :func:`occlusion_of` the model; its
    ``sound`` is given where it is decoded already.

    The paper's model encodes each window once for each of its segments, about a dozen, and the lyrics at most 64 times;
    the rivals see the lyrics' variants once for each window.
    """
    names = model.vocabulary.names
    targets = None if genres is None else indices(genres, names)
    text = model.words(song)
    sound = sound or model.front_end.listening(song)
    prediction = model.predict_listening(song, sound)
    targets = indices(prediction.predicted, names) if targets is None else targets
    scores = dict(prediction.ranked)
    targets.sort(key=lambda index: -scores[names[index]])

    uses_audio, uses_lyrics = build.modalities(model.config)
    clock = _clock(model)
    pictures = [(window.start, log_mel(window.samples, model.spec)) for window in sound.windows]
    chosen, starts, ends = _evenly_chosen(pictures, model.spec)
    # The sound is gone through once more: that of a long recording takes more memory than there may be.
    explained = [window for i, window in enumerate(sound.windows) if i in chosen]
    clips = model.hear([window.samples for window in explained])
    weights = np.array([window.weight for window in explained])
    weights /= weights.sum()
    pieces = model.tokenizer.pieces(text)
    words = find_words(text, pieces)
    groups = words.groups(MAX_GROUPS)

    # The queries: every window with and without the words, silence with and without them, every window with each of
    # its spans silenced, every window with each group of words masked.
    silent, full, nothing = len(clips), 0, 1 if text else 0
    each = np.arange(len(clips))
    window, frames, silenced = _silenced(clips, model.silence, clock, ends - starts)
    masked = _masked(pieces.ids, words, groups, model.tokenizer.mask_id)
    sounds = [*clips, model.silence, *silenced]
    texts = [*([pieces.ids] if text else []), np.zeros(0, np.uint16), *masked]
    queries = [
        _pairs(each, full),
        _pairs(each, nothing),
        _pairs([silent], full),
        _pairs([silent], nothing),
        _pairs(silent + 1 + np.arange(len(silenced)), full),
        *(_pairs(each, nothing + 1 + group) for group in range(len(masked))),
    ]
    songs = occlusion.songs(sounds, texts, np.concatenate(queries))
    logits = occlusion.logits(songs)[:, targets]
    both, sound_only, words_only, neither, without_segment, *without_words = np.split(
        logits, np.cumsum([len(pairs) for pairs in queries])[:-1]
    )

    means = [_mean(both, weights), _mean(sound_only, weights), words_only[0], neither[0]]
    sound_part, words_part = shapley(*means)
    graph, related = None, None
    if isinstance(occlusion, PaperOcclusion) and model.config.model.head == "graph":
        graph, related = occlusion.graph(songs._replace(pairs=queries[0]), targets, weights)
    attention = None
    if isinstance(occlusion, PaperOcclusion) and model.config.model.fusion == "scma" and text:
        attention = _attention(*occlusion.attention(songs._replace(pairs=queries[0])), words, clock, starts)
    by_group = np.array([_mean(both - values, weights) for values in without_words]).reshape(-1, len(targets))
    word_effect = np.full((len(words.spans), len(targets)), np.nan)
    word_effect[groups >= 0] = by_group[groups[groups >= 0]]
    thresholds = np.clip(model.thresholds[targets], 1e-6, 1 - 1e-6)
    return Explanation(
        prediction=prediction,
        genres=tuple(names[index] for index in targets),
        logits=means[0],
        thresholds=np.log(thresholds / (1 - thresholds)),
        base=means[3],
        sound_part=sound_part,
        words_part=words_part,
        graph=graph,
        related=related,
        seconds=float(ends[-1]),
        windows=np.stack([starts, ends], axis=1),
        segments=np.minimum(starts[window, None] + clock.seconds(frames), ends[window, None]),
        segment_effect=both[window] - without_segment,
        words=words,
        groups=groups,
        word_effect=word_effect,
        attention=attention,
        spectrogram=spectrogram(pictures, model.spec),
        names=names,
        uses_audio=uses_audio,
        uses_lyrics=uses_lyrics,
    )


def shapley(
    both: np.ndarray, sound: np.ndarray, words: np.ndarray, neither: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The shares of sound and of words in ``both - neither``, from what each is worth alone; any one shape."""
    return ((both - words) + (sound - neither)) / 2, ((both - sound) + (words - neither)) / 2


def indices(genres: Sequence[str], names: Sequence[str]) -> list[int]:
    """Where these genres are among the model's ``names``, each once."""
    if isinstance(genres, str):
        genres = [genres]
    if not genres:
        raise InputError("There is no genre to explain: name some, or leave them out for the predicted ones.")
    known = [key(name) for name in names]
    indices = []
    for genre in genres:
        if key(genre) not in known:
            nearest = difflib.get_close_matches(genre.lower(), names, n=1, cutoff=0.0)
            raise InputError(f"The model knows no genre {genre!r}; did you mean {nearest[0]}?")
        indices.append(known.index(key(genre)))
    return list(dict.fromkeys(indices))


def occlusion_of(model: Predictor) -> Occlusion:
    """What asks the model about altered songs; it keeps its compiled programs, so keep it with the model."""
    kind = PaperOcclusion if build.uses_bert(model.config) else Occlusion
    audio, max_tokens = AUDIO[model.spec.input], model.config.lyrics.max_tokens
    return kind(model.network, model.state, audio, max_tokens, *build.modalities(model.config))


def _clock(model: Predictor) -> Clock | EncoderClock:
    if model.features:
        encoder, samples = model.features.encoder, model.spec.num_samples
        network = build.audio_network(model.config)
        tokens = network.tokens if network else encoder.tokens
        each = stretches(len(encoder.starts(samples)), encoder.tokens, tokens)
        return EncoderClock(encoder.token_times(samples), each)
    if not build.uses_bert(model.config):
        return Clock(model.spec)
    encoder = model.network.merge(model.state, model.network.frozen).audio_cnn
    return Clock(model.spec, stride(encoder.pools, encoder.patch))


def _evenly_chosen(
    windows: Sequence[tuple[float, np.ndarray]], spec: AudioSpec
) -> tuple[list[int], np.ndarray, np.ndarray]:
    """At most ``MAX_WINDOWS`` of a song's windows, the first and the last among them: their numbers, and their starts
    and ends (K,) in s."""
    indices = np.linspace(0, len(windows) - 1, min(len(windows), MAX_WINDOWS)).round().astype(int).tolist()
    starts = np.array([windows[i][0] for i in indices])
    ends = starts + spec.seconds
    if len(windows) == 1:  # a song may be shorter than a clip, which is filled up with silence
        sounding = 1 + np.flatnonzero(windows[0][1].any(axis=1)).max(initial=0)
        ends = starts + Clock(spec).seconds(np.array([[0, sounding]]))[:, 1]
    return indices, starts, ends


def _mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The weighted mean over windows, (K, E) -> (E,): to the last bit what they have in common."""
    return values[0] + weights @ (values - values[0])


def _pairs(sounds: Sequence[int] | np.ndarray, text: int) -> np.ndarray:
    return np.stack([np.asarray(sounds, np.int64), np.full(len(sounds), text)], axis=1)


def _silenced(
    clips: Sequence[np.ndarray], silence: np.ndarray, clock: Clock | EncoderClock, lengths: np.ndarray
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Each segment of each window: its window's number (N,), its frames or tokens (N, 2), and the window without it."""
    window, frames, silenced = [], [], []
    for index, clip in enumerate(clips):
        for segment, (start, _) in zip(clock.segments(), clock.seconds(clock.segments()), strict=True):
            if start < lengths[index]:
                window.append(index)
                frames.append(segment)
                silenced.append(clip.copy())
                silenced[-1][segment[0] : segment[1]] = silence[segment[0] : segment[1]]
    return np.array(window), np.array(frames), silenced


def _masked(ids: np.ndarray, words: Words, groups: np.ndarray, mask: int) -> list[np.ndarray]:
    """The word pieces (n,) with those of each group of words masked, for Q groups."""
    owner = np.where(words.owner >= 0, np.append(groups, -1)[words.owner], -1)  # the group of each word piece
    return [np.where(owner == group, mask, ids).astype(ids.dtype) for group in range(groups.max(initial=-1) + 1)]


def _attention(
    to_lyrics: np.ndarray, to_audio: np.ndarray, words: Words, clock: Clock | EncoderClock, starts: np.ndarray
) -> Attention:
    """From audio tokens and word pieces, (K, S, L) and (K, L, S), to seconds and words."""
    owner, tokens = words.owner, clock.tokens()
    read_words = np.flatnonzero(words.read)
    column = np.where(owner >= 0, np.searchsorted(read_words, owner), len(read_words))
    piece_of = (column[:, None] == np.arange(len(read_words) + 1)).astype(np.float64)  # (L, R + 1)
    # Where the bands of a frame are tokens of their own, they lie behind each other.
    windows, bands = len(starts), to_lyrics.shape[1] // len(tokens)
    audio_attention = to_lyrics[:, :, : len(owner)].reshape(windows * len(tokens), bands, -1).mean(1)
    lyrics_attention = to_audio[:, : len(owner)].reshape(windows, len(owner), len(tokens), bands).sum(3)
    pieces = np.maximum(piece_of.sum(0), 1.0)[:, None, None]  # [CLS] and [SEP] are always there
    back = np.einsum("lr,kls->rks", piece_of, lyrics_attention) / pieces / windows
    return Attention(
        seconds=(starts[:, None, None] + clock.seconds(tokens)).reshape(-1, 2),
        words=read_words,
        to_words=audio_attention @ piece_of,
        to_seconds=back.reshape(len(read_words) + 1, -1),
    )


def spectrogram(windows: Sequence[tuple[float, np.ndarray]], spec: AudioSpec) -> Spectrogram:
    """All windows on one time axis, in no more columns than a picture has."""
    hop = spec.hop_length / spec.sample_rate
    step = max(hop, (windows[-1][0] + spec.seconds) / MAX_COLUMNS)
    columns = int((windows[-1][0] + spec.seconds) / step) + 1
    total, count = np.zeros((columns, spec.n_mels)), np.zeros(columns)
    for start, clip in windows:
        index = ((start + np.arange(len(clip)) * hop) / step + 1e-6).astype(int).clip(max=columns - 1)
        np.add.at(total, index, clip)
        np.add.at(count, index, 1)
    levels = total / np.maximum(count, 1)[:, None]
    return Spectrogram(levels.round().astype(np.uint8), step, mel_frequencies(spec))
