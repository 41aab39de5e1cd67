"""Segment Anything as one module: encode an image once, decode any number of prompts."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_sam.model.configs import SamConfig, ViTConfig
from napari_sam.model.conv_encoder import ConvImageEncoder
from napari_sam.model.image_encoder import ImageEncoderViT
from napari_sam.model.instance_decoder import InstanceDecoder
from napari_sam.model.kind_decoder import KindDecoder
from napari_sam.model.local_prompts import LocalPrompts
from napari_sam.model.mask_decoder import MaskDecoder
from napari_sam.model.prompt_encoder import PromptEncoder
from napari_sam.model.size_decoder import SizeDecoder, mean_votes

_CONSTANTS = {"pixel_mean": (123.675, 116.28, 103.53), "pixel_std": (58.395, 57.12, 57.375)}
"""Mean and standard deviation of the training images' red, green and blue, of 0 ... 255."""


class EncodedImage(NamedTuple):
    """What the image encoder knows of B images.

    Attributes
    ----------
    features : Tensor
        (B, C, h, w).
    skips : tuple of Tensor
        (B, C / 4, 2 h, 2 w) and (B, C / 8, 4 h, 4 w), or empty.
    """

    features: Tensor
    skips: tuple[Tensor, ...] = ()


class PromptBatch(NamedTuple):
    """The prompts of B objects, in pixels (x, y) of the network's input.

    Attributes
    ----------
    points, labels : Tensor or None
        (B, N, 2), and (B, N) of 1 foreground, 0 background, -1 padding.
    boxes : Tensor or None
        (B, 4), (x_min, y_min, x_max, y_max).
    masks : Tensor or None
        (B, 1, 4 h, 4 w) low-resolution logits.
    """

    points: Tensor | None = None
    labels: Tensor | None = None
    boxes: Tensor | None = None
    masks: Tensor | None = None

    @property
    def n_objects(self) -> int:
        """The number of objects, B."""
        return next((len(given) for given in self if given is not None), 1)

    def shifted(self, origin: Tensor) -> PromptBatch:
        """Return the prompts with origin (B, 2) added to their coordinates."""
        points = None if self.points is None else self.points + origin[:, None]
        boxes = None if self.boxes is None else self.boxes + origin.repeat(1, 2)
        return self._replace(points=points, boxes=boxes)


class Sam(nn.Module):
    """The whole network.

    Parameters
    ----------
    config : SamConfig
        Its shape. The weights are random until a checkpoint is loaded.
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, config: SamConfig) -> None:
        super().__init__()
        encoder, decoder = config.encoder, config.decoder
        dim = encoder.out_channels
        self.config = config
        self.image_encoder: nn.Module
        if isinstance(encoder, ViTConfig):
            self.image_encoder = ImageEncoderViT(encoder)
            span = encoder.image_size
        else:
            self.image_encoder = ConvImageEncoder(encoder)
            span = encoder.position_range
        self.prompt_encoder = PromptEncoder(dim, span, encoder.stride, decoder.mask_in_chans)
        self.mask_decoder = MaskDecoder(dim, decoder)
        self.local_prompts = LocalPrompts(dim, encoder.stride) if decoder.local_prompts else None
        self.instance_decoder = (
            InstanceDecoder(dim, config.instance_stride) if config.instances else None
        )
        self.size_decoder = SizeDecoder(dim) if config.sizes else None
        self.kind_decoder = KindDecoder(dim) if config.kinds else None
        for name, values in _CONSTANTS.items():
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)

    def reset_constants(self) -> None:
        """Set the buffers that no checkpoint holds (needed after building on the meta device)."""
        for name, values in _CONSTANTS.items():
            getattr(self, name).copy_(torch.tensor(values)[:, None, None])

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.pixel_mean.device

    def normalise(self, pixels: Tensor) -> Tensor:
        """Scale pixels (B, 3, H, W) from 0 ... 255 to what the encoders were trained on."""
        return (pixels - self.pixel_mean) / self.pixel_std

    def encode(self, pixels: Tensor) -> EncodedImage:
        """Encode normalised and padded pixels (B, 3, H, W)."""
        return EncodedImage(*self.image_encoder(pixels))

    def decode(
        self, image: EncodedImage, prompts: PromptBatch, origin: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Decode B objects.

        Parameters
        ----------
        image : EncodedImage
            Of one image for all objects, or of B images, one for each.
        prompts : PromptBatch
            In pixels from the corner of that image.
        origin : Tensor, optional
            (B, 2) position (x, y) of each image's corner in the positional encoding; zero by
            default. Training moves it, so that positions mean the same everywhere.

        Returns
        -------
        logits, predicted_iou : Tensor
            (B, 1 + candidates, 4 h, 4 w) and (B, 1 + candidates).
        """
        count = max(prompts.n_objects, len(image.features))
        placed = prompts if origin is None else prompts.shifted(origin)
        sparse, dense = self.prompt_encoder(*placed)
        height, width = image.features.shape[-2:]
        features = image.features + dense
        skips = image.skips
        local = self.local_prompts
        if local is not None:
            if prompts.points is not None and prompts.labels is not None:
                sparse = _with_samples(local, sparse, image, prompts.points, prompts.labels)
            on_tokens, on_skips = local(
                prompts.points, prompts.labels, prompts.boxes, (height, width), count
            )
            features = features + on_tokens
            skips = (skips[0] + on_skips, skips[1])
        positions = self.prompt_encoder.dense_positions(height, width, origin)
        features = features.expand(count, -1, -1, -1)
        decoded: tuple[Tensor, Tensor] = self.mask_decoder(
            features, positions, sparse.expand(count, -1, -1), skips or None
        )
        return decoded

    def instance_maps(self, image: EncodedImage) -> Tensor:
        """Predict the instance decoder's logits (B, 3, H, W), of the input's height and width.

        Raises
        ------
        ValueError
            If this network has no instance decoder.
        """
        if self.instance_decoder is None:
            raise ValueError("This model has no instance decoder; use mode='grid'")
        maps: Tensor = self.instance_decoder(image.features, image.skips)
        stride = self.config.instance_stride
        if stride == 1:
            return maps
        return functional.interpolate(maps, scale_factor=float(stride), mode="bilinear")

    def kind_map(self, image: EncodedImage) -> Tensor:
        """Embed the tokens so that objects of one kind lie together, unit vectors (B, 32, h, w).

        Raises
        ------
        ValueError
            If this network has no kind decoder.
        """
        if self.kind_decoder is None:
            raise ValueError("This model has no kind decoder; compare its image features instead")
        vectors: Tensor = self.kind_decoder(image.features)
        return vectors

    def size_votes(self, image: EncodedImage, shape: tuple[int, int]) -> Tensor:
        """Judge how large the objects of B images are.

        Parameters
        ----------
        image : EncodedImage
            Of the images.
        shape : (int, int)
            Height and width of the images without padding, pixels.

        Returns
        -------
        Tensor
            (B, bins) log probabilities of the typical diameter; `bin_octaves` tells what each bin
            stands for.

        Raises
        ------
        ValueError
            If this network has no size decoder.
        """
        if self.size_decoder is None:
            raise ValueError("This model has no size decoder; give an object_diameter")
        return mean_votes(self.size_decoder(image.features), shape)


def _with_samples(
    local: LocalPrompts, sparse: Tensor, image: EncodedImage, points: Tensor, labels: Tensor
) -> Tensor:
    """Add to the tokens of the points the image features under them."""
    levels = (image.features, *image.skips)
    if len(image.features) == 1 and len(points) > 1:
        flat = local.sample(levels, points.reshape(1, -1, 2), labels.reshape(1, -1))
        sampled = flat.reshape(*points.shape[:2], -1)
    else:
        sampled = local.sample(levels, points, labels)
    count = points.shape[1]
    return torch.cat([sparse[:, :count] + sampled, sparse[:, count:]], dim=1)
