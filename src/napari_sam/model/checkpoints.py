"""Read and write weights: official files, files derived from them, and our own safetensors."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from napari_sam.model.configs import DecoderConfig, SamConfig, ViTConfig
from napari_sam.model.first_values import no_first_values
from napari_sam.model.sam import Sam
from napari_sam.model.unetr_decoder import unetr_config
from napari_sam.whole_files import replacing

FORMAT = "napari-sam"
_NESTED = ("model", "model_state", "state_dict")
_DECODER = "instance_decoder."
_MICRO_SAM_DECODER = "decoder_state"
_PREFIXES = ("module.", "sam.")
_SHOWN = 8


class CheckpointError(ValueError):
    """A file does not hold weights that this version can load; the message says why."""


def read_checkpoint(path: str | Path) -> Sam:
    """Build the network that a checkpoint holds.

    Parameters
    ----------
    path : str or Path
        A safetensors file, or a ``torch.save`` of a state dict, bare or nested under ``model``,
        ``model_state`` or ``state_dict``. No code in the file is ever run. The instance decoder of
        a model of micro-sam may lie in the file, under ``decoder_state``, or in one beside it
        whose name has ``_decoder`` before the suffix.

    Returns
    -------
    Sam
        In float32 on the CPU, in evaluation mode. Its shape is that of the tensors.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    CheckpointError
        If it is no checkpoint, or lacks or adds tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"No checkpoint at {str(path)!r}")
    if path.suffix.lower() == ".safetensors":
        tensors, metadata = _read_safetensors(path)
        tensors = _without_prefixes(tensors)
    else:
        tensors, metadata = _read_torch(path), {}
    model = _without_values(tensors, metadata, path)
    _check_names(model, tensors, path)
    model = model.to_empty(device="cpu")
    model.load_state_dict(
        {
            name: tensor.float() if tensor.is_floating_point() else tensor
            for name, tensor in tensors.items()
        }
    )
    model.reset_constants()
    return model.eval()


def write_checkpoint(
    model: Sam, path: str | Path, *, half: bool = False, metadata: Mapping[str, str] | None = None
) -> None:
    """Write a network as safetensors, with its config in the metadata.

    Parameters
    ----------
    model : Sam
        The network.
    path : str or Path
        Ends in ``.safetensors``; replaced as a whole once the new file is complete.
    half : bool
        Store floating-point tensors as float16.
    metadata : mapping of str to str, optional
        More to keep with the weights.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    tensors = {}
    for name, tensor in model.state_dict().items():
        stored = tensor.detach().cpu()
        if half and stored.is_floating_point():
            stored = stored.half()
        tensors[name] = stored.contiguous()
    text = {"format": FORMAT, "config": model.config.to_json(), **(metadata or {})}
    try:
        with replacing(path) as partial:
            save_file(tensors, partial, metadata=text)
    except SafetensorError as error:
        raise OSError(f"{str(path)!r} could not be written: {error}") from error


def model_digest(model: Sam) -> str:
    """Return a sha256, in hexadecimal, of a network's shape and weights."""
    digest = hashlib.sha256(model.config.to_json().encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except SafetensorError as error:
        raise CheckpointError(f"{path.name} is damaged or no safetensors file: {error}") from error


def decoder_beside(path: Path) -> Path:
    """Return where the instance decoder of a model of micro-sam lies, if it has one of its own."""
    return path.with_name(f"{path.stem}_decoder{path.suffix}")


def _read_torch(path: Path) -> dict[str, Tensor]:
    content = _unpickled(path)
    tensors = _without_prefixes(_state_in(content, path))
    decoder: Mapping[str, Tensor] = {}
    if isinstance(content, Mapping) and isinstance(content.get(_MICRO_SAM_DECODER), Mapping):
        decoder = _tensors_in(content[_MICRO_SAM_DECODER])
    elif decoder_beside(path).is_file():
        decoder = _state_in(_unpickled(decoder_beside(path)), decoder_beside(path))
    return tensors | {
        _DECODER + name: value
        for name, value in decoder.items()
        if not name.startswith("encoder.")  # the same once more
    }


def _unpickled(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # what is no pickle ends in errors of any kind
        raise CheckpointError(
            f"{path.name} cannot be read as weights alone: it is damaged, or it holds code, which "
            "is never run; load a plain state dict or safetensors"
        ) from error


def _state_in(content: Any, path: Path) -> dict[str, Tensor]:
    for key in _NESTED:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path.name} holds a {type(content).__name__}, not a state dict")
    return _tensors_in(content)


def _tensors_in(state: Mapping[Any, Any]) -> dict[str, Tensor]:
    return {str(name): value for name, value in state.items() if isinstance(value, Tensor)}


def _without_prefixes(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    stripped = True
    while stripped:
        stripped = False
        for prefix in _PREFIXES:
            if tensors and all(name.startswith(prefix) for name in tensors):
                tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
                stripped = True
    ours = {"pixel_mean", "pixel_std"}
    return {name: value for name, value in tensors.items() if name not in ours}


def _without_values(tensors: dict[str, Tensor], metadata: dict[str, str], path: Path) -> Sam:
    """Build the network that tensors describe; its own have shapes alone."""
    try:
        config = _config(tensors, metadata, path)
        with torch.device("meta"), no_first_values():
            return Sam(config)
    except (IndexError, ZeroDivisionError, RuntimeError) as error:
        raise CheckpointError(
            f"{path.name} holds tensors whose shapes are those of no network ({error})"
        ) from error


def _config(tensors: dict[str, Tensor], metadata: dict[str, str], path: Path) -> SamConfig:
    try:
        if "config" in metadata:
            return SamConfig.from_json(metadata["config"])
        return config_from_tensors(tensors)
    except KeyError as error:
        raise CheckpointError(
            f"{path.name} is not a Segment Anything checkpoint: it has no tensor {error}"
        ) from error
    except ValueError as error:
        raise CheckpointError(f"{path.name}: {error}") from error


def config_from_tensors(tensors: Mapping[str, Tensor]) -> SamConfig:
    """Read a network's shape off the shapes of its tensors.

    Parameters
    ----------
    tensors : mapping of str to Tensor
        A state dict with the official names.

    Raises
    ------
    KeyError
        If a tensor that tells the shape is missing.
    """
    patch = tensors["image_encoder.patch_embed.proj.weight"]
    grid = tensors["image_encoder.pos_embed"].shape[1]
    depth = _count(tensors, r"image_encoder\.blocks\.(\d+)\.")
    spans = [_span(tensors, index) for index in range(depth)]
    windows = [span for span in spans if span != grid]
    embed_dim = patch.shape[0]
    head_dim = tensors["image_encoder.blocks.0.attn.rel_pos_h"].shape[1]
    encoder = ViTConfig(
        image_size=grid * patch.shape[-1],
        patch_size=patch.shape[-1],
        embed_dim=embed_dim,
        depth=depth,
        num_heads=embed_dim // head_dim,
        mlp_dim=tensors["image_encoder.blocks.0.mlp.lin1.weight"].shape[0],
        window_size=windows[0] if windows else grid,
        global_attn_indexes=tuple(index for index, span in enumerate(spans) if span == grid),
        out_channels=tensors["image_encoder.neck.0.weight"].shape[0],
    )
    instances = {
        name.removeprefix(_DECODER): value
        for name, value in tensors.items()
        if name.startswith(_DECODER)
    }
    unetr = unetr_config(instances) if instances else None
    return SamConfig(encoder=encoder, decoder=_decoder_config(tensors), unetr=unetr)


def _decoder_config(tensors: Mapping[str, Tensor]) -> DecoderConfig:
    decoder = "mask_decoder."
    layer = decoder + "transformer.layers.0."
    iou_head = decoder + "iou_prediction_head.layers."
    return DecoderConfig(
        depth=_count(tensors, r"mask_decoder\.transformer\.layers\.(\d+)\."),
        mlp_dim=tensors[layer + "mlp.lin1.weight"].shape[0],
        attention_dim=tensors[layer + "cross_attn_token_to_image.q_proj.weight"].shape[0],
        num_multimask_outputs=tensors[decoder + "mask_tokens.weight"].shape[0] - 1,
        iou_head_depth=_count(tensors, r"mask_decoder\.iou_prediction_head\.layers\.(\d+)\."),
        iou_head_hidden_dim=tensors[iou_head + "0.weight"].shape[0],
        mask_in_chans=tensors["prompt_encoder.mask_downscaling.3.weight"].shape[0],
    )


def _span(tensors: Mapping[str, Tensor], block: int) -> int:
    """Tokens along one side of a block's attention."""
    table = tensors[f"image_encoder.blocks.{block}.attn.rel_pos_h"]
    return (table.shape[0] + 1) // 2


def _count(tensors: Mapping[str, Tensor], pattern: str) -> int:
    matches = (re.match(pattern, name) for name in tensors)
    return len({match.group(1) for match in matches if match})


def _check_names(model: Sam, tensors: dict[str, Tensor], path: Path) -> None:
    expected = {name: tensor.shape for name, tensor in model.state_dict().items()}
    missing = sorted(expected.keys() - tensors.keys())
    added = sorted(tensors.keys() - expected.keys())
    wrong = sorted(
        f"{name} {tuple(tensors[name].shape)}, expected {tuple(shape)}"
        for name, shape in expected.items()
        if name in tensors and tensors[name].shape != shape
    )
    problems = [
        f"{title}: {_listed(names)}"
        for title, names in (("lacks", missing), ("adds", added), ("wrong shape", wrong))
        if names
    ]
    if problems:
        raise CheckpointError(
            f"{path.name} does not fit the network its tensors describe; it " + "; ".join(problems)
        )


def _listed(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
