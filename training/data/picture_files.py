"""Which files are pictures: those below a folder, and how many others were left out, why, and an example."""

import contextlib
import errno
import importlib
import os
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import NamedTuple, NoReturn

from PIL import Image, features

from foundation.errors import InputError
from training.data.opening import opened

# What systems and programs leave in folders, in lower case; all that begins with a dot is left out as well.
_JUNK = frozenset(
    (
        "#recycle",
        "$recycle.bin",
        "@eadir",
        "@recycle",
        "__macosx",
        "desktop.ini",
        "ehthumbs.db",
        "icon\r",
        "lost+found",
        "system volume information",
        "thumbs.db",
    )
)
# Formats that Pillow only recognises, or hands to another program: drawings, documents, films and measurements.
_HANDED_ON = frozenset(("BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"))
_HEIF = frozenset((".heic", ".heics", ".heif", ".heifs", ".hif"))
_CAMERAS = frozenset((".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".pef", ".raf", ".raw", ".rw2", ".srw"))
_DRAWINGS = frozenset((".ai", ".emf", ".eps", ".svg", ".svgz", ".wmf"))
# Pictures that a Pillow may not read; other suffixes that it does not know are of no picture.
_PICTURES = _HEIF | _CAMERAS | _DRAWINGS | frozenset((".avif", ".exr", ".hdr", ".jp2", ".jxl", ".jxr", ".webp"))
_NAMED = 3  # suffixes of a reason, at most


_Key = tuple[int, int]  # of a folder, by whatever way it is reached


class Reason(NamedTuple):
    """Why something is left out, said of one, and of several."""

    one: str
    several: str


JUNK = Reason("hidden or system file or folder", "hidden or system files or folders")
NO_PICTURE = Reason("file that is no picture", "files that are no pictures")
FOREIGN = Reason("picture whose format cannot be read here", "pictures whose format cannot be read here")
NO_FILE = Reason("pipe or device", "pipes or devices")
LISTED = Reason("link to a folder that holds it or is read", "links to folders that hold them or are read")
UNSORTED = Reason("picture in no class folder", "pictures in no class folder")
BESIDE = Reason("folder that is not of a split", "folders that are not of a split")


@dataclass
class _Tally:
    example: str
    count: int = 0
    suffixes: set[str] = field(default_factory=set)


class LeftOut:
    """Counts what is left out. As text it is one line.

    Args:
        root: examples are named from here.
    """

    def __init__(self, root: str):
        self._root = root
        self._tallies: dict[Reason, _Tally] = {}

    def __bool__(self) -> bool:
        return bool(self._tallies)

    def note(self, reason: Reason, path: str) -> None:
        """Takes down a file or folder."""
        name = os.path.relpath(path, self._root) if self._root else path
        tally = self._tallies.setdefault(reason, _Tally(name))
        tally.count += 1
        tally.example = min(tally.example, name)  # the same one in whatever order the disk names them
        if reason in (NO_PICTURE, FOREIGN):
            tally.suffixes.add(_suffix(path) or "no suffix")

    def take(self, other: "LeftOut", but: Reason | None = None) -> None:
        """Adds what another has taken down from the same root, without what is left out for one reason."""
        for reason, tally in other._tallies.items():
            if reason is not but:
                own = self._tallies.setdefault(reason, _Tally(tally.example))
                own.count += tally.count
                own.example = min(own.example, tally.example)
                own.suffixes |= tally.suffixes

    def __str__(self) -> str:
        return f"left out: {', '.join(_told(reason, self._tallies[reason]) for reason in sorted(self._tallies))}"


def _told(reason: Reason, tally: _Tally) -> str:
    suffixes = sorted(tally.suffixes)
    named = [*suffixes[:_NAMED], *(["…"] if len(suffixes) > _NAMED else [])]
    words = reason.one if tally.count == 1 else reason.several
    example = ", ".join([*named, f"e.g. {tally.example}"])
    remedy = ""
    if reason is FOREIGN:
        remedies = ["pip install pillow-heif"] * bool(tally.suffixes & _HEIF)
        remedies += ["convert it to JPEG or PNG" if tally.count == 1 else "convert them to JPEG or PNG"]
        remedy = f"; {', or '.join(remedies)}"
    return f"{tally.count} {words} ({example}{remedy})"


def is_junk(name: str) -> bool:
    """Whether a file or folder is hidden, or an operating system's or program's own."""
    return name.startswith(".") or name.lower() in _JUNK


def add_formats() -> None:
    """Lets Pillow read all that it can here: HEIC too, where pillow-heif is installed."""
    Image.init()
    if "HEIF" not in Image.OPEN and find_spec("pillow_heif"):
        with contextlib.suppress(ImportError):  # then such pictures are left out, and told
            importlib.import_module("pillow_heif").register_heif_opener()


def suffixes() -> frozenset[str]:
    """Of the pictures that Pillow reads here without another program, with the plugins there are; in lower case."""
    formats = _formats()
    known = {suffix for suffix, name in Image.registered_extensions().items() if name in formats}
    return frozenset(known | {".mpo"})  # several JPEGs in one; Pillow registers the name to be written only


def _formats() -> set[str]:
    add_formats()
    lacking = set() if features.check("jpg_2000") else {"JPEG2000"}
    return set(Image.OPEN) - _HANDED_ON - lacking


class Listing(NamedTuple):
    """What is directly in a folder, by name and in order.

    Attributes:
        folders: without those that are linked.
        linked: folders.
        pictures: files, linked or not.
    """

    folders: list[str]
    linked: list[str]
    pictures: list[str]


class Finder:
    """Finds pictures, and counts what it leaves out.

    One question to the file system a folder, none a file, unless the file is a link or has no suffix: of such a one the
    first bytes say whether it is a picture.

    Args:
        place: what the messages of errors begin with.
        root: from where examples are named; empty for paths as they are.
        gone: whether a link that leads to no picture, by its name one, is found as well: who reads it, says why.
    """

    def __init__(self, place: str, root: str, *, gone: bool = False):
        self.left_out = LeftOut(root)
        self._gone = gone
        self._place = place
        self._suffixes = suffixes()
        self._signed = [name for name in _formats() if Image.OPEN[name][1] is not None]

    def listing(self, folder: str) -> Listing:
        """What is directly in the folder. Raises InputError for a broken link, or what cannot be read."""
        found = Listing([], [], [])
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    self._sort(entry, found)
        except OSError as error:
            self._refuse(error, folder)
        for names in found:
            names.sort()
        return found

    def folders(self, folder: str) -> tuple[list[str], list[str]]:
        """Names of the folders directly in it, without links to what holds them, and of the pictures, both in order."""
        entries = self.listing(folder)
        names = list(entries.folders)
        for name in entries.linked:
            key = self._key(f"{folder}/{name}")
            if key in map(self._key, (folder, *_above(folder))):
                self.left_out.note(LISTED, f"{folder}/{name}")
            else:
                names.append(name)
        return sorted(names), entries.pictures

    def below(self, folder: str) -> list[str]:
        """Names of all pictures below, from there, with `/` between the parts, in order of these.

        Linked folders are followed; one that is read already, or holds the folder itself, is left out. Raises
        InputError as `listing`.
        """
        return self._walked([folder], [])[folder]

    def below_each(self, root: str, names: Sequence[str]) -> dict[str, list[str]]:
        """As `below`, of several folders in `root`, by their names: no folder is read for two of them.

        What lies in them is read first, then those of them that are links, then links within them. One that is a link
        to what is read already is left out, and is not in the result.
        """
        paths = {f"{root}/{name}": name for name in names}
        links = [path for path in paths if os.path.islink(path)]
        found = self._walked([path for path in paths if path not in links], links)
        return {name: found[path] for path, name in paths.items() if path in found}

    def _walked(self, folders: Sequence[str], links: Sequence[str]) -> dict[str, list[str]]:
        """Names of all pictures below each folder, and below each link to one that is not read already."""
        seen: set[_Key] = set()
        above: dict[str, set[_Key]] = {}
        found: dict[str, list[str]] = {}
        waiting = [(folder, "") for folder in reversed(folders)]
        linked = deque((link, "") for link in links)
        by_link = False  # what is no link can come up again once one was followed
        while waiting or linked:
            is_link = not waiting
            folder, inner = linked.popleft() if is_link else waiting.pop()
            path = f"{folder}/{inner}" if inner else folder
            key = self._key(path)
            by_link |= is_link
            if is_link and folder not in above:
                above[folder] = set(map(self._key, _above(folder)))
            if (by_link and key in seen) or (is_link and key in above[folder]):
                self.left_out.note(LISTED, path)
                continue
            seen.add(key)
            entries = self.listing(path)
            prefix = f"{inner}/" if inner else ""
            waiting += [(folder, prefix + name) for name in entries.folders]
            linked += [(folder, prefix + name) for name in entries.linked]
            found.setdefault(folder, []).extend(prefix + name for name in entries.pictures)
        return {folder: sorted(names, key=lambda name: name.split("/")) for folder, names in found.items()}

    def _sort(self, entry: "os.DirEntry[str]", found: Listing) -> None:
        name, suffix = entry.name, _suffix(entry.name)
        if is_junk(name):
            self.left_out.note(JUNK, entry.path)
        elif suffix in self._suffixes and entry.is_file(follow_symlinks=False):  # nearly all; asks the disk nothing
            found.pictures.append(name)
        elif self._gone and entry.is_symlink() and not os.path.exists(entry.path):
            if suffix in self._suffixes or not suffix:
                found.pictures.append(name)
            else:
                self.left_out.note(FOREIGN if suffix in _PICTURES else NO_PICTURE, entry.path)
        elif entry.is_dir():
            (found.linked if entry.is_symlink() else found.folders).append(name)
        elif entry.is_file():
            if suffix in self._suffixes or (not suffix and self._begins_as_picture(entry.path)):
                found.pictures.append(name)
            else:
                self.left_out.note(FOREIGN if suffix in _PICTURES else NO_PICTURE, entry.path)
        elif entry.is_symlink():
            raise InputError(
                f"{self._place}{entry.path}: a link to {os.readlink(entry.path)}, which is not there; mend or remove it"
            )
        else:
            self.left_out.note(NO_FILE, entry.path)

    def _begins_as_picture(self, path: str) -> bool:
        with open(path, "rb") as file:
            file.read(1)  # a disk that fails is not for Pillow to judge
            try:
                with opened(file, self._signed):
                    return True
            except Image.DecompressionBombError:
                return True
            except Exception:  # Pillow's plugins raise nearly anything on what is none
                return False

    def _key(self, folder: str) -> _Key:
        """The same for the same folder, by whatever way."""
        try:
            status = os.stat(folder)
        except OSError as error:
            self._refuse(error, folder)
        return status.st_dev, status.st_ino

    def _refuse(self, error: OSError, folder: str) -> NoReturn:
        path = error.filename or folder
        if error.errno == errno.ELOOP:
            raise InputError(f"{self._place}{path}: a link that leads back to itself; mend or remove it") from None
        raise InputError(
            f"{self._place}{path}: cannot be read ({error.strerror}); give the right to read it, or move it away"
        ) from None


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _above(folder: str) -> Iterable[str]:
    """The folders that hold it."""
    path = os.path.realpath(folder)
    while (parent := os.path.dirname(path)) != path:
        yield (path := parent)
