"""What plugins import from here; it stands in the mobile networks' room."""

from search_space.families.mobile.blocks import (
    BLOCKS,
    Block,
    BlockPart,
    Pieces,
    attend,
    blocks,
    register_block,
    stage_blocks,
)

__all__ = ["BLOCKS", "Block", "BlockPart", "Pieces", "attend", "blocks", "register_block", "stage_blocks"]
