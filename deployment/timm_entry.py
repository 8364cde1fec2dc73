"""CoordNAS networks in timm: importing this module registers the model `coordnas`.

    import timm
    import deployment.timm_entry

    model = timm.create_model("local-dir:FOLDER", pretrained=True).eval()
    prepare = deployment.timm_entry.preparation("FOLDER")
    logits = model(prepare("picture.jpg")[None])

loads what `retrain.py --export timm` wrote, and prepares pictures as in this project's evaluation, pixel by pixel.
timm's own transforms, by `timm.data.resolve_model_data_config(model)`, cut the same square out to within a pixel.
timm's `num_classes`, `global_pool`, `drop_rate`, `features_only` and `out_indices` work as they do for its own models.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from timm.models import build_model_with_cfg, register_model
from torch import Tensor, nn

from foundation.errors import InputError
from search_space.architecture import Architecture
from search_space.network import Network, bare, check, network_class
from search_space.parts import Classifier, PooledPart
from training.checkpoint import load_weights
from training.data.preprocessing import read_picture
from training.model_file import ModelInfo

CLASSIFIER = "classifier"
GETTER = "getter"
"""How timm takes maps that a network gives by itself."""
WEIGHTS = "model.safetensors"


class TimmNetwork(Network):
    """A network with the methods that timm expects of a classifier; its parameters have the names of `Network`'s.

    Mixed into the class of a family's networks by `timm_network`. Its `feature_info` says which maps there are to take
    from it. A layer on the mean of the last map, as MobileNetV3 has one, is part of the head, as in timm: the map has
    `num_features` channels, what the classifier is given `head_hidden_size`.
    """

    def adopt(self, num_classes: int, global_pool: str, drop_rate: float) -> None:
        """Sets what timm's arguments say, see `timm_network`."""
        self.initialise(self)
        self.head_hidden_size = cast(Classifier, self.classifier).in_features
        on_mean = [part for _, part in self.parts(self.architecture, 1) if isinstance(part, PooledPart)]
        self.num_features = on_mean[0].in_channels if on_mean else self.head_hidden_size
        self.drop_rate = drop_rate
        self.global_pool = "avg"
        self.feature_info = timm_maps(self)
        if num_classes != self.num_classes or global_pool != "avg":
            self.reset_classifier(num_classes, global_pool)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled by the architecture's family: the class of both is made when it is first needed, and has no name."""
        return _unfilled, (self.architecture,), self.__dict__

    def forward_features(self, x: Tensor) -> Tensor:
        """N×3×H×W to the last feature map, N×num_features×H'×W'."""
        return self.spatial_map(x)

    def forward_intermediates(
        self,
        x: Tensor,
        indices: Sequence[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """N×3×H×W to the maps at some indices, all by default; before them the last map, unless they alone are asked.

        A map is after its norm, if its family has one there, whatever `norm` says. Raises InputError for another layout
        than NCHW.
        """
        if output_fmt != "NCHW":
            raise InputError(f"output_fmt: expected NCHW, got {output_fmt!r}")
        maps = self.features(x)
        chosen = maps if indices is None else [maps[index] for index in indices]
        return chosen if intermediates_only else (self.spatial_map(x), chosen)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """From the last feature map to N×num_classes logits, or with `pre_logits` to what the classifier is given."""
        if self.global_pool == "":
            return x
        x = self.after_mean(x)
        if pre_logits or self.num_classes == 0:
            return self._dropped(x.mean((2, 3)))
        # Dropped from the map, channel by channel: the classifier takes the mean itself.
        logits: Tensor = self.classifier(self._dropped(x))
        return logits

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))

    def get_classifier(self) -> nn.Module:
        """The last layer."""
        return self.classifier

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """A fresh last layer for so many classes; none for 0. Raises InputError for a pooling that there is not."""
        if global_pool is not None:
            if global_pool not in ("avg", "") or (global_pool == "" and num_classes):
                raise InputError(f"global_pool: expected avg, or '' with num_classes=0, got {global_pool!r}")
            self.global_pool = global_pool
        self.num_classes = num_classes
        self.classifier = nn.Identity()
        if num_classes:
            self.classifier = Classifier(self.head_hidden_size, num_classes)
            self.initialise(self.classifier)

    def _dropped(self, x: Tensor) -> Tensor:
        if x.ndim == 4:
            return nn.functional.dropout2d(x, self.drop_rate, self.training)
        return nn.functional.dropout(x, self.drop_rate, self.training)


def preparation(folder: str) -> Callable[[str | Path], Tensor]:
    """How pictures are prepared for the network of an exported folder: from a file to 3×H×W, float32, normalised.

    Raises InputError for a folder without such a network, or naming a picture that cannot be read.
    """
    path = Path(folder) / WEIGHTS
    return partial(_prepared, ModelInfo.from_metadata(load_weights(path)[1], str(path)))


def _prepared(info: ModelInfo, path: str | Path) -> Tensor:
    return read_picture(Path(path), info)


def timm_network(
    network: dict[str, Any],
    num_classes: int = 1000,
    in_chans: int = 3,
    global_pool: str = "avg",
    drop_rate: float = 0.0,
    probed_classes: int | None = None,
) -> TimmNetwork:
    """The network of an architecture, of whatever family, as timm has it.

    Args:
        network: an architecture as its JSON's object.
        num_classes: 0 for a network that ends with what its classifier would be given, N×head_hidden_size.
        global_pool: `avg`, or an empty string for the last map, N×num_features×H'×W' (with `num_classes` of 0 alone).
        drop_rate: share of the pooled features that a training drops.
        probed_classes: of the network's probes, where it has some and was trained for other classes than `num_classes`.
    """
    if in_chans != 3:
        raise InputError(f"in_chans: CoordNAS networks take pictures of 3 channels, got {in_chans}")
    architecture = Architecture.from_dict(network)
    classes = probed_classes or max(1, num_classes)
    check(architecture, classes)
    made = _timm_class(network_class(architecture))(architecture, classes)
    made.adopt(num_classes, global_pool, drop_rate)
    return made


_CLASSES: dict[str, type[TimmNetwork]] = {}


def _timm_class(family: type[Network]) -> type[TimmNetwork]:
    if family.family not in _CLASSES:
        _CLASSES[family.family] = type("TimmNetwork", (TimmNetwork, family), {"__doc__": TimmNetwork.__doc__})
    return _CLASSES[family.family]


def _unfilled(architecture: Architecture) -> TimmNetwork:
    made = _timm_class(network_class(architecture))
    return made.__new__(made)


def timm_maps(network: Network) -> list[dict[str, Any]]:
    """The maps that `features_only` takes: of each size the last, as timm has it, without the head's.

    Of each map its number of channels, how many pixels of the picture one of its own is wide, and its module.
    """
    return [{"num_chs": one.channels, "reduction": one.stride, "module": one.module} for one in network.info]


def coordnas(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """timm's entry point: `network` among the arguments is the architecture, as the exported `config.json` has it."""
    architecture = Architecture.from_dict(kwargs["network"])
    check(architecture, 1)
    with torch.device("meta"):
        network = bare(architecture, 1)
    features: dict[str, Any] = {"out_indices": tuple(range(len(network.info))), "flatten_sequential": True}
    if not network.is_chain:
        features["feature_cls"] = GETTER
        wanted = kwargs.get("feature_cls", GETTER)
        if wanted != GETTER:
            raise InputError(
                f"feature_cls: networks of family {network.family} give maps by {GETTER!r}, not {wanted!r}"
            )
    model = build_model_with_cfg(timm_network, "coordnas", pretrained, feature_cfg=features, **kwargs)
    return cast(nn.Module, model)


register_model(coordnas)
