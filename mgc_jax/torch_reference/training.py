"""The losses (5) to (7) and one training step, as a PyTorch user writes them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from mgc_jax.torch_reference.model import GenreClassifier

IGNORED = -100


def contrastive_loss(audio: Tensor, lyrics: Tensor, log_scale: Tensor, has_lyrics: Tensor) -> Tensor:
    """L_AL (5)(6) over the tracks that have lyrics: audio and lyrics (B, D), has_lyrics (B,) bool.

    Without indexing by a mask, for which a GPU would have to wait.
    """
    similarity = log_scale.exp() * audio @ lyrics.T
    similarity = similarity.masked_fill(~(has_lyrics[:, None] & has_lyrics), -1e9)
    own = torch.arange(len(similarity), device=similarity.device).masked_fill(~has_lyrics, IGNORED)
    both = sum(F.cross_entropy(s, own, ignore_index=IGNORED, reduction="sum") for s in (similarity, similarity.T))
    return both / (2 * has_lyrics.sum().clamp(min=1))


class Trainer:
    """AdamW with clipping, warm-up and halving around a :class:`GenreClassifier`.

    Args:
        contrastive_weight: lambda of (7).
        encoder_rate: of the lyrics encoder, as a share of ``learning_rate``.
        clip_norm: of all gradients together; 0 for none.
        reduction: of the cross-entropy over genres, ``sum`` or ``mean``.
        fused: one kernel for AdamW.
        autocast: what the model computes in, or None for the weights' own float32.
    """

    def __init__(
        self,
        model: GenreClassifier,
        *,
        contrastive_weight: float,
        learning_rate: float,
        warmup_steps: int,
        halve_every_steps: int,
        weight_decay: float,
        clip_norm: float,
        encoder_rate: float,
        reduction: str,
        fused: bool = False,
        autocast: torch.dtype | None = None,
    ):
        self.model, self.contrastive_weight, self.clip_norm = model.train(), contrastive_weight, clip_norm
        self.reduction, self.autocast = reduction, autocast
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        encoder = set(model.lyrics_encoder.parameters())
        groups = [
            {
                "params": [p for p in self.parameters if (p in encoder) == inside and (p.ndim > 1) == decays],
                "weight_decay": weight_decay if decays else 0.0,
                "lr": learning_rate * (encoder_rate if inside else 1.0),
            }
            for inside in (False, True)
            for decays in (True, False)
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=learning_rate, fused=fused)

        def factor(step: int) -> float:
            return min(1.0, (step + 1) / max(warmup_steps, 1)) * 0.5 ** (step // halve_every_steps)

        self.schedule = LambdaLR(self.optimiser, factor)

    def losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The batch's ``loss`` (7), ``genre_loss`` and ``contrastive``; rows of ``weight`` 0 only pad it."""
        weight = batch["weight"]
        with torch.autocast(weight.device.type, self.autocast, enabled=self.autocast is not None):
            lyrics = batch["lyrics_features"] if "lyrics_features" in batch else batch["tokens"]
            sound = batch["audio_features"] if "audio_features" in batch else batch["spectrogram"]
            out = self.model(sound, lyrics, batch["num_tokens"])
        has_lyrics = (batch["num_tokens"] > 0) & (weight > 0)
        audio, lyrics = out.audio_embedding.float(), out.lyrics_embedding.float()
        contrastive = float(self.model.reads) * contrastive_loss(audio, lyrics, out.log_scale, has_lyrics)
        each = F.binary_cross_entropy_with_logits(out.logits.float(), batch["labels"].float(), reduction="none")
        each = each.sum(1) if self.reduction == "sum" else each.mean(1)
        genre = (each * weight).sum() / weight.sum().clamp(min=1)
        loss = self.contrastive_weight * contrastive + (1 - self.contrastive_weight) * genre
        return {"loss": loss, "genre_loss": genre, "contrastive": contrastive}

    def update(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """One update; returns the losses before it, on the device."""
        self.optimiser.zero_grad(set_to_none=True)
        losses = self.losses(batch)
        losses["loss"].backward()
        if self.clip_norm:
            nn.utils.clip_grad_norm_(self.parameters, self.clip_norm)
        self.optimiser.step()
        self.schedule.step()
        return losses

    def step(self, batch: Mapping[str, Tensor]) -> dict[str, float]:
        """:meth:`update`, with the losses as numbers."""
        return {name: value.item() for name, value in self.update(batch).items()}
