"""A T2T-ViT as a value (arXiv:2101.11986): how tokens are gathered, then a transformer's blocks of one width.

Only the standard library is used here, so an architecture can be read, compared and printed without torch.
"""

import dataclasses
from dataclasses import dataclass
from math import prod
from typing import Any, Self

from foundation.errors import InputError
from foundation.json_files import shown
from search_space.architecture import ARCHITECTURES, Architecture, Attention, Row, check_resolution
from search_space.decisions import dimension
from search_space.fields import check_fields, check_integer, check_list, check_name, check_tuple

MAX_WIDTH = 8192
MAX_DEPTH = 64
MOST_HEADS = 64
STEPS = 3
"""Strides of a tokeniser: two token blocks, and the embedding."""

PATCH = "patch"
"""Tokens that are patches of the picture, cut out once: a single stride, and no token block."""


@dataclass(frozen=True)
class TransformerBlock:
    """A block: so many heads, an MLP of `expansion` times the width, and what gates the tokens on their grid."""

    heads: int
    expansion: int
    attention: Attention

    def __post_init__(self) -> None:
        check_integer("heads", self.heads, 1, MOST_HEADS)
        check_integer("expansion", self.expansion, 1, 16)
        if not isinstance(self.attention, Attention):
            raise InputError(f"attention: expected an Attention, got {shown(self.attention)}")


@ARCHITECTURES.register("t2t")
@dataclass(frozen=True)
class T2TArchitecture(Architecture):
    """A whole T2T-ViT without its head.

    Attributes:
        tokens: what a token block is: `performer`, `transformer`, `convolution`; or `patch` for plain patches.
        kernel_size: of the first step; the later ones have 3.
        strides: of the steps, the last one the embedding's; of patches a single one.
        token_width: channels of the maps between the steps; of patches the picture's 3.
        width: of the tokens in all blocks.
        head_width: of each head; queries, keys and values have `heads` times as many channels, whatever the width.
        table_width: of the sine table of positions, of which the tokens add the leading `width` columns: a table of
            another width has other frequencies, so networks of several widths can share one only by cutting it.
    """

    resolution: int
    tokens: str
    kernel_size: int
    token_strides: tuple[int, ...]
    token_width: int
    width: int
    head_width: int
    table_width: int
    blocks: tuple[TransformerBlock, ...]

    family = "t2t"

    def __post_init__(self) -> None:
        check_resolution(self.resolution)
        check_name("tokens", self.tokens)
        check_integer("kernel_size", self.kernel_size, 1, 32)
        if self.tokens != PATCH and self.kernel_size % 2 == 0:
            raise InputError(f"kernel_size: expected an odd integer, got {self.kernel_size}")
        check_tuple("token_strides", self.token_strides, int, STEPS)
        for index, stride in enumerate(self.token_strides):
            check_integer(f"token_strides[{index}]", stride, 1, 32)
        count = 1 if self.tokens == PATCH else STEPS
        if len(self.token_strides) != count:
            raise InputError(f"token_strides: expected {count} for {self.tokens} tokens, got {len(self.token_strides)}")
        check_integer("token_width", self.token_width, 2, MAX_WIDTH)
        if self.tokens == PATCH and self.token_width != 3:
            raise InputError(f"token_width: expected 3, as a picture has, for {PATCH} tokens, got {self.token_width}")
        check_integer("width", self.width, 1, MAX_WIDTH)
        check_integer("head_width", self.head_width, 1, 1024)
        check_integer("table_width", self.table_width, self.width, MAX_WIDTH)
        check_tuple("blocks", self.blocks, TransformerBlock, MAX_DEPTH)

    @property
    def kernels(self) -> tuple[int, ...]:
        """The kernel of each step."""
        return (self.kernel_size, *(3 for _ in self.token_strides[1:]))

    @property
    def total_stride(self) -> int:
        """Pixels of the picture to one token, along one side."""
        return prod(self.token_strides)

    @property
    def strides(self) -> tuple[int, ...]:
        """See `Architecture.strides`: of the maps that the steps leave."""
        found = [1]
        for stride in self.token_strides:
            found.append(found[-1] * stride)
        return tuple(dict.fromkeys(found[1:]))

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return len(self.blocks)

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries, lists, integers and strings."""
        blocks = [{**vars(block), "attention": {**vars(block.attention)}} for block in self.blocks]
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {**fields, "family": self.family, "token_strides": [*self.token_strides], "blocks": blocks}

    @classmethod
    def read(cls, data: dict[str, Any]) -> Self:
        """The value that `to_dict` described. Raises InputError naming the field that is wrong."""
        fields = check_fields("", data, cls)
        strides = check_list("token_strides", fields.pop("token_strides"), STEPS)
        blocks = check_list("blocks", fields.pop("blocks"), MAX_DEPTH)
        read = tuple(_block(f"blocks[{index}]", block) for index, block in enumerate(blocks))
        return cls(token_strides=tuple(strides), blocks=read, **fields)

    def rows(self) -> tuple[Row, ...]:
        """The steps, the blocks as one row, and the last norm; where blocks differ, heads and expansion are means."""
        *steps, last = zip(self.kernels, self.token_strides, strict=True)
        found = []
        for index, (kernel, stride) in enumerate(steps):
            numbers = (("kernel", kernel),)
            kind = f"{self.tokens}_token"
            found.append(Row(f"{index + 1}", f"tokens.{index}", kind, self.token_width, stride, (None,), numbers))
        kernel, stride = last
        name = f"{len(steps) + 1}"
        found.append(Row(name, "embedding", "embedding", self.width, stride, (None,), (("kernel", kernel),)))
        means = (("heads", self._mean("heads")), ("expansion", self._mean("expansion")))
        gates = tuple(block.attention for block in self.blocks)
        found.append(Row(f"{len(steps) + 2}", "layers", "transformer_block", self.width, 1, gates, means))
        found.append(Row("norm", "norm", "layer norm", self.width, None, (None,), end=True))
        return tuple(found)

    def _mean(self, name: str) -> int:
        return round(sum(getattr(block, name) for block in self.blocks) / self.depth)

    def decided(self, name: str) -> Any:
        """What it has where the decision `name` is made; None if it has no such block."""
        if name == "resolution":
            return self.resolution
        place, what = name.split(".", 1)
        what = dimension(what)
        if place.startswith("block"):
            index = int(place.removeprefix("block"))
            if index >= self.depth:
                return None
            block = self.blocks[index]
            if what in ("attention", "reduction"):
                return block.attention.kind if what == "attention" else block.attention.reduction
            return getattr(block, what)
        known = {
            "tokens.kind": self.tokens,
            "tokens.kernel_size": self.kernel_size,
            "tokens.strides": strides_label(self.token_strides),
            "tokens.width": self.token_width,
            "embedding.width": self.width,
            "embedding.depth": self.depth,
        }
        return known.get(f"{place}.{what}")

    @property
    def everywhere(self) -> str:
        """The width of a head."""
        return f"heads of {self.head_width}"


def strides_label(strides: tuple[int, ...]) -> str:
    """Strides as a decision names them: `4-2-2`."""
    return "-".join(map(str, strides))


def _block(place: str, data: object) -> TransformerBlock:
    fields = check_fields(place, data, TransformerBlock)
    try:
        attention = Attention(**check_fields("attention", fields.pop("attention"), Attention))
        return TransformerBlock(attention=attention, **fields)
    except InputError as error:
        raise InputError(f"{place}.{error}") from None
