"""Which files below a folder are pictures, and what is said of the others."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image, ImageFile

from search_space import InputError
from training.data.picture_files import Finder, suffixes

PICTURE = Image.new("RGB", (6, 5), "red")


@pytest.fixture(autouse=True)
def _without_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow as it is by itself, whatever is installed; what a test registers is forgotten after it."""
    Image.init()
    monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name != "HEIF"])
    monkeypatch.setattr(Image, "OPEN", {name: how for name, how in Image.OPEN.items() if name != "HEIF"})
    monkeypatch.setattr(Image, "EXTENSION", {end: name for end, name in Image.EXTENSION.items() if name != "HEIF"})
    monkeypatch.setattr("training.data.picture_files.find_spec", lambda name: None)


def _written(root: Path, *names: str) -> Path:
    """Files of these names; of those without a picture's suffix the content is words."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix.lower() in suffixes():
            PICTURE.save(path)
        else:
            path.write_text("words")
    return root


def _found(root: Path) -> tuple[list[str], str]:
    finder = Finder("", str(root))
    names = finder.below(str(root))
    return names, str(finder.left_out) if finder.left_out else ""


def test_pictures_come_in_order_of_the_paths_parts(tmp_path: Path) -> None:
    names = ["a/z.png", "a b/c.PNG", "a.png", "b.jpg", "c.Jpeg"]
    found, left_out = _found(_written(tmp_path, *names))
    assert found == sorted(names, key=lambda name: Path(name).parts)
    assert left_out == ""


def test_junk_is_left_out_at_every_level(tmp_path: Path) -> None:
    _written(tmp_path, "a.png", "below/b.png")
    junk = [".a.png", "._a.png", ".DS_Store", "Thumbs.db", "desktop.ini"]
    folders = [".ipynb_checkpoints", "@eaDir", "__MACOSX", "$RECYCLE.BIN", "System Volume Information"]
    for level in ("", "below/"):
        _written(tmp_path, *(level + name for name in junk), *(f"{level}{folder}/x.png" for folder in folders))
    found, left_out = _found(tmp_path)
    assert found == ["a.png", "below/b.png"]
    assert left_out == "left out: 20 hidden or system files or folders (e.g. $RECYCLE.BIN)"


@pytest.mark.parametrize(
    "suffix", ["jpg", "png", "bmp", "webp", "ppm", "gif", "tif", "tiff", "jfif", "avif", "pgm", "tga", "jp2", "qoi"]
)
def test_what_pillow_opens_is_read(tmp_path: Path, suffix: str) -> None:
    if suffix == "avif" and ".avif" not in suffixes():
        assert ".avif" not in Image.registered_extensions()  # an older Pillow
        return
    _written(tmp_path, f"a.{suffix}", f"b.{suffix.upper()}")
    assert _found(tmp_path) == ([f"a.{suffix}", f"b.{suffix.upper()}"], "")
    with Image.open(tmp_path / f"a.{suffix}") as image:
        assert image.convert("RGB").size == PICTURE.size


def test_drawings_documents_and_films_are_no_pictures() -> None:
    assert not suffixes() & {".eps", ".ps", ".pdf", ".wmf", ".emf", ".mpg", ".mpeg", ".h5", ".svg"}


def test_the_rest_is_told_in_one_line(tmp_path: Path) -> None:
    _written(tmp_path, "a.png", "cat/readme.txt", "cat/z.txt", "dog/b.heic")
    assert _found(tmp_path) == (
        ["a.png"],
        "left out: 2 files that are no pictures (.txt, e.g. cat/readme.txt), "
        "1 picture whose format cannot be read here (.heic, e.g. dog/b.heic; "
        "pip install pillow-heif, or convert it to JPEG or PNG)",
    )
    _written(tmp_path, "a.csv", "a.json", "a.xml", "dog/b.cr2")
    assert "5 files that are no pictures (.csv, .json, .txt, …, e.g. a.csv)" in _found(tmp_path)[1]
    assert "2 pictures whose format cannot be read here (.cr2, .heic, " in _found(tmp_path)[1]


def _register(name: str, suffix: str) -> None:
    Image.register_open(name, ImageFile.ImageFile, lambda prefix: False)
    Image.register_extensions(name, [suffix])


def test_a_plugins_format_is_read(tmp_path: Path) -> None:
    _register("OWN", ".own")
    (tmp_path / "a.own").touch()
    assert _found(tmp_path) == (["a.own"], "")


def test_heic_is_read_where_pillow_heif_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = SimpleNamespace(register_heif_opener=lambda: _register("HEIF", ".heic"))
    monkeypatch.setitem(sys.modules, "pillow_heif", installed)
    monkeypatch.setattr("training.data.picture_files.find_spec", lambda name: name == "pillow_heif")
    (tmp_path / "a.HEIC").touch()
    assert _found(tmp_path) == (["a.HEIC"], "")


def test_without_a_suffix_the_first_bytes_say(tmp_path: Path) -> None:
    for number, kind in enumerate(("PNG", "JPEG", "GIF", "WEBP", "BMP")):
        PICTURE.save(tmp_path / f"{number}", kind)
    for name, content in (("README", b"Python is a language"), ("empty", b""), ("P6", b"P6 is no picture")):
        (tmp_path / name).write_bytes(content)
    found, left_out = _found(tmp_path)
    assert found == ["0", "1", "2", "3", "4"]
    assert left_out == "left out: 3 files that are no pictures (no suffix, e.g. P6)"


def test_links_are_followed_and_end(tmp_path: Path) -> None:
    _written(tmp_path, "elsewhere/x.png", "elsewhere/deeper/y.png", "root/a.png", "root/inner/b.png")
    root = tmp_path / "root"
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "photo.png").symlink_to(tmp_path / "elsewhere" / "x.png")
    assert _found(root) == (["a.png", "inner/b.png", "linked/deeper/y.png", "linked/x.png", "photo.png"], "")
    (root / "inner" / "up").symlink_to("..")
    (root / "inner" / "top").symlink_to("../..")
    (root / "again").symlink_to("inner")
    (tmp_path / "elsewhere" / "back").symlink_to(root)
    found, left_out = _found(root)
    assert found == ["a.png", "inner/b.png", "linked/deeper/y.png", "linked/x.png", "photo.png"]
    assert left_out == "left out: 4 links to folders that hold them or are read (e.g. again)"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("gone.png", "a.png: a link to gone.png, which is not there; mend or remove it"),
        ("a.png", "a.png: a link that leads back to itself; mend or remove it"),
    ],
)
@pytest.mark.parametrize("folder", ["", "inner/"])
def test_a_broken_link_ends_it(tmp_path: Path, target: str, message: str, folder: str) -> None:
    _written(tmp_path, f"{folder}b.png")
    (tmp_path / folder / "a.png").symlink_to(target)
    with pytest.raises(InputError) as told:
        _found(tmp_path)
    assert str(told.value) == f"{tmp_path}/{folder}{message}"


def test_a_folder_without_permission_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may list any folder, so the system's answer is made here."""
    _written(tmp_path, "a.png", "closed/b.png")
    listed = os.scandir

    def scandir(path: str) -> "contextlib.AbstractContextManager[Iterator[os.DirEntry[str]]]":
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", path)
        return listed(path)

    monkeypatch.setattr("training.data.picture_files.os.scandir", scandir)
    with pytest.raises(InputError) as told:
        _found(tmp_path)
    expected = "closed: cannot be read (Permission denied); give the right to read it, or move it away"
    assert str(told.value) == f"{tmp_path}/{expected}"


def test_pipes_are_no_pictures(tmp_path: Path) -> None:
    _written(tmp_path, "a.png")
    os.mkfifo(tmp_path / "b.png")
    assert _found(tmp_path) == (["a.png"], "left out: 1 pipe or device (e.g. b.png)")


def test_no_file_is_asked_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A question to a network drive for each of a million files would take an hour."""
    names = [f"{number}.png" for number in range(50)]
    for name in names:
        (tmp_path / name).touch()
    asked: list[object] = []
    real = os.stat
    monkeypatch.setattr("training.data.picture_files.os.stat", lambda path: asked.append(path) or real(path))
    monkeypatch.setattr("builtins.open", lambda *arguments, **options: pytest.fail("a file was opened"))
    assert len(_found(tmp_path)[0]) == 50
    assert len(asked) == 1
