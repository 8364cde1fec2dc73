"""The decision programs of a T2T-ViT: the tokens' steps, the embedding with the depth, then block after block.

The state after the steps is their stride, the last stride still to come and their channels; from the embedding on it is
the stride of a token, the width, and how many blocks are left. A block that is beyond the depth is nothing at all.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import log2, prod
from typing import Any

from search_space.architecture import Attention
from search_space.attention_choice import choose_attention, first_alike
from search_space.chain import Group, LinkProgram, Shape
from search_space.decisions import Choose, decide
from search_space.families.t2t.architecture import TransformerBlock, strides_label
from search_space.families.t2t.token_blocks import TOKENS
from search_space.families.t2t.transformer import BlockPart, EmbeddingPart
from search_space.parts import NO_ATTENTION, Part

Strides = tuple[int, ...]


@dataclass(frozen=True)
class Steps:
    """The link of the tokens' steps."""

    tokens: str
    kernel_size: int
    strides: Strides
    width: int


@dataclass(frozen=True)
class Embedded:
    """The link of the embedding: the stride of its tokens, their width, and how many blocks follow."""

    stride: int
    width: int
    depth: int


@dataclass(frozen=True)
class Placed:
    """The link of a block: the state before it, and the block; None beyond the depth."""

    stride: int
    width: int
    left: int
    block: TransformerBlock | None


@dataclass(frozen=True)
class LinkShape:
    """A link without what gates its grid."""

    link: Any
    groups: tuple[Group, ...] = ()

    @property
    def placeless(self) -> tuple[int, ...]:
        """None: the other links' parts have no attention at all."""
        return ()

    def chosen(self, options: Iterable[Attention]) -> Any:
        """The link with the one group's attention."""
        link = self.link
        for attention in options:
            link = replace(link, block=replace(link.block, attention=attention))
        return link


class _TokensProgram(LinkProgram):
    """What links without attention have in common."""

    nothing = NO_ATTENTION

    def choice(self, group: Group, choose: Choose) -> Attention:
        raise AssertionError(f"{self.name} has no groups")

    def key(self, link: Any) -> Hashable:
        return link

    def options_of(self, link: Any) -> Sequence[Attention]:
        return ()

    def canonical(self, link: Any, state: Any, shapes: Sequence[Shape]) -> Any:
        return link if any(shape.link == link for shape in shapes) else None


@dataclass(frozen=True)
class StepsProgram(_TokensProgram):
    """What gathers tokens, of what is offered; kinds are offered in the order of their cost."""

    tokens: tuple[str, ...]
    kernel_size: tuple[int, ...]
    strides: tuple[Strides, ...]
    width: tuple[int, ...]
    name: str = "tokens"

    place = "tokens"

    def shape(self, state: int, choose: Choose) -> LinkShape:
        """Kind, strides, first kernel, width."""
        labels = {strides_label(strides): strides for strides in self.strides}
        tokens = decide(choose, "tokens.kind", self.tokens)
        strides = labels[decide(choose, "tokens.strides", tuple(labels))]
        kernel_size = decide(choose, "tokens.kernel_size", self.kernel_size)
        return LinkShape(Steps(tokens, kernel_size, strides, decide(choose, "tokens.width", self.width)))

    def parts(self, link: Steps, state: int) -> list[Part]:
        """The two steps before the embedding."""
        make = TOKENS.get(link.tokens)
        first, second, _ = link.strides
        return [make(3, link.width, link.kernel_size, first), make(link.width, link.width, 3, second)]

    def after(self, link: Steps) -> tuple[int, int, int]:
        """Stride so far, stride to come, channels."""
        *steps, last = link.strides
        return prod(steps), last, link.width

    def size(self, shape: Shape, state: int) -> tuple[int, ...]:
        """The more tokens the larger, in the end and along the way; then channels, kernel, kind."""
        link: Steps = shape.link
        along = (link.strides[0] * link.strides[1], link.strides[0])
        kind = self.tokens.index(link.tokens)
        return (-prod(link.strides), *(-stride for stride in along), link.width, link.kernel_size, kind)

    def told(self, link: Steps) -> str:
        return f"{link.tokens} tokens, kernel {link.kernel_size}, strides {strides_label(link.strides)}, {link.width}"

    @property
    def feature_names(self) -> tuple[str, ...]:
        return ("log2 stride", "log2 first stride", "log2 width", "kernel_size", *self.tokens)

    def features(self, link: Steps) -> tuple[float, ...]:
        """log2 of the strides in all and of the first, log2 of the channels, the kernel, and the kind."""
        kinds = (float(link.tokens == kind) for kind in self.tokens)
        return log2(prod(link.strides)), log2(link.strides[0]), log2(link.width), link.kernel_size, *kinds


@dataclass(frozen=True)
class EmbeddingProgram(_TokensProgram):
    """How wide tokens are, and how many blocks follow."""

    width: tuple[int, ...]
    depth: tuple[int, ...]
    table_width: int
    name: str = "embedding"

    place = "embedding"

    def shape(self, state: tuple[int, int, int], choose: Choose) -> LinkShape:
        """Width and depth."""
        width = decide(choose, "embedding.width", self.width)
        return LinkShape(Embedded(state[0] * state[1], width, decide(choose, "embedding.depth", self.depth)))

    def parts(self, link: Embedded, state: tuple[int, int, int]) -> list[Part]:
        """The last step."""
        return [EmbeddingPart(state[2], link.width, 3, state[1], self.table_width)]

    def after(self, link: Embedded) -> tuple[int, int, int]:
        """Stride of a token, width, blocks to come."""
        return link.stride, link.width, link.depth

    def size(self, shape: Shape, state: tuple[int, int, int]) -> tuple[int, ...]:
        return shape.link.width, shape.link.depth

    def told(self, link: Embedded) -> str:
        return f"{link.depth} blocks of width {link.width} on tokens of stride {link.stride}"

    feature_names = ("log2 width", "depth")

    def features(self, link: Embedded) -> tuple[float, ...]:
        """log2 of the width, and the depth."""
        return log2(link.width), link.depth


@dataclass(frozen=True)
class BlockProgram(LinkProgram):
    """A block's heads, its expansion, and what gates its grid."""

    number: int
    heads: tuple[int, ...]
    expansion: tuple[int, ...]
    attention: tuple[Attention, ...]
    head_width: int

    nothing = NO_ATTENTION

    @property
    def name(self) -> str:  # type: ignore[override]
        """`block0` and so on."""
        return f"block{self.number}"

    @property
    def place(self) -> str:
        """Its field in an architecture."""
        return f"blocks[{self.number}]"

    def shape(self, state: tuple[int, int, int], choose: Choose) -> LinkShape:
        """Heads and expansion, where there is a block."""
        stride, width, left = state
        if not left:
            return LinkShape(Placed(stride, width, left, None))
        heads = decide(choose, f"{self.name}.heads", self.heads)
        block = TransformerBlock(heads, decide(choose, f"{self.name}.expansion", self.expansion), NO_ATTENTION)
        return LinkShape(Placed(stride, width, left, block), (Group(self.name, (0,), (width,)),))

    def choice(self, group: Group, choose: Choose) -> Attention:
        """The attention that `choose` decides."""
        return choose_attention(choose, group, self.attention)

    def parts(self, link: Placed, state: tuple[int, int, int]) -> list[Part]:
        """The block, or none."""
        if link.block is None:
            return []
        return [BlockPart(link.width, link.block.heads, self.head_width, link.block.expansion, link.block.attention)]

    def after(self, link: Placed) -> tuple[int, int, int]:
        """One block fewer to come."""
        return link.stride, link.width, max(0, link.left - 1)

    def key(self, link: Placed) -> Hashable:
        """Heads and expansion."""
        return link.block and (link.block.heads, link.block.expansion)

    def options_of(self, link: Placed) -> Sequence[Attention]:
        """What gates the block's grid."""
        return () if link.block is None else (link.block.attention,)

    def size(self, shape: Shape, state: tuple[int, int, int]) -> tuple[int, ...]:
        block = shape.link.block
        return (0, 0) if block is None else (block.heads, block.expansion)

    def canonical(self, link: Placed, state: tuple[int, int, int], shapes: Sequence[Shape]) -> Placed | None:
        """The link, with the first of the offered ratios that are the same op."""
        for shape in shapes:
            if self.key(shape.link) != self.key(link):
                continue
            if link.block is None:
                return link
            same = first_alike(self.options(shape.groups[0]), [(link.block.attention, link.width)])
            return None if same is None else shape.chosen([same])
        return None

    def told(self, link: Placed) -> str:
        block = link.block
        return "none" if block is None else f"{block.heads} heads, expansion {block.expansion}, {block.attention.label}"

    @cached_property
    def _kinds(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(attention.kind for attention in (NO_ATTENTION, *self.attention)))

    @property
    def feature_names(self) -> tuple[str, ...]:
        return ("heads", "expansion", "log2 reduction", *self._kinds)

    def features(self, link: Placed) -> tuple[float, ...]:
        """Heads, expansion, log2 of the ratio (0 without), and the kind; all 0 beyond the depth."""
        block = link.block
        if block is None:
            return tuple(0.0 for _ in self.feature_names)
        kinds = (float(block.attention.kind == kind) for kind in self._kinds)
        return block.heads, block.expansion, log2(block.attention.reduction or 1), *kinds
