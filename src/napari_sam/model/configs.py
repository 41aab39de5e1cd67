"""The shapes of a network, as values that travel in a checkpoint's metadata."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class ViTConfig:
    """The official image encoder's shape.

    Attributes
    ----------
    image_size, patch_size : int
        Side of the square input and of a patch, pixels.
    embed_dim, depth, num_heads, mlp_dim : int
        Transformer width, blocks, heads, and perceptron width.
    window_size : int
        Side of an attention window, tokens.
    global_attn_indexes : tuple of int
        Blocks that attend over the whole grid.
    out_channels : int
        Channels of the embedding.
    """

    image_size: int
    embed_dim: int
    depth: int
    num_heads: int
    mlp_dim: int
    global_attn_indexes: tuple[int, ...]
    window_size: int = 14
    patch_size: int = 16
    out_channels: int = 256

    @property
    def grid_size(self) -> int:
        """Tokens along one side of the input."""
        return self.image_size // self.patch_size

    @property
    def stride(self) -> int:
        """Input pixels along one side of a token."""
        return self.patch_size


@dataclass(frozen=True, kw_only=True)
class ConvEncoderConfig:
    """The shape of the small convolutional encoder; its input may have any size.

    Attributes
    ----------
    channels : tuple of int
        Widths at strides 2, 4, 8, 16 and 32.
    blocks : tuple of int
        Residual blocks at each stride.
    out_channels : int
        Channels of the embedding, which lies at stride 8.
    position_range : int
        Pixels that span the unit interval of the positional encoding.
    max_size : int
        Longest side that one embedding takes, pixels; larger images are shrunk to it.
    """

    channels: tuple[int, ...] = (32, 64, 128, 192, 256)
    blocks: tuple[int, ...] = (1, 2, 2, 2, 2)
    out_channels: int = 128
    position_range: int = 256
    max_size: int = 1024
    stride: int = 8


@dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    """The shape of prompt encoder and mask decoder.

    Attributes
    ----------
    depth, num_heads, mlp_dim, attention_dim : int
        Of the two-way transformer; `attention_dim` is the inner width of cross attention.
    num_multimask_outputs : int
        Candidates for an ambiguous prompt.
    iou_head_depth, iou_head_hidden_dim : int
        Of the IoU head.
    mask_in_chans : int
        Channels inside the encoder of mask prompts.
    local_prompts : bool
        Whether the decoder also sees image features under each click and maps of the prompts.
    mask_scorer : bool
        Whether predicted IoU also looks at the finished masks.
    """

    depth: int = 2
    num_heads: int = 8
    mlp_dim: int = 2048
    attention_dim: int = 128
    num_multimask_outputs: int = 3
    iou_head_depth: int = 3
    iou_head_hidden_dim: int = 256
    mask_in_chans: int = 16
    local_prompts: bool = False
    mask_scorer: bool = False


@dataclass(frozen=True, kw_only=True)
class UnetrConfig:
    """The shape of an instance decoder of micro-sam.

    Attributes
    ----------
    widths : tuple of int
        Channels at each level, the coarsest first; each has twice the side of the one before.
    transposed : bool
        Whether levels are enlarged by transposed convolutions, or else bilinearly.
    """

    widths: tuple[int, ...] = (512, 256, 128, 64)
    transposed: bool = True


@dataclass(frozen=True, kw_only=True)
class SamConfig:
    """The shape of a whole network.

    Attributes
    ----------
    encoder : ViTConfig or ConvEncoderConfig
        Image encoder.
    decoder : DecoderConfig
        Prompt encoder and mask decoder.
    instances : bool
        Whether there is an instance decoder (only with the convolutional encoder).
    unetr : UnetrConfig or None
        The instance decoder of a model of micro-sam (only with the official encoder).
    instance_stride : int
        Input pixels along one side of an instance map's pixel.
    sizes, kinds : bool
        Whether there are heads for the typical object diameter, and for embeddings of kinds (both
        only with the convolutional encoder).
    rater, instance_rater : bool
        Whether ratings are corrected by what was seen of a mask in use, and instances chosen by
        what is seen of them.
    object_diameter : float or None
        Diameter of an object, in input pixels, at which the network sees best; None where an image
        is always resized to the network's own size.
    """

    encoder: ViTConfig | ConvEncoderConfig
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    instances: bool = False
    unetr: UnetrConfig | None = None
    instance_stride: int = 2
    sizes: bool = False
    kinds: bool = False
    rater: bool = False
    instance_rater: bool = False
    object_diameter: float | None = None

    @property
    def has_fixed_input(self) -> bool:
        """Whether every image is resized to the network's own size, as by the official ones."""
        return isinstance(self.encoder, ViTConfig)

    @property
    def centred_prompts(self) -> bool:
        """Whether the middle of an image's pixel is the middle of what it becomes in the input.

        The official networks' points are numbers of pixels, scaled: half a pixel further to the
        left and top.
        """
        return not self.has_fixed_input

    def to_json(self) -> str:
        """Return the config as text for a checkpoint's metadata."""
        kind = "vit" if isinstance(self.encoder, ViTConfig) else "conv"
        return json.dumps({**asdict(self), "encoder_kind": kind}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> SamConfig:
        """Rebuild a config from `to_json`.

        Raises
        ------
        ValueError
            If the text is not such a config.
        """
        try:
            values: dict[str, Any] = json.loads(text)
            encoder_type = {"vit": ViTConfig, "conv": ConvEncoderConfig}[values.pop("encoder_kind")]
            encoder = encoder_type(**_tuples(values.pop("encoder")))
            decoder = DecoderConfig(**values.pop("decoder"))
            unetr = values.pop("unetr", None)
            if unetr is not None:
                unetr = UnetrConfig(**_tuples(unetr))
            return cls(encoder=encoder, decoder=decoder, unetr=unetr, **values)
        except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
            raise ValueError(
                f"The checkpoint's metadata hold no network config this version knows ({error!r})"
            ) from error


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
