"""The modules of a T2T-ViT."""

from collections.abc import Sequence

from torch import Tensor, nn

from search_space.families.t2t.architecture import T2TArchitecture
from search_space.families.t2t.network_parts import network_parts
from search_space.families.t2t.transformer import Block, Embedding, Mlp, SelfAttention, as_map
from search_space.head import Head
from search_space.network import NETWORKS, Create, FeatureMap, Network, fresh, initialise
from search_space.parts import Part, strided


@NETWORKS.register("t2t")
class T2TNetwork(Network):
    """An image classifier: N×3×H×W to N×num_classes logits, for any H and W.

    Where a step's stride does not divide a side of its map, the map goes on in zeros. A classifier is given the class
    token, another head the grid of the other tokens.
    """

    family = "t2t"
    is_chain = False

    def __init__(self, architecture: T2TArchitecture, num_classes: Head | int, create: Create = fresh):
        super().__init__(architecture, num_classes)
        modules = {name: create(name, part) for name, part in network_parts(architecture, num_classes)}
        self.info = feature_maps(architecture)
        self.tokens = nn.Sequential(*(module for name, module in modules.items() if name.startswith("tokens.")))
        self.embedding = modules["embedding"]
        self.layers = nn.ModuleList(module for name, module in modules.items() if name.startswith("layers."))
        self.norm = modules["norm"]
        self.classifier = modules["classifier"]
        self._last_stride = architecture.token_strides[-1]
        self._side = grid_side(architecture)
        self._averages = self.task_head.averages

    @classmethod
    def parts(cls, architecture: T2TArchitecture, head: Head | int) -> Sequence[tuple[str, Part]]:
        """tokens.0, tokens.1, embedding, layers.0, …, norm, classifier."""
        return network_parts(architecture, head)

    @classmethod
    def initialise(cls, module: nn.Module) -> None:
        """Draws fresh weights as the authors do: truncated normal of deviation 0.02, biases 0; convolutions He's."""
        initialise(module)
        for layer in module.modules():
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
            elif isinstance(layer, Embedding):
                layer.initialise()

    def last_map(self, images: Tensor) -> Tensor:
        """N×3×H×W to the class token as a map of one pixel, or for a head that reads more than the mean to the grid."""
        tokens, height, width = self._through_layers(self.tokens(images))
        if self._averages:
            first: Tensor = self.norm(tokens[:, :1])
            return first.transpose(1, 2).unsqueeze(3)
        return self._grid(tokens, height, width)

    def features(self, images: Tensor) -> list[Tensor]:
        """N×3×H×W to the maps that `info` describes: what the steps leave, and the grid after the last norm."""
        found = {}
        x = images
        for index, step in enumerate(self.tokens):
            x = step(x)
            found[f"tokens.{index}"] = x
        found["norm"] = self._grid(*self._through_layers(x))
        return [found[feature.module] for feature in self.info]

    def blocks(self) -> list[nn.Module]:
        """The blocks, each from N×D×(1+HW)×1 to the same shape, for pictures of the architecture's resolution."""
        return [_OnColumn(layer, self._side) for layer in self.layers]

    def branches(self) -> list[Sequence[nn.Module]]:
        """Of each block the last modules of its two branches."""
        ends: list[Sequence[nn.Module]] = []
        for layer in self.layers:
            assert isinstance(layer, Block)
            assert isinstance(layer.mix, SelfAttention)
            assert isinstance(layer.mlp, Mlp)
            ends.append((layer.mix.project, layer.mlp.project))
        return ends

    def stemmed(self, images: Tensor) -> Tensor:
        """The tokens as a column, N×D×(1+HW)×1."""
        tokens: Tensor = self.embedding(self.tokens(images))
        return tokens.transpose(1, 2).unsqueeze(3)

    def _through_layers(self, x: Tensor) -> tuple[Tensor, int, int]:
        """From the map before the embedding to the tokens after the last block, and their grid's height and width."""
        height, width = strided(x.shape[2], self._last_stride), strided(x.shape[3], self._last_stride)
        tokens = self.embedding(x)
        for layer in self.layers:
            tokens = layer(tokens, height, width)
        return tokens, height, width

    def _grid(self, tokens: Tensor, height: int, width: int) -> Tensor:
        """The tokens' map after the last norm."""
        return as_map(self.norm(tokens), height, width)


class _OnColumn(nn.Module):
    """A block on tokens of a square grid that stand as a map one pixel wide."""

    def __init__(self, block: nn.Module, side: int):
        super().__init__()
        self.block = block
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        tokens: Tensor = self.block(x.squeeze(3).transpose(1, 2), self.side, self.side)
        return tokens.transpose(1, 2).unsqueeze(3)


def grid_side(architecture: T2TArchitecture) -> int:
    """Tokens along a side of the architecture's own pictures."""
    side = architecture.resolution
    for stride in architecture.token_strides:
        side = strided(side, stride)
    return side


def feature_maps(architecture: T2TArchitecture) -> tuple[FeatureMap, ...]:
    """Of each size the last map."""
    stride, found = 1, {}
    *steps, last = architecture.token_strides
    for index, own in enumerate(steps):
        stride *= own
        found[stride] = FeatureMap(f"tokens.{index}", architecture.token_width, stride)
    found[stride * last] = FeatureMap("norm", architecture.width, stride * last)
    return tuple(found.values())
