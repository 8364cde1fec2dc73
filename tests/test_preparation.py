"""One preparation of a picture: memory, streams, commands, exports and the documentation give the same pixels."""

import importlib
import io
import os
import re
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from deployment import export as exporting
from deployment.answers import Seen
from deployment.model_source import Model
from deployment.prediction import predict
from foundation import library_warnings
from foundation.library_warnings import ignored
from foundation.progress import Reporter
from search_space import Architecture, Attention, InputError, Stage
from tests.saying import Saying
from training.checkpoint import save_weights
from training.data import opening
from training.data.corrupt import CorruptError
from training.data.datasets import load_data
from training.data.decoding import training_crop
from training.data.into_memory import read_all
from training.data.opening import MOST_PIXELS
from training.data.picture_sizes import picture_sizes
from training.data.preparation import Found, View, eight_bits, prepared, read_file
from training.data.preprocessing import normalised_image
from training.data.remarks import Remarks
from training.data.streamed import StreamedSplit
from training.model_file import ModelInfo

CPU = torch.device("cpu")
SIDE = 24
PROGRAMS = re.findall(
    r"```python\n(.*?)```", (Path(__file__).parent.parent / "docs/deployment.md").read_text(), re.DOTALL
)


def _photograph(width: int, height: int, seed: int = 0) -> Image.Image:
    """Edges and grain, on which filters and decoders differ."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (height // 7 + 1, width // 5 + 1, 3)).repeat(7, 0).repeat(5, 1)[:height, :width]
    return Image.fromarray((blocks * 0.8 + rng.integers(0, 50, (height, width, 3))).astype(np.uint8))


def _turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def _deep(width: int, height: int) -> NDArray[np.uint16]:
    """A grey photograph of 16 bits."""
    return (np.asarray(_photograph(width, height).convert("L")).astype(np.uint16) * 257) | 3


KINDS: dict[str, Callable[[Path], None]] = {
    "landscape.jpg": lambda path: _photograph(80, 47).save(path, quality=90),
    "portrait.jpg": lambda path: _photograph(31, 75).save(path, quality=90, subsampling=0),
    "odd.jpg": lambda path: _photograph(43, 37).save(path, quality=60),
    "large.jpg": lambda path: _photograph(431, 347).save(path, quality=90),
    "progressive.jpg": lambda path: _photograph(150, 113).save(path, quality=90, progressive=True),
    "small.jpg": lambda path: _photograph(13, 9).save(path),
    "grey.jpg": lambda path: _photograph(120, 90).convert("L").save(path),
    "cmyk.jpg": lambda path: _photograph(130, 90).convert("CMYK").save(path),
    "turned-3.jpg": lambda path: _photograph(123, 77).save(path, quality=90, exif=_turned(3)),
    "turned-6.jpg": lambda path: _photograph(123, 77).save(path, quality=90, exif=_turned(6)),
    "turned-7.jpg": lambda path: _photograph(77, 123).save(path, quality=90, exif=_turned(7)),
    "turned.png": lambda path: _photograph(60, 41).save(path, exif=_turned(8)),
    "turned.tif": lambda path: _photograph(60, 41).save(path, exif=_turned(6)),
    "same.png": lambda path: _photograph(SIDE, SIDE).save(path),
    "palette.png": lambda path: _photograph(50, 40).quantize(64).save(path, transparency=bytes(range(64))),
    "alpha.webp": lambda path: _photograph(50, 61).convert("RGBA").save(path),
    "bits.png": lambda path: _photograph(50, 40).convert("1").save(path),
    "deep.png": lambda path: Image.fromarray(_deep(50, 40)).save(path),
    "twelve.png": lambda path: Image.fromarray(_deep(50, 40) >> 4).save(path),
    "eight.png": lambda path: Image.fromarray(_deep(50, 40) >> 8).save(path),
    "whole.tif": lambda path: Image.fromarray(_deep(50, 40).astype(np.int32) * 9).save(path),
    "unit.tif": lambda path: Image.fromarray(_deep(50, 40).astype(np.float32) / 60_000).save(path),
    "float.tif": lambda path: Image.fromarray(_deep(50, 40).astype(np.float32) / 257).save(path),
}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`train/` and `val/`, each with the same two classes: pictures of all kinds, and one of their own."""
    root = tmp_path_factory.mktemp("kinds")
    for split in ("train", "val"):
        for name in ("kinds", "other"):
            (root / split / name).mkdir(parents=True)
        for name, save in KINDS.items():
            save(root / split / "kinds" / name)
        for number in range(10):
            _photograph(40, 30, number).save(root / split / "other" / f"{number}.png")
    return root


def _info(data: str, mean: tuple[float, ...], std: tuple[float, ...]) -> ModelInfo:
    stage = Stage("inverted_residual", 8, 2, 2, 3, (Attention("none"),))
    return ModelInfo(Architecture(SIDE, 8, 2, (stage,), None, "relu6"), ("kinds", "other"), mean, std, data)


def _by_documentation(program: str, info: ModelInfo, path: Path, monkeypatch: pytest.MonkeyPatch) -> Tensor:
    """What the network is given by a program of docs/deployment.md."""
    given: list[Any] = []

    class Session:
        def __init__(self, path: str):
            pass

        def get_modelmeta(self) -> Any:
            return SimpleNamespace(custom_metadata_map=exporting.metadata(info))

        def run(self, _outputs: None, inputs: dict[str, Any]) -> list[Any]:
            given.append(torch.from_numpy(inputs["images"]))
            return [np.zeros((1, 2))]

    monkeypatch.setattr("onnxruntime.InferenceSession", Session)
    monkeypatch.setattr("timm.create_model", lambda *_, **__: _Model(given))
    exec(compile(program.replace("picture.jpg", str(path)), "docs/deployment.md", "exec"), {})
    return given[0][0]


class _Model:
    def __init__(self, given: list[Any]):
        self.given = given
        self.pretrained_cfg = {"label_names": ("kinds", "other")}
        self.feature_info = SimpleNamespace(channels=tuple, reduction=tuple)

    def eval(self) -> "_Model":
        return self

    def __call__(self, images: Tensor) -> Tensor:
        self.given.append(images)
        return torch.zeros(1, 2)


@pytest.mark.filterwarnings("ignore:Palette images with Transparency")
@pytest.mark.parametrize("data", ["folder", "imagenet"])
def test_all_ways_give_the_same_bits(
    data: str, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("timm")
    streamed = load_data(f"{data}:{pictures}", SIDE, CPU, loaders=0, streamed=True).train
    assert isinstance(streamed, StreamedSplit)
    (images, _), *rest = streamed.batches(len(streamed))
    assert not rest
    if data == "folder":
        ((held, _),) = load_data(f"{data}:{pictures}", SIDE, CPU, streamed=False).train.batches(len(streamed))
        assert torch.equal(held, images)
    info = _info(data, streamed.mean, streamed.std)
    given: list[Tensor] = []
    model = Model(
        Path("weights.safetensors"), info, lambda batch: given.append(batch) or Seen(torch.zeros(len(batch), 2))
    )
    paths = [Path(path) for path in streamed.paths]
    assert len({path.name for path in paths} & KINDS.keys()) > 0.8 * len(KINDS)  # of imagenet: some are held out
    assert not [prediction.error for prediction in predict(model, paths, 1) if prediction.error]
    assert torch.equal(torch.cat(given), images)
    monkeypatch.chdir(tmp_path)
    save_weights(_folder(tmp_path / "timm") / "model.safetensors", {}, exporting.metadata(info))
    for path, expected in zip(paths, images, strict=True):
        for program in PROGRAMS:
            assert torch.equal(_by_documentation(program, info, path, monkeypatch), expected), path.name


def test_it_is_pillow_alone(tmp_path: Path) -> None:
    _photograph(123, 77).save(tmp_path / "a.jpg", exif=_turned(6))
    content = np.fromfile(tmp_path / "a.jpg", dtype=np.uint8)
    with Image.open(tmp_path / "a.jpg") as picture:
        picture.draft("RGB", (2 * SIDE, 2 * SIDE))  # 77 pixels are less than twice as many: decoded whole
        for upright, box in ((True, (0, 23, 77, 100)), (False, (23, 0, 100, 77))):
            lying = ImageOps.exif_transpose(picture) if upright else picture
            expected = lying.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box)
            pixels, found = prepared(content, View(SIDE, upright=upright))
            assert np.array_equal(pixels.permute(1, 2, 0), np.asarray(expected))
            assert found.turned is upright


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("width", [90, 900])
def test_a_training_crop_is_turned_as_well(orientation: int, width: int) -> None:
    smooth = _photograph(5, 4).resize((width, width * 2 // 3), Image.Resampling.BICUBIC)
    buffer, turned = io.BytesIO(), io.BytesIO()
    smooth.save(turned, "JPEG", quality=95, exif=_turned(orientation))
    with Image.open(turned) as picture:
        ImageOps.exif_transpose(picture).save(buffer, "PNG")
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        draws = torch.rand(10, 4, generator=generator).tolist()
        one, other = (
            training_crop(np.frombuffer(file.getvalue(), dtype=np.uint8).copy(), SIDE, draws, upright=True)[0].float()
            for file in (turned, buffer)
        )
        assert (one - other).abs().mean() < 3


class TestMoreBits:
    """Pictures of more than 8 bits a pixel: what white is."""

    @pytest.mark.parametrize(
        ("values", "white", "expected"),
        [
            (np.array([0, 1, 128, 255], np.uint16), 255, [0, 1, 128, 255]),
            (np.array([0, 16, 256, 4095], np.uint16), 4095, [0, 1, 16, 255]),
            (np.array([0, 255, 256, 65_535], np.uint16), 65_535, [0, 0, 1, 255]),
            (np.array([-5, 3, 200, 255], np.int32), 255, [0, 3, 200, 255]),
            (np.array([0, 999, 50_000, 99_999], np.int32), 99_999, [0, 2, 128, 255]),
            (np.array([0, 0.5, 1.0, 1.1], np.float32), 1, [0, 128, 255, 255]),
            (np.array([0, 0.4, 127.6, 260], np.float32), 255, [0, 0, 128, 255]),
            (np.array([np.nan, -np.inf, np.inf, 1], np.float32), 1, [0, 0, 0, 255]),
            (np.array([0, 0, 0, 0], np.float32), 1, [0, 0, 0, 0]),
        ],
    )
    def test_its_value(self, values: NDArray[Any], white: float, expected: list[int]) -> None:
        picture, found = eight_bits(Image.fromarray(values.reshape(2, 2)))
        assert found == white
        assert np.asarray(picture).flatten().tolist() == expected

    @pytest.mark.parametrize("mode", ["I;16", "I;16B", "I", "F"])
    def test_rows_are_looked_at_together(self, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
        values = np.arange(60, dtype=np.float32).reshape(12, 5) * 70  # up to 4130: one band alone would be of 12 bits
        kinds = {"I;16": "<u2", "I;16B": ">u2", "I": "<i4", "F": "<f4"}
        picture = Image.frombytes(mode, (5, 12), values.astype(kinds[mode]).tobytes())
        expected, white = eight_bits(picture)
        monkeypatch.setattr("training.data.preparation._BAND", 15)
        banded, found = eight_bits(picture)
        assert found == white
        assert np.array_equal(np.asarray(banded), np.asarray(expected))

    def test_8_bits_stay(self) -> None:
        for mode in ("1", "L", "P", "RGB", "RGBA", "CMYK"):
            picture = Image.new(mode, (2, 2))
            assert eight_bits(picture) == (picture, None)


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


class TestSaid:
    """What is guessed or changed is said once for each split, of pictures in memory and of streamed ones."""

    @pytest.fixture(params=[False, True], ids=["held", "streamed"])
    def told(self, request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], list[str]]:
        """Saves 12 pictures a class in two classes by what a test does, and what is said of the training's."""

        def told() -> list[str]:
            reporter = Saying(quiet=True)
            train = load_data(f"folder:{tmp_path}", SIDE, CPU, reporter, streamed=request.param, loaders=0).train
            for _ in range(2):
                list(train.batches(5, seed=1))
            return reporter.said

        return told

    def _save(self, root: Path, save: Callable[[int, Path], None]) -> None:
        for name in ("cat", "dog"):
            _folder(root / name)
            for number in range(12):
                save(number, root / name / f"{number:02}")

    def test_nothing_of_usual_pictures(self, told: Callable[[], list[str]], tmp_path: Path) -> None:
        self._save(tmp_path, lambda number, path: _photograph(40, 30, number).save(path.with_suffix(".png")))
        assert told() == []

    def test_an_orientation(self, told: Callable[[], list[str]], tmp_path: Path) -> None:
        exif = _turned(6)
        self._save(tmp_path, lambda number, path: _photograph(40, 30).save(path.with_suffix(".jpg"), exif=exif))
        (line,) = told()
        assert re.fullmatch(
            r"train: 1\d of 1\d pictures lie turned in their files, and are turned upright as their EXIF says: .*, …",
            line,
        )

    @pytest.mark.parametrize("mixed", [False, True])
    def test_more_than_8_bits(self, mixed: bool, told: Callable[[], list[str]], tmp_path: Path) -> None:
        def save(number: int, path: Path) -> None:
            Image.fromarray(_deep(40, 30) >> (4 if mixed and number % 2 else 0)).save(path.with_suffix(".png"))

        self._save(tmp_path, save)
        (line,) = told()
        expected = r"4,095 in \d, 65,535 in \d; they are not all taken alike" if mixed else r"65,535 in 1\d"
        assert re.fullmatch(
            rf"train: 1\d of 1\d pictures have more than 8 bits a pixel, white is taken to be {expected}; "
            "if that is wrong, convert them to 8 bits",
            line,
        )

    def test_nearly_one_value(self, told: Callable[[], list[str]], tmp_path: Path) -> None:
        def save(number: int, path: Path) -> None:
            values = np.asarray(_photograph(40, 30, number).convert("L")) // (40 if number < 10 else 1)
            Image.fromarray(values).save(path.with_suffix(".png"))

        self._save(tmp_path, save)
        (line,) = told()
        assert re.fullmatch(
            rf"train: 1\d of 1\d pictures are \(nearly\) one value all over, such as {tmp_path}/(cat|dog)/0\d.png; "
            r"are they what they should be\?",
            line,
        )


def test_long_passes_are_told_of_early() -> None:
    reporter = Saying(quiet=True)
    remarks = Remarks("train", reporter, enough=4)
    black = torch.zeros(3, 3, 8, 8, dtype=torch.uint8)
    remarks.take(black, ["a", "b", "c"], {})
    assert not reporter.said
    remarks.take(black, ["d", "e", "f"], {})
    remarks.take(black, ["g", "h", "i"], {})
    remarks.say()
    assert [line.partition(",")[0] for line in reporter.said] == [
        "train: 6 of 6 pictures are (nearly) one value all over"
    ]


def test_a_damaged_exif_is_no_damaged_picture(tmp_path: Path) -> None:
    _photograph(60, 40).save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    pixels, found = prepared(np.fromfile(tmp_path / "a.jpg", dtype=np.uint8), View(SIDE))
    assert pixels.shape == (3, SIDE, SIDE)
    assert not found.turned


class TestLargePictures:
    """Photographs of phones are taken, whatever Pillow says of them; what claims more is named."""

    def _claiming(self, path: Path, width: int, height: int) -> None:
        """A PNG of some bytes whose header has another size."""
        Image.new("RGB", (4, 4)).save(path)
        content = path.read_bytes()
        header = b"IHDR" + struct.pack(">II", width, height) + content[24:29]
        path.write_bytes(content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:])

    def test_of_108_and_200_megapixels(self, tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
        for kind, size in (("a", (12_000, 9_000)), ("b", (16_320, 12_240))):
            for number in range(3):
                path = tmp_path / kind / f"{number}.jpg"
                path.parent.mkdir(exist_ok=True)
                if number:
                    path.symlink_to("0.jpg")
                else:
                    Image.new("L", size, 90).save(path)
        images = [prepared(read_file(str(path)), View(8))[0] for path in tmp_path.rglob("0.jpg")]
        assert [image.unique().tolist() for image in images] == [[90], [90]]
        sizes = picture_sizes(f"folder:{tmp_path}")
        assert sizes is not None
        assert (sizes.shorter, sizes.sampled) == (10_620, 2)
        assert not recwarn.list

    def test_more_than_are_decoded(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
    ) -> None:
        for folder in ("train/cat", "train/dog", "val/cat", "val/dog"):
            (tmp_path / folder).mkdir(parents=True)
            for number in range(10):
                _photograph(40, 30, number).save(tmp_path / folder / f"{number}.png")
        victim = tmp_path / "train" / "cat" / "3.png"
        self._claiming(victim, 60_000, 60_000)
        reason = "3,600,000,000 pixels are too many: at most 268,435,456 are decoded"
        data = load_data(f"folder:{tmp_path}", SIDE, CPU)
        with pytest.raises(InputError) as told:
            _ = data.train
        expected = f"cannot decode {victim} ({reason}); scale it down or remove it, or give `skip_corrupt`"
        assert str(told.value) == expected
        for streamed in (False, True):
            options = {"streamed": streamed, "skip_corrupt": True, "loaders": 0}
            data = load_data(f"folder:{tmp_path}", SIDE, CPU, Reporter(), **options)
            assert sum(len(labels) for _, labels in data.train.batches(8)) == 19
            line = f"train: 1 of 20 pictures cannot be decoded and are passed over: {victim} ({reason})"
            assert line in capsys.readouterr().out.splitlines()
        assert picture_sizes(f"folder:{tmp_path}") is not None
        assert not recwarn.list

    def test_a_programs_own_bound_is_kept(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        assert 2 * (Image.MAX_IMAGE_PIXELS or 0) == MOST_PIXELS
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
        importlib.reload(opening)
        assert Image.MAX_IMAGE_PIXELS == 50

    def test_pictures_within_pictures(self) -> None:
        """An icon says a size, and holds a PNG of another."""
        icon = io.BytesIO()
        Image.new("RGB", (16, 16)).save(icon, "ICO", sizes=[(16, 16)])
        content = bytearray(icon.getvalue())
        start = content.index(b"IHDR")
        content[start + 4 : start + 12] = struct.pack(">II", 60_000, 60_000)
        content[start + 17 : start + 21] = struct.pack(">I", zlib.crc32(bytes(content[start : start + 17])))
        with pytest.raises(CorruptError, match="3,600,000,000 pixels are too many"):
            prepared(np.frombuffer(content, dtype=np.uint8), View(8))


class TestWarnings:
    """Pillow's do not reach the user, and Python's filters are afterwards as they were."""

    def test_filters_are_as_before(self, tmp_path: Path) -> None:
        paths = []
        for number in range(300):
            paths.append(str(tmp_path / f"{number}.png"))
            _photograph(30, 20, number).save(paths[-1])

        def read(number: int) -> tuple[Tensor, int, Found]:
            return prepared(read_file(paths[number]), View(8))[0], 0, Found()

        before = list(warnings.filters)
        for _ in range(5):
            read_all("train", paths, 8, read, Saying())
            assert warnings.filters == before

    def test_overlapping_threads(self) -> None:
        """The first to come is the first to leave."""
        before = list(warnings.filters)
        first, second = ignored(), ignored("of this alone", UserWarning)
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        warnings.warn("not heard of", UserWarning, stacklevel=1)
        second.__exit__(None, None, None)
        assert warnings.filters == before
        with pytest.warns(UserWarning, match="heard of"):
            warnings.warn("heard of", UserWarning, stacklevel=1)

    def test_a_forked_process_does_not_wait(self) -> None:
        """For a thread that held the lock, and is not there."""
        with library_warnings._KEPT.lock:
            child = os.fork()
            if not child:
                with ignored():
                    os._exit(0)
        assert os.waitpid(child, 0)[1] == 0

    @pytest.mark.parametrize("data", ["folder", "coco"])
    def test_of_a_programs_picture(self, data: str, recwarn: pytest.WarningsRecorder) -> None:
        picture = _photograph(50, 40).quantize(64)
        picture.info["transparency"] = bytes(range(64))
        normalised_image(picture, _info(data, (0.5,) * 3, (0.5,) * 3))
        assert not recwarn.list
