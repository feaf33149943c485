"""Fig. 1 of Ru et al. (ICASSP 2023) in PyTorch's own layers; numbers in brackets are the paper's equations.

Channels first: a spectrogram is an image of mel bands by frames. Axis letters: B batch, M mel bands, T frames,
S audio tokens, L lyric tokens, H encoder width, D width, G genres.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mgc_jax.models.config import ModelConfig

MAX_LOG_SCALE = math.log(100.0)


class Outputs(NamedTuple):
    """What the losses need; ``log_scale`` = -log tau."""

    logits: Tensor  # (B, G)
    audio_embedding: Tensor  # (B, contrastive_width)
    lyrics_embedding: Tensor  # (B, contrastive_width)
    log_scale: Tensor  # ()


class AudioEncoder(nn.Sequential):
    """Convolutional blocks: spectrogram (B, 1, M, T) in [-1, 1] -> feature map (B, C, M', T')."""

    def __init__(self, widths: Sequence[int], pools: Sequence[tuple[int, int]], patch: tuple[int, int]):
        def block(before: int, after: int, pool: tuple[int, int]) -> nn.Module:
            time, mel = pool
            return nn.Sequential(
                OrderedDict(
                    conv=nn.Conv2d(before, after, 3, padding="same", bias=False),
                    norm=nn.BatchNorm2d(after),
                    relu=nn.ReLU(),
                    pool=nn.MaxPool2d((mel, time)),
                )
            )

        super().__init__(*map(block, (math.prod(patch), *widths[:-1]), widths, pools))
        self.patch = patch

    def forward(self, spectrogram: Tensor) -> Tensor:
        """As above; patches become channels, whole ones only."""
        time, mel = self.patch
        if (time, mel) != (1, 1):
            _, _, bands, frames = spectrogram.shape
            whole = spectrogram[:, :, : bands // mel * mel, : frames // time * time]
            columns = F.unfold(whole, (mel, time), stride=(mel, time))
            spectrogram = columns.unflatten(-1, (bands // mel, frames // time))
        return super().forward(spectrogram)


class CrossModalAttention(nn.Module):
    """(1), one direction: queries (B, Q, D) read a context (B, K, D) where mask (B, K) is true -> (B, Q, D)."""

    def __init__(self, width: int, heads: int, residual_norm: bool, dropout: float):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width) if heads > 1 else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width, eps=1e-6) if residual_norm else None

    def forward(self, queries: Tensor, context: Tensor, mask: Tensor) -> Tensor:
        q, k, v = (
            layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer, x in ((self.query, queries), (self.key, context), (self.value, context))
        )
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None, :])
        attended = self.dropout(self.out(attended.transpose(1, 2).flatten(-2)))
        return attended if self.norm is None else self.norm(queries + attended)


class CrossAttention(nn.Module):
    """SCMA: audio (B, S, D) and lyrics (B, L, D) with mask (B, L) -> fused (B, D).

    ``positions`` is S + L for the literal flatten, None for a mean over each branch's real tokens.
    """

    def __init__(self, width: int, heads: int, residual_norm: bool, dropout: float, positions: int | None):
        super().__init__()
        self.flatten = positions is not None
        self.audio_attention = CrossModalAttention(width, heads, residual_norm, dropout)
        self.lyrics_attention = CrossModalAttention(width, heads, residual_norm, dropout)
        self.join = nn.Linear(width * (2 if positions is None else positions), width)

    def forward(self, audio: Tensor, lyrics: Tensor, mask: Tensor) -> Tensor:
        audio_attended = self.audio_attention(audio, lyrics, mask)
        lyrics_attended = self.lyrics_attention(lyrics, audio, mask.new_ones(audio.shape[:2]))
        if self.flatten:
            lyrics_attended = lyrics_attended.masked_fill(~mask[..., None], 0.0)
            return self.join(torch.cat([audio_attended.flatten(1), lyrics_attended.flatten(1)], dim=1))
        return self.join(torch.cat([audio_attended.mean(1), masked_mean(lyrics_attended, mask)], dim=1))


class GenreGraph(nn.Module):
    """GCEM: H' = A H W with LeakyReLU between the layers -> one vector per genre (G, D)."""

    adjacency: Tensor
    nodes: Tensor

    def __init__(self, adjacency: Tensor, name_features: Tensor, hidden: int, width: int, depth: int):
        super().__init__()
        self.register_buffer("adjacency", adjacency)
        self.register_buffer("nodes", name_features / name_features.square().mean().sqrt())
        widths = (name_features.shape[1], *[hidden] * (depth - 1), width)
        self.layers = nn.ModuleList(nn.Linear(a, b, bias=False) for a, b in pairwise(widths))

    def forward(self) -> Tensor:
        nodes = self.nodes
        for depth, layer in enumerate(self.layers):
            nodes = self.adjacency @ layer(F.leaky_relu(nodes, 0.2) if depth else nodes)
        return nodes


class GenreClassifier(nn.Module):
    """The whole of Fig. 1, with the settings and the departures of the JAX model's.

    ``lyrics_encoder`` is a Hugging Face ``BertModel`` or ``RobertaModel``; unless ``frozen=False`` it is not trained.
    It reads lyrics of more than ``window`` tokens in windows (0: never), and none unless the model ``reads``. With
    ``audio_features`` (S, H) the sound is what a frozen audio encoder made of it, and there are no blocks.
    ``adjacency`` (G, G) and ``name_features`` (G, H) make the genre graph; ``prior_logits`` (G,) start the biases, or
    None for no biases.
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        lyrics_encoder: nn.Module,
        lyrics_features: int,
        num_mels: int,
        num_frames: int,
        max_tokens: int,
        widths: Sequence[int],
        pools: Sequence[tuple[int, int]],
        patch: tuple[int, int] = (1, 1),
        audio_features: tuple[int, int] | None = None,
        adjacency: Tensor,
        name_features: Tensor,
        prior_logits: Tensor | None,
        frozen: bool,
        window: int = 0,
        reads: bool = True,
    ):
        super().__init__()
        self.every_position = config.audio_tokens == "all"
        self.config = config
        width = config.width
        self.hears_features = audio_features is not None
        if audio_features is not None:
            tokens, audio_width = audio_features
            self.audio_norm = nn.BatchNorm1d(audio_width, affine=False)
        else:
            bands = num_mels // math.prod(mel for _, mel in (patch, *pools))
            frames = num_frames // math.prod(time for time, _ in (patch, *pools))
            tokens = frames * (bands if self.every_position else 1)
            audio_width = widths[-1] * (1 if self.every_position else bands)
            self.audio_encoder = AudioEncoder(widths, pools, patch)
        self.audio_projection = nn.Linear(audio_width, width)
        self.lyrics_encoder = lyrics_encoder.requires_grad_(not frozen).eval()
        self.frozen = frozen
        self.window, self.reads = window, reads
        self.lyrics_projection = nn.Linear(lyrics_features, width)
        self.null_token = nn.Parameter(torch.randn(width))
        self.audio_contrastive = nn.Linear(width, config.contrastive_width)
        self.lyrics_contrastive = nn.Linear(width, config.contrastive_width)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07) if config.contrastive_normalise else 0.0))
        if config.fusion == "scma":
            positions = tokens + max_tokens if config.pooling == "flatten" else None
            self.cross_attention = CrossAttention(width, config.heads, config.residual_norm, config.dropout, positions)
        else:
            self.join = nn.Linear(width * (2 if config.fusion == "concat" else 1), width)
        self.dropout = nn.Dropout(config.dropout)
        if config.head == "graph":
            self.genre_graph: GenreGraph | None = GenreGraph(
                adjacency, name_features, config.gcn_hidden, width, config.gcn_depth
            )
        else:
            self.genre_graph = None
            self.genre_vectors = nn.Linear(width, len(adjacency), bias=False)
        self.genre_bias = None if prior_logits is None else nn.Parameter(prior_logits.clone())
        self.wide = None
        if config.wide:  # fitted elsewhere, and not trained
            self.wide = nn.Linear(2 * audio_width + lyrics_features, len(adjacency)).requires_grad_(False)

    def train(self, mode: bool = True) -> GenreClassifier:
        """Training mode for all but the lyrics encoder, which has no dropout here."""
        super().train(mode)
        self.lyrics_encoder.eval()
        return self

    def audio_tokens(self, sound: Tensor) -> Tensor:
        """Stored levels (B, T, M) uint8, or features (B, S, H) -> audio tokens (B, S, D)."""
        if self.hears_features:
            return self.audio_projection(self.audio_norm(sound.float().transpose(1, 2)).transpose(1, 2))
        image = (sound.float() / 127.5 - 1).transpose(1, 2)[:, None]
        features = self.audio_encoder(image).permute(0, 3, 2, 1)  # (B, T', M', C)
        return self.audio_projection(features.flatten(1, 2) if self.every_position else features.flatten(2))

    def lyrics_tokens(self, lyrics: Tensor, num_tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Lyric tokens (B, L, D) and which of them are real (B, L); a track without lyrics has one, the null token."""
        position = torch.arange(lyrics.shape[1], device=lyrics.device)
        mask = position < num_tokens.clamp(min=1)[:, None]
        hidden = self.lyrics_projection(self.hidden(lyrics, mask))
        return torch.where((num_tokens > 0)[:, None, None], hidden, self.null_token), mask

    def hidden(self, lyrics: Tensor, mask: Tensor) -> Tensor:
        """The lyrics encoder's outputs (B, L, H), stored or computed from tokens (B, L)."""
        if lyrics.is_floating_point():
            return lyrics.float()
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            return self.encoded(lyrics, mask)

    def encoded(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """The lyrics encoder's states (B, L, H), each from the window in whose middle its token stands nearest."""
        length, size = tokens.shape[1], self.window
        if not 0 < size < length:
            return self.lyrics_encoder(input_ids=tokens, attention_mask=mask.long()).last_hidden_state
        step, number = (size - 2) // 2, mask.sum(1, keepdim=True)
        ends = tokens[:, :1], tokens.gather(1, number - 1)  # [CLS] and [SEP]
        position, states = torch.arange(length, device=tokens.device)[None], None
        for start in range(0, length - size + step, step):
            inner = tokens[:, start + 1 : start + size - 1]
            words = (number - 2 - start).clamp(0, size - 2)  # of this window
            needed = (number - 2 > start - step + size - 2) | (start == 0)  # the window before does not hold the rest
            place = torch.arange(inner.shape[1] + 2, device=tokens.device)[None]
            window = torch.cat([ends[0], inner, ends[1]], 1).where(place != words + 1, ends[1])
            real = (needed & (place <= words + 1) & (place < number)) | (place == 0)
            own = self.lyrics_encoder(input_ids=window, attention_mask=real.long()).last_hidden_state
            after = F.pad(own, (0, 0, start, max(0, length - start - own.shape[1])))[:, :length]
            nearer = (position > start + step // 2) | (position >= number - 1)
            states = after if states is None else torch.where((nearer & needed)[:, :, None], after, states)
        assert states is not None
        return states

    def contrast(self, audio: Tensor, lyrics: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """g_a(E_a) and g_l(E_l) of (5) and (6)."""
        embeddings = self.audio_contrastive(audio.mean(1)), self.lyrics_contrastive(masked_mean(lyrics, mask))
        if self.config.contrastive_normalise:
            return F.normalize(embeddings[0], dim=1), F.normalize(embeddings[1], dim=1)
        return embeddings

    def fuse(self, audio: Tensor, lyrics: Tensor, mask: Tensor) -> Tensor:
        """The fused vector (B, D)."""
        if self.config.fusion == "scma":
            return self.cross_attention(audio, lyrics, mask)
        pooled = {"audio": audio.mean(1), "lyrics": masked_mean(lyrics, mask)}
        names = ("audio", "lyrics") if self.config.fusion == "concat" else (self.config.fusion,)
        return self.join(torch.cat([pooled[name] for name in names], dim=1))

    def classify(self, fused: Tensor) -> Tensor:
        """Logits (B, G)."""
        if self.genre_graph is None:
            logits = self.genre_vectors(fused)
        else:
            logits = fused @ self.genre_graph().T / math.sqrt(self.config.width)
        return logits if self.genre_bias is None else logits + self.genre_bias

    def forward(self, sound: Tensor, lyrics: Tensor, num_tokens: Tensor) -> Outputs:
        """A batch: sound as spectrogram (B, T, M) uint8 or as the audio encoder's outputs (B, S, H), lyrics as tokens
        (B, L) or as the lyrics encoder's outputs (B, L, H), and num_tokens (B,), 0 for no lyrics."""
        audio = self.audio_tokens(sound)
        if not self.reads:
            lyrics = torch.zeros(lyrics.shape[0], 1, self.lyrics_projection.in_features, device=lyrics.device)
        tokens, mask = self.lyrics_tokens(lyrics, num_tokens)
        embeddings = self.contrast(audio, tokens, mask)
        logits = self.classify(self.dropout(self.fuse(audio, tokens, mask)))
        if self.wide is not None and not self.training:
            logits = (1 - self.config.wide) * logits + self.config.wide * self.wide(
                torch.cat([*pooled_sound(sound.float()), pooled_words(self.hidden(lyrics, mask), num_tokens)], dim=1)
            )
        return Outputs(logits, *embeddings, self.log_scale.clamp(max=MAX_LOG_SCALE))


def pooled_sound(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation over time of features (B, S, H)."""
    return features.mean(1), features.std(1, correction=0)


def pooled_words(hidden: Tensor, num_tokens: Tensor) -> Tensor:
    """Mean of hidden (B, L, H) over the real tokens; 0 without lyrics."""
    real = torch.arange(hidden.shape[1], device=hidden.device) < num_tokens[:, None]
    return (hidden * real[..., None]).sum(1) / num_tokens.clamp(min=1)[:, None]


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean of x (B, L, D) over the true positions of mask (B, L)."""
    weight = mask[..., None].to(x.dtype)
    return (x * weight).sum(1) / weight.sum(1)
