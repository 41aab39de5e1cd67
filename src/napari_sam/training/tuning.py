"""Which weights of a network are trained, and low-rank adapters (LoRA, Hu et al. 2021)."""

from __future__ import annotations

import copy
import math
import re
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from napari_sam.model.image_encoder import Attention, ImageEncoderViT
from napari_sam.model.sam import Sam

_PATTERN = re.compile(r"all|decoder|heads|rater|instance_rater|(blocks|lora):([1-9]\d*)")


@dataclass(frozen=True)
class Tuning:
    """What is trained.

    Attributes
    ----------
    kind : str
        ``"all"``; ``"decoder"`` (everything but the image encoder); ``"heads"`` (what judges sizes
        and masks, with all features and masks as they are); ``"rater"`` (what judges masks by all
        that was seen in use, see `napari_sam.training.rating`) and ``"instance_rater"`` (what
        judges instances); ``"blocks"``, the decoder and
        the encoder's last blocks and neck; ``"lora"``, the decoder and adapters of the encoder's
        attention.
    count : int
        Blocks, or the adapters' rank.
    """

    kind: str
    count: int = 0

    @classmethod
    def parse(cls, text: str) -> Tuning:
        """Read ``"all"``, ``"decoder"``, ``"blocks:2"`` or ``"lora:8"``.

        Raises
        ------
        ValueError
            If the text is something else.
        """
        match = _PATTERN.fullmatch(text)
        if match is None:
            raise ValueError(
                "tune must be all, decoder, heads, rater, instance_rater, blocks:N or lora:N "
                "(N at least 1), got "
                f"{text!r}"
            )
        return cls(match[1] or text, int(match[2] or 0))


class LowRankAdapter(nn.Module):
    """A frozen linear map plus a trained one of low rank for queries and values.

    Parameters
    ----------
    base : Linear
        Of attention: maps to queries, keys and values side by side.
    rank : int
        Width of the bottleneck.
    """

    def __init__(self, base: nn.Linear, rank: int) -> None:
        super().__init__()
        self.base = base
        third = base.out_features // 3
        self.down = nn.Parameter(torch.empty(2, rank, base.in_features))
        self.up = nn.Parameter(torch.zeros(2, third, rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def change(self) -> Tensor:
        """Return what the adapter adds to the base's weight (3 * third, in)."""
        query, value = self.up @ self.down
        return torch.cat([query, torch.zeros_like(query), value])

    def forward(self, x: Tensor) -> Tensor:
        """Map x (..., in) to (..., out)."""
        inner = torch.einsum("...i,nri->n...r", x, self.down)
        query, value = torch.einsum("n...r,nor->n...o", inner, self.up)
        mapped: Tensor = self.base(x)
        return mapped + torch.cat([query, torch.zeros_like(query), value], -1)

    def merged(self) -> nn.Linear:
        """Return one linear map that does the same."""
        linear = copy.deepcopy(self.base)
        linear.weight.data += self.change().detach()
        return linear


def prepare(model: Sam, tuning: Tuning) -> None:
    """Freeze what is not trained (raters never are, here), and add adapters if asked for.

    Raises
    ------
    ValueError
        If this network's encoder has no blocks or attention to train.
    """
    for rater in filter(None, (model.rater, model.instance_rater)):
        rater.requires_grad_(requires_grad=False)
    if tuning.kind == "all":
        return
    if tuning.kind == "heads":
        _train_heads(model)
        return
    encoder = model.image_encoder
    encoder.requires_grad_(requires_grad=False)
    if tuning.kind == "decoder":
        return
    if not isinstance(encoder, ImageEncoderViT):
        raise ValueError(  # noqa: TRY004  the text is wrong for the network, not the type
            f"tune = {tuning.kind}:{tuning.count} needs a transformer encoder; this network has a "
            "convolutional one: use all or decoder"
        )
    if tuning.kind == "blocks":
        if tuning.count > len(encoder.blocks):
            raise ValueError(f"The encoder has {len(encoder.blocks)} blocks, not {tuning.count}")
        for module in (*list(encoder.blocks)[-tuning.count :], encoder.neck):
            module.requires_grad_(requires_grad=True)
        return
    for attention in _attentions(model):
        attention.qkv = LowRankAdapter(attention.qkv, tuning.count)  # type: ignore[assignment]


def _train_heads(model: Sam) -> None:
    model.requires_grad_(requires_grad=False)
    heads = (
        model.size_decoder,
        model.mask_decoder.iou_prediction_head,
        model.mask_decoder.mask_scorer,
    )
    for head in heads:
        if head is not None:
            head.requires_grad_(requires_grad=True)


def trains_heads(model: Sam) -> bool:
    """Tell whether anything is trained that needs no prompts: instances, sizes or kinds."""
    heads = (model.instance_decoder, model.size_decoder, model.kind_decoder)
    return any(p.requires_grad for head in heads if head is not None for p in head.parameters())


def merged(model: Sam) -> Sam:
    """Return a copy in which adapters are part of the weights they adapt."""
    model = copy.deepcopy(model)
    for attention in _attentions(model):
        if isinstance(attention.qkv, LowRankAdapter):
            attention.qkv = attention.qkv.merged()
    return model


def changing_names(model: Sam) -> list[str]:
    """Return the names of what a run must remember: trained parameters, and all buffers."""
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    return [name for name in model.state_dict() if name not in frozen]


def _attentions(model: Sam) -> list[Attention]:
    return [module for module in model.modules() if isinstance(module, Attention)]
