"""Naming the classes of pictures: how a picture is prepared, and the command."""

import contextlib
import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from commands import ending, predict
from deployment.export import timm_config
from deployment.model_source import read_model
from deployment.prediction import find_pictures
from search_space import Architecture, Attention, InputError, Stage, build
from training.data import digits
from training.data.datasets import load_data
from training.data.preparation import View
from training.data.preprocessing import normalised, read_picture
from training.model_file import ModelInfo, save_model

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def _architecture(resolution: int) -> Architecture:
    return Architecture(
        resolution, 8, 2, (Stage("inverted_residual", 8, 2, 2, 3, (Attention("none"),)),), None, "relu6"
    )


def _info(data: str, resolution: int = 32, mean: tuple[float, ...] = MEAN, std: tuple[float, ...] = STD) -> ModelInfo:
    return ModelInfo(_architecture(resolution), ("cat", "dog", "[b]owl"), mean, std, data)


def _normalised(picture: Image.Image, info: ModelInfo) -> Tensor:
    """Of the picture in a file that loses nothing."""
    buffer = io.BytesIO()
    picture.save(buffer, "TIFF" if picture.mode in ("CMYK", "YCbCr", "I", "F") else "PNG")
    return normalised(np.frombuffer(buffer.getvalue(), dtype=np.uint8), info)


def _smooth(width: int, height: int) -> Image.Image:
    """A colourful picture without edges, so that resampling filters agree on it."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / width * 5 + phase) + np.cos(y / height * 4 - phase) for phase in (0.0, 1.0, 2.0)]
    return Image.fromarray(((np.stack(waves, -1) + 2) * 63).astype(np.uint8))


@settings(max_examples=25, deadline=None)
@given(st.integers(70, 400), st.integers(70, 400))
def test_imagenets_pictures_are_prepared_as_by_torchvision(width: int, height: int) -> None:
    """Shorter side to 256/224 of the resolution, the centre cut out: to the eighth of a pixel that is a rounding."""
    picture = _smooth(width, height)
    scaled = v2.Compose([v2.Resize(64), v2.CenterCrop(56), v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True)])
    steps = v2.Compose([scaled, v2.Normalize(MEAN, STD)])
    difference = (_normalised(picture, _info("imagenet", 56)) - steps(picture)).abs()
    assert difference.mean() < 0.06
    assert difference.shape == (3, 56, 56)


@pytest.mark.parametrize("data", ["imagenet", "folder"])
def test_timm_prepares_a_picture_alike(data: str) -> None:
    info, picture = _info(data, 56), _smooth(200, 200)
    config = timm_config(info)["pretrained_cfg"]
    transform = timm.data.create_transform(**timm.data.resolve_data_config(pretrained_cfg=config))
    difference = (_normalised(picture, info) - transform(picture)).abs()
    assert difference.max() < 0.05


def test_pictures_of_a_folder_are_prepared_as_in_training(picture_folder: Path) -> None:
    for resolution in (16, 32, 40):
        data = load_data(f"folder:{picture_folder}", resolution, torch.device("cpu"))
        info = ModelInfo(_architecture(resolution), data.classes, data.mean, data.std, data.name)
        expected = {image.numpy().round(4).tobytes() for images, _ in data.test.batches(4) for image in images}
        found = [read_picture(path, info) for path in sorted(picture_folder.rglob("*.png"))]
        assert sum(image.numpy().round(4).tobytes() in expected for image in found) >= len(expected) > 3


def test_canvases_of_digits_are_prepared_as_in_training(tmp_path: Path) -> None:
    data = load_data("digits", 32, torch.device("cpu"))
    info = ModelInfo(_architecture(32), data.classes, data.mean, data.std, data.name)
    canvas = digits.compose("pointed", "test", count=1).images[0, 0].numpy()
    expected = ((torch.from_numpy(canvas).float() / 255 - data.mean[0]) / data.std[0]).expand(3, -1, -1)
    for image in (Image.fromarray(canvas), Image.fromarray(canvas).convert("RGB")):
        image.save(tmp_path / "canvas.png")
        torch.testing.assert_close(read_picture(tmp_path / "canvas.png", info), expected)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "I", "F"])
@pytest.mark.parametrize("size", [(1, 1), (3, 500), (200, 7)])
def test_any_size_and_mode(mode: str, size: tuple[int, int]) -> None:
    white = 65_535 if mode in ("I;16", "I") else 255 if mode in ("F", "L") else 1 if mode == "1" else "white"
    if mode in ("CMYK", "YCbCr", "LA"):
        picture = Image.new("RGB" if mode != "LA" else "L", size, "white").convert(mode)
    else:
        picture = Image.new(mode, size, white)
    for data in ("folder", "imagenet"):
        image = _normalised(picture, _info(data, 32, (0.5,), (0.25,)))
        assert image.shape == (3, 32, 32)
        assert image.dtype == torch.float32
        torch.testing.assert_close(image, torch.full_like(image, 2.0), rtol=0, atol=0.05)


def test_a_jpeg_decoded_at_a_fraction_of_its_size(tmp_path: Path) -> None:
    picture = _smooth(1600, 1200)
    picture.save(tmp_path / "large.jpg", quality=95)
    for data in ("folder", "imagenet"):
        difference = (read_picture(tmp_path / "large.jpg", _info(data)) - _normalised(picture, _info(data))).abs()
        assert difference.mean() < 0.05


def test_margins() -> None:
    assert View.of("imagenet", 32) == View(32, 256 / 224, upright=False)
    for data in ("digits:clutter", "folder", "cifar10"):
        assert View.of(data, 32) == View(32, 1.0, upright=True)


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    info = _info("folder")
    module = build(info.architecture, 3)
    torch.nn.init.normal_(module.classifier.weight)
    Path("found-0").mkdir()
    save_model(Path("found-0/weights.safetensors"), module.state_dict(), info)
    Path("album/below").mkdir(parents=True)
    _smooth(90, 60).save("album/below/b.PNG")
    _smooth(60, 200).convert("L").save("album/a.jpg")
    Path("album/notes.txt").write_text("no picture")
    Image.effect_noise((50, 40), 90).save("alone.bmp")
    return Path("found-0")


def _ended(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int | str | None:
    monkeypatch.setattr("sys.argv", ["predict.py", *arguments])
    with pytest.raises(SystemExit) as ended:
        ending.run(predict.main, continues=False)
    return ended.value.code


def test_the_command_names_classes(
    network: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deployment.prediction.BATCH", 2)
    assert _ended([str(network), "alone.bmp", "album", "--top", "2"], monkeypatch) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[::3] == ["alone.bmp", "album/a.jpg", "album/below/b.PNG"]
    model = read_model(network / "weights.safetensors", torch.device("cpu"))
    for number, name in enumerate(lines[::3]):
        shares = model.see(read_picture(Path(name), model.info)[None]).answers.softmax(1)[0].tolist()
        ranked = sorted(zip(shares, model.info.classes, strict=True), reverse=True)[:2]
        assert lines[3 * number + 1 : 3 * number + 3] == [f"  {100 * share:6.2f} %  {name}" for share, name in ranked]
    assert _ended([str(network / "weights.safetensors"), "alone.bmp"], monkeypatch) == 0
    printed = capsys.readouterr().out
    assert printed.count(" % ") == 3
    assert sum(float(line.split()[0]) for line in printed.splitlines()[1:]) == pytest.approx(100, abs=0.02)


def test_a_picture_that_cannot_be_read_does_not_stop_the_others(
    network: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("broken.jpg").write_bytes(Path("album/a.jpg").read_bytes()[:300])
    Path("words.png").write_text("words")
    assert _ended([str(network), "broken.jpg", "alone.bmp", "words.png", "absent.png", "album"], monkeypatch) == 2
    printed = capsys.readouterr()
    assert [line for line in printed.out.splitlines() if " % " not in line] == [
        "alone.bmp",
        "album/a.jpg",
        "album/below/b.PNG",
    ]
    _, broken, words, absent, last = printed.err.splitlines()
    assert broken.startswith("error: broken.jpg: cannot be read as a picture (")
    assert words.startswith("error: words.png: cannot be read as a picture (")
    assert absent == "error: absent.png: no such file"
    assert last == "error: 3 of 6 pictures could not be read or classified; those named above"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent", "alone.bmp"], "absent: no such file or folder"),
        (
            ["found-0", "found-0"],
            "found-0: holds no pictures (left out: 1 file that is no picture (.safetensors, e.g. ",
        ),
        (["alone.bmp", "alone.bmp"], "alone.bmp: expected a network's folder, or a .safetensors or .onnx file"),
        (["found-0"], "the following arguments are required: PICTURES; see predict.py --help"),
        (["found-0", "alone.bmp", "--top", "0"], "argument --top: '0': expected an integer from 1"),
    ],
)
def test_bad_input(
    network: Path,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert _ended(arguments, monkeypatch) == 2
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert message in line
    assert printed.out == ""


def test_several_networks_have_to_be_chosen_from(
    network: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("retrain").mkdir()
    for name in ("found-0", "found-1"):
        Path("retrain", name).mkdir()
        Path("retrain", name, "weights.safetensors").write_bytes((network / "weights.safetensors").read_bytes())
    assert _ended(["retrain", "alone.bmp"], monkeypatch) == 2
    message = "retrain: holds 2 networks; name one of them: retrain/found-0, retrain/found-1"
    assert message in capsys.readouterr().err


def test_a_folders_pictures_come_in_order(network: Path) -> None:
    found, left_out = find_pictures(["album", "x.png"])
    assert list(map(str, found)) == ["album/a.jpg", "album/below/b.PNG", "x.png"]
    assert left_out == ["album: left out: 1 file that is no picture (.txt, e.g. notes.txt)"]
    with pytest.raises(InputError, match="found-0: holds no pictures"):
        find_pictures(["found-0"])


def test_a_picture_too_large_to_be_decoded_is_named(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(InputError) as told:
        read_picture(Path("alone.bmp"), _info("folder"))
    reason = "2,000 pixels are too many: at most 200 are decoded"
    assert str(told.value) == f"alone.bmp: cannot be read as a picture ({reason}); scale it down"


def test_names_and_links_that_lead_to_no_picture_do_not_stop_the_others(
    network: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("album/below/gone.jpg").symlink_to("elsewhere.jpg")
    Path("album/below/gone.txt").symlink_to("elsewhere.txt")
    Path("album/circle.png").symlink_to("circle.png")
    long = "a" * 300 + ".jpg"
    assert _ended([str(network), long, "album", "alone.bmp", "alone.bmp/x.png"], monkeypatch) == 2
    printed = capsys.readouterr()
    assert [line for line in printed.out.splitlines() if " % " not in line] == [
        "album/a.jpg",
        "album/below/b.PNG",
        "alone.bmp",
    ]
    assert printed.err.splitlines() == [
        "album: left out: 2 files that are no pictures (.txt, e.g. below/gone.txt)",
        f"error: {long}: cannot be read (File name too long)",
        "error: album/below/gone.jpg: a link to elsewhere.jpg, which is not there; mend or remove it",
        "error: album/circle.png: cannot be read (Too many levels of symbolic links)",
        "error: alone.bmp/x.png: no such file",
        "error: 4 of 7 pictures could not be read or classified; those named above",
    ]


@contextmanager
def _pipe(content: bytes) -> Iterator[str]:
    """The name of a pipe's end that gives this, as a shell names it for `<(cat x.jpg)`."""
    end, other = os.pipe()

    def write() -> None:
        with contextlib.suppress(BrokenPipeError), os.fdopen(other, "wb") as file:
            file.write(content)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield f"/dev/fd/{end}"
    finally:
        os.close(end)
        writer.join()


def test_a_picture_comes_through_a_pipe(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = _info("folder")
    expected = read_picture(Path("alone.bmp"), info)
    content = Path("alone.bmp").read_bytes()
    with _pipe(content) as name:
        assert read_picture(Path(name), info).equal(expected)
    monkeypatch.setattr("training.data.preparation.MOST_PIPED", 1 << 20)
    with _pipe(bytes(3 << 20)) as name, pytest.raises(InputError, match="a pipe or device that gives more than 1 MiB"):
        read_picture(Path(name), info)
