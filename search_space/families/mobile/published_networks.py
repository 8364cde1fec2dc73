"""The networks of which torchvision and timm publish weights, and how these become one of ours."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from foundation.errors import InputError, first_line
from search_space.families.mobile.architecture import MobileArchitecture
from search_space.families.mobile.backbones import (
    efficientnet_b0,
    mobilenetv2,
    mobilenetv3_large,
    mobilenetv3_small,
    mobilenetv4_conv_large,
    mobilenetv4_conv_medium,
    mobilenetv4_conv_small,
)
from search_space.families.mobile.matching import can_match
from search_space.families.mobile.network import MobileNetwork
from search_space.network import build

_FILE = "model.safetensors"


class Known(NamedTuple):
    """A network of which a library publishes weights.

    Attributes:
        library: `torchvision` or `timm`.
        told: its name in messages, with what tells its kind.
        make: our architecture of it.
        weights: what the library calls it: torchvision its weights, timm its model.
        eps: what its batch normalisations add to variances.
    """

    library: str
    told: str
    make: Callable[[], MobileArchitecture]
    weights: str
    eps: float = 1e-5


KNOWN = (
    Known("torchvision", "MobileNetV2 (relu6)", mobilenetv2, "MobileNet_V2_Weights"),
    Known("torchvision", "EfficientNet-B0 (silu)", efficientnet_b0, "EfficientNet_B0_Weights"),
    Known("torchvision", "MobileNetV3-Large (hardswish)", mobilenetv3_large, "MobileNet_V3_Large_Weights", 1e-3),
    Known("torchvision", "MobileNetV3-Small (hardswish)", mobilenetv3_small, "MobileNet_V3_Small_Weights", 1e-3),
    Known("timm", "MobileNetV4-Conv-S (relu)", mobilenetv4_conv_small, "mobilenetv4_conv_small"),
    Known("timm", "MobileNetV4-Conv-M (relu)", mobilenetv4_conv_medium, "mobilenetv4_conv_medium"),
    Known("timm", "MobileNetV4-Conv-L (relu)", mobilenetv4_conv_large, "mobilenetv4_conv_large"),
)


def known(architecture: MobileArchitecture, library: str) -> Known:
    """The library's network of an architecture's kind, of several sizes the nearest.

    Raises InputError if it publishes none of that kind, or none whose stages stand for the architecture's.
    """
    published = {one: one.make() for one in KNOWN if one.library == library}
    fitting = {one: own for one, own in published.items() if _ends(own) == _ends(architecture)}
    blocks = {stage.block for stage in architecture.stages}
    if not blocks <= {stage.block for own in fitting.values() for stage in own.stages}:
        fitting = {}
    if not fitting:
        told = ", ".join(f"{one.told} of {one.library}" for one in KNOWN)
        raise InputError(
            f"`init` {library}: no published weights for {', '.join(sorted(blocks))} blocks with "
            f"{architecture.activation}; known: {told}"
        )
    found = [one for one, own in fitting.items() if can_match(own, architecture)]
    if not found:
        stages = len(next(iter(fitting.values())).stages)
        raise InputError(
            f"`init` {library}: the network has {len(architecture.stages)} stages, the published one {stages}; use "
            "`init` scratch"
        )
    return min(found, key=lambda one: abs(math.log(_channels(fitting[one]) / _channels(architecture))))


def _ends(architecture: MobileArchitecture) -> tuple[object, ...]:
    """What tells networks of one kind from others, their blocks aside."""
    pooled = architecture.pooled_width is not None, architecture.pooled_norm
    return architecture.activation, architecture.stem_width is not None, *pooled


def _channels(architecture: MobileArchitecture) -> int:
    return sum(stage.width * stage.depth for stage in architecture.stages)


def source(architecture: MobileArchitecture, library: str) -> MobileArchitecture:
    """The published architecture of the architecture's kind. Raises InputError if there are no weights of one."""
    return known(architecture, library).make()


def network(architecture: MobileArchitecture, library: str, state: dict[str, Tensor] | None = None) -> MobileNetwork:
    """The library's ImageNet network of the architecture's kind, with 1000 classes, as one of ours.

    What its batch normalisations add to variances is part of their variances here, where it is another number.

    Args:
        state: a state dictionary as the library has it; by default the published one, which is downloaded once.

    Raises InputError for a kind that the library has no weights of, or if they cannot be fetched.
    """
    found = known(architecture, library)
    made = build(found.make())
    assert isinstance(made, MobileNetwork)
    if state is None:
        state = _from_torchvision(found) if library == "torchvision" else _from_timm(found)
    own = made.state_dict()
    if len(own) != len(state):
        raise InputError(f"`init` {library}: {len(state)} tensors, expected {len(own)}: not the network meant")
    # Both definitions hold the same tensors in the same order; shapes are checked on loading. A linear layer's weights
    # may be those of a 1×1 convolution.
    tensors = (
        theirs.view(mine.shape) if theirs.numel() == mine.numel() else theirs
        for mine, theirs in zip(own.values(), state.values(), strict=True)
    )
    made.load_state_dict(dict(zip(own, tensors, strict=True)))
    for norm in made.modules():
        if isinstance(norm, nn.BatchNorm2d) and norm.running_var is not None:
            norm.running_var += found.eps - norm.eps
    return made


def at_hand(architecture: MobileArchitecture) -> tuple[str, str]:
    """What `auto` stands for, `torchvision`, `timm` or `scratch`, and why. Nothing is downloaded."""
    library = "timm" if architecture.pooled_norm else "torchvision"
    try:
        found = known(architecture, library)
    except InputError as error:
        return "scratch", str(error).removeprefix(f"`init` {library}: ").partition(";")[0]
    if library == "timm":
        if _in_timms_cache(found):
            return "timm", f"published weights of {found.weights} are in timm's cache"
        return "scratch", f"no published weights of {found.weights} in timm's cache; `init` timm downloads them"
    file = _cache() / Path(_url(found)).name
    if file.is_file():
        return "torchvision", f"published weights are in {file}"
    return "scratch", f"no published weights in {file}; `init` torchvision downloads them"


def _from_torchvision(found: Known) -> dict[str, Tensor]:
    url = _url(found)
    try:
        # Not torchvision's own way: that one unpickles.
        return dict(torch.hub.load_state_dict_from_url(url, weights_only=True, check_hash=True))
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"`init` torchvision: cannot fetch {url} ({error}); put the file into {_cache()}, or use `init` scratch"
        ) from None


def _url(found: Known) -> str:
    from torchvision import models

    return str(getattr(models, found.weights).DEFAULT.url)


def _cache() -> Path:
    """Where torch keeps what it has downloaded."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def _from_timm(found: Known) -> dict[str, Tensor]:
    """From safetensors in the Hugging Face hub's cache, where timm has them as well; in the order of timm's modules."""
    try:
        import timm
        from huggingface_hub import hf_hub_download
    except ImportError:
        raise InputError("`init` timm: timm is not installed; get it by: pip install timm") from None
    repository = _repository(found)
    try:
        tensors = load_file(hf_hub_download(repository, _FILE))
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(
            f"`init` timm: cannot fetch {_FILE} of {repository} ({first_line(error)}); use `init` scratch"
        ) from None
    with torch.device("meta"):
        names = list(timm.create_model(found.weights).state_dict())
    # Files do without the counts of batches that norms have seen.
    nothing = torch.zeros((), dtype=torch.int64)
    lacking = [name for name in names if name not in tensors and not name.endswith("num_batches_tracked")]
    if lacking:
        raise InputError(f"`init` timm: {_FILE} of {repository} lacks {lacking[0]}: not the network meant")
    return {name: tensors.get(name, nothing) for name in names}


def _in_timms_cache(found: Known) -> bool:
    try:
        from huggingface_hub import try_to_load_from_cache

        return isinstance(try_to_load_from_cache(_repository(found), _FILE), str)
    except ImportError:
        return False


def _repository(found: Known) -> str:
    """Of the network's weights in the hub, by timm's own list."""
    from timm.models import get_pretrained_cfg

    config = get_pretrained_cfg(found.weights)
    assert config is not None
    return str(config.hf_hub_id)
