"""The classes of a split: a folder each, with all pictures below it."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from foundation.errors import InputError
from training.data.picture_files import UNSORTED, Finder

_NAMED = 3  # folders in a message, at most


@dataclass(frozen=True)
class ClassFolders:
    """The class folders below `root`, whose names are in NFC: macOS may write the same name in another form.

    Attributes:
        names: of the classes, in order.
        folders: of each class, as the disk has it.
        pictures: of each class, named from its folder, in order.
    """

    root: str
    names: tuple[str, ...]
    folders: tuple[str, ...]
    pictures: tuple[list[str], ...]

    def __str__(self) -> str:
        return f"{len(self.names)} classes ({_some(self.names)})"

    @property
    def paths(self) -> list[list[str]]:
        """Of the pictures of each class."""
        return [
            [f"{self.root}/{folder}/{name}" for name in names]
            for folder, names in zip(self.folders, self.pictures, strict=True)
        ]


def class_folders(spec: str, root: str, finder: Finder, *, like: "ClassFolders | None" = None) -> ClassFolders:
    """Reads the class folders below `root`.

    Args:
        like: another split, whose classes these have to be.

    A linked folder that is read as another class already, or within one, is left out.

    Raises InputError for names that are not UTF-8 or differ in nothing but their form, fewer than two classes, others
    than those of `like`, a class without pictures, or folders that are no classes, it seems.
    """
    found, loose = finder.folders(root)
    by_name = _by_name(spec, root, found)
    if loose and not found:
        raise InputError(
            f"`data` {spec}: {len(loose)} pictures in {root} without class folders; each belongs into the folder of "
            "its class"
        )
    for name in loose:
        finder.left_out.note(UNSORTED, f"{root}/{name}")
    below = finder.below_each(root, [by_name[name] for name in sorted(by_name)])
    names = tuple(name for name in sorted(by_name) if by_name[name] in below)
    if like is not None and names:
        _check_same(spec, {like.root: like.names, root: names})
    folders = tuple(by_name[name] for name in names)
    pictures = tuple(below[folder] for folder in folders)
    left_out = f" ({finder.left_out})" if finder.left_out else ""
    if not any(pictures):
        raise InputError(f"`data` {spec}: no pictures below {root}; expected a folder a class{left_out}")
    if len(names) == 1:
        deeper = any("/" in name for name in pictures[0])
        remedy = f"; if its folders are the classes, give {root}/{folders[0]}" if deeper else ""
        raise InputError(
            f"`data` {spec}: one class ({names[0]}) below {root}; at least two are needed{remedy}{left_out}"
        )
    for folder, members in zip(folders, pictures, strict=True):
        if not members:
            raise InputError(
                f"`data` {spec}: class folder {root}/{folder} has no pictures; fill it or remove it{left_out}"
            )
    _check_layers(spec, root, folders, pictures)
    return ClassFolders(root, names, folders, pictures)


def _check_same(spec: str, classes: Mapping[str, Sequence[str]]) -> None:
    """Raises InputError for a class that is in one of two splits alone. `classes` are by the splits' folders."""
    one, other = classes
    lone = set(classes[one]) ^ set(classes[other])
    if not lone:
        return
    odd = min(lone)
    here, there = (one, other) if odd in classes[one] else (other, one)
    others = [name for name in classes[there] if name in lone]
    alike = [name for name in others if name.casefold() == odd.casefold()]
    place = f"`data` {spec}: class {odd} is in {here} and not in {there}"
    if alike:
        raise InputError(f"{place} (which has {alike[0]}); rename it, or move its pictures")
    named = _some(others or classes[there])
    raise InputError(f"{place} (which has {named}); rename it, add pictures of it there, or remove it")


def _by_name(spec: str, root: str, folders: Sequence[str]) -> dict[str, str]:
    """The folders by their names in NFC."""
    found: dict[str, str] = {}
    for folder in folders:
        try:
            folder.encode()
        except UnicodeEncodeError:
            raise InputError(
                f"`data` {spec}: the name of class folder {root}/{folder} is not UTF-8; rename it"
            ) from None
        name = unicodedata.normalize("NFC", folder)
        if name in found:
            forms = " and ".join(ascii(each) for each in (found[name], folder))
            raise InputError(
                f"`data` {spec}: two class folders below {root} are called {name}, in different forms of Unicode "
                f"({forms}); make one folder of them"
            )
        found[name] = folder
    return found


def _check_layers(spec: str, root: str, folders: Sequence[str], pictures: Sequence[list[str]]) -> None:
    """Raises InputError if every folder holds the same two or more folders: these are the classes then, it seems."""
    within = [
        {unicodedata.normalize("NFC", name.partition("/")[0]) if "/" in name else "" for name in names}
        for names in pictures
    ]
    inner = sorted(within[0])
    if len(inner) > 1 and "" not in inner and all(names == within[0] for names in within):
        raise InputError(
            f"`data` {spec}: all {len(folders)} folders below {root} ({_some(folders)}) hold the same folders "
            f"({_some(inner)}), so these seem to be the classes; call the outer ones train, val and test, or give one, "
            f"such as {root}/{folders[0]}; if the outer ones are the classes, put their pictures into them directly"
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join([*names[:_NAMED], *(["…"] if len(names) > _NAMED else [])])
