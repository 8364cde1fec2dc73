"""A space of T2T-ViTs in a TOML file, its options in lists.

family = "t2t"
name = "mine"
resolution = [32]
tokens = ["convolution", "performer"]  # in the order of what they cost; also "transformer"
kernel_size = [3, 7]                   # of the first step
token_strides = [[2, 2, 1], [4, 2, 1]] # of the three steps
token_width = [16, 32]
width = [64, 96]
depth = [4, 6]
heads = [2, 4]
expansion = [1, 2]
attention = ["none", "se/8", "ca/8"]   # on the tokens' grid, each block's own
head_width = 16
"""

from dataclasses import fields

from search_space.families.t2t.space import T2TSpace
from search_space.space_file import READERS, SpaceFile

_LISTS = ("resolution", "tokens", "kernel_size", "token_width", "width", "depth", "heads", "expansion")


@READERS.register("t2t")
def read(file: SpaceFile) -> T2TSpace:
    """The space in the file. Raises InputError naming the file, the line and the key that is wrong."""
    content = file.content
    known = {field.name for field in fields(T2TSpace)}
    file.check_keys(content, known, known, "")
    name = file.name()
    lists = {key: file.integers(content, key, "") for key in (*_LISTS, "token_strides")}
    strides = tuple(tuple(own) if isinstance(own, list) else own for own in lists.pop("token_strides"))
    attention = file.attentions(content, "attention", "")
    space: T2TSpace = file.made(
        "",
        lambda: T2TSpace(
            name=name, token_strides=strides, attention=attention, head_width=content["head_width"], **lists
        ),
    )
    return space
