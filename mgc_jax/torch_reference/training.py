"""The losses (5) to (7) and one training step, as a PyTorch user writes them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from mgc_jax.torch_reference.model import GenreClassifier


def contrastive_loss(audio: Tensor, lyrics: Tensor, log_scale: Tensor, has_lyrics: Tensor) -> Tensor:
    """L_AL (5)(6) over the tracks that have lyrics: audio and lyrics (B, D), has_lyrics (B,) bool."""
    similarity = log_scale.exp() * audio[has_lyrics] @ lyrics[has_lyrics].T
    if len(similarity) < 2:
        return similarity.sum() * 0.0
    own = torch.arange(len(similarity), device=similarity.device)
    return (F.cross_entropy(similarity, own) + F.cross_entropy(similarity.T, own)) / 2


class Trainer:
    """AdamW with clipping, warm-up and halving around a :class:`GenreClassifier`.

    Args:
        contrastive_weight: lambda of (7).
        clip_norm: of all gradients together; 0 for none.
        reduction: of the cross-entropy over genres, ``sum`` or ``mean``.
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
        reduction: str = "sum",
        fused: bool = False,
    ):
        self.model, self.contrastive_weight, self.clip_norm = model.train(), contrastive_weight, clip_norm
        self.reduction = reduction
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in self.parameters if p.ndim > 1], "weight_decay": weight_decay},
            {"params": [p for p in self.parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=learning_rate, fused=fused)

        def factor(step: int) -> float:
            return min(1.0, (step + 1) / max(warmup_steps, 1)) * 0.5 ** (step // halve_every_steps)

        self.schedule = LambdaLR(self.optimiser, factor)

    def losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The batch's ``loss`` (7), ``bce`` and ``contrastive``; rows of ``weight`` 0 only pad it."""
        real = batch["weight"] > 0
        out = self.model(batch["spectrogram"], batch["tokens"], batch["num_tokens"])
        contrastive = contrastive_loss(
            out.audio_embedding, out.lyrics_embedding, out.log_scale, (batch["num_tokens"] > 0) & real
        )
        bce = F.binary_cross_entropy_with_logits(out.logits[real], batch["labels"][real].float())
        if self.reduction == "sum":
            bce = bce * out.logits.shape[1]
        loss = self.contrastive_weight * contrastive + (1 - self.contrastive_weight) * bce
        return {"loss": loss, "bce": bce, "contrastive": contrastive}

    def step(self, batch: Mapping[str, Tensor]) -> dict[str, float]:
        """One update; returns the losses before it."""
        self.optimiser.zero_grad(set_to_none=True)
        losses = self.losses(batch)
        losses["loss"].backward()
        if self.clip_norm:
            nn.utils.clip_grad_norm_(self.parameters, self.clip_norm)
        self.optimiser.step()
        self.schedule.step()
        return {name: value.item() for name, value in losses.items()}
