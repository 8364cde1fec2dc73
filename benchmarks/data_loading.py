"""How many pictures a second come from files: this project's loader, torchvision's and timm's, and decoders alone.

    python -m benchmarks.data_loading [--data FOLDER] [--loaders 2] [--rounds 7] [--resolution 224]

FOLDER holds a folder a class; without it, the photographs of `../shared/data/imagenet-samples-100.tar` are used. Each
loader gives normalised float32 batches from as many processes, which are started before anything is timed. The loaders
take turns, and a ratio is that of the same turn. The same once more without processes, everything done on one thread
whose processor time is counted: other work on the machine does not disturb that. Decoders are timed so, from bytes in
memory.
"""

import argparse
import io
import math
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from numpy.typing import NDArray
from PIL import Image
from timm.data.dataset import ImageDataset
from timm.data.loader import create_loader
from torch import Tensor
from torchvision.io import ImageReadMode, decode_jpeg
from torchvision.transforms import v2

from foundation.device import processors
from foundation.progress import Reporter
from training.augmentation.draws import draw_alterations
from training.augmentation.recipe import PLAIN, Augmentation
from training.augmentation.rectangles import crop
from training.data.decoding import training_crop
from training.data.folders import MEAN, STD
from training.data.loaders import Loaders
from training.data.preparation import MARGINS, View, prepared
from training.data.streamed import StreamedSplit

MARGIN = MARGINS["imagenet"]
SAMPLES = Path(__file__).parents[2] / "shared" / "data" / "imagenet-samples-100.tar"
CROPS = Augmentation("random-resized-crop")
ENLARGED = 3  # times, to see what pictures of a camera take

_Bytes = NDArray[np.uint8]


def main() -> None:
    """Prints a table of decoders and one of loaders."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--loaders", type=int, default=processors())
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--resolution", type=int, default=224)
    parser.add_argument("--pictures", type=int, default=1000, help="a pass; files are used again and again")
    parser.add_argument("--batch-size", type=int, default=100)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.data or _unpacked(Path(temporary))
        files = sorted(path for path in folder.glob("*/*") if path.suffix.lower() in (".jpeg", ".jpg"))
        contents = [np.fromfile(file, dtype=np.uint8) for file in files[:200]]
        sides = sorted(Image.open(file).size for file in files)
        print(f"{len(files)} photographs, the middle one {sides[len(sides) // 2]}; to {arguments.resolution} pixels")
        _time_decoders(contents, arguments.resolution, arguments.rounds)
        print(f"the same photographs {ENLARGED} times as large")
        _time_decoders([_enlarged(content) for content in contents[:40]], arguments.resolution, arguments.rounds)
        tree = Path(temporary) / "tree"
        _repeat(files, tree, arguments.pictures)
        for name, augmentation in (("training: random-resized-crop, mirrored", CROPS), ("evaluation", PLAIN)):
            print(f"{name}; {arguments.loaders} processes, batches of {arguments.batch_size}")
            _time_loaders(_loaders(tree, augmentation, arguments.loaders, arguments), arguments.rounds, "images/s")
            if arguments.loaders:
                print(f"{name}; one thread")
                _time_loaders(_loaders(tree, augmentation, 0, arguments), arguments.rounds, "images/s of its time")


def _unpacked(folder: Path) -> Path:
    if not SAMPLES.exists():
        raise SystemExit(f"{SAMPLES} is missing; give --data FOLDER")
    with tarfile.open(SAMPLES) as archive:
        archive.extractall(folder, filter="data")
    return folder / "in100"


def _repeat(files: list[Path], tree: Path, count: int) -> None:
    """A tree of so many pictures, which are links to the files in turn."""
    for number in range(count):
        file = files[number % len(files)].resolve()
        (tree / file.parent.name).mkdir(parents=True, exist_ok=True)
        (tree / file.parent.name / f"{number:06}{file.suffix}").symlink_to(file)


def _enlarged(content: _Bytes) -> _Bytes:
    with Image.open(io.BytesIO(content.data)) as image:
        large = image.convert("RGB").resize((image.width * ENLARGED, image.height * ENLARGED), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    large.save(buffer, "JPEG", quality=90)
    return np.frombuffer(buffer.getvalue(), dtype=np.uint8).copy()


def _time_decoders(contents: list[_Bytes], side: int, rounds: int) -> None:
    """Milliseconds a picture of each way to decode, and of each way to a training's and an evaluation's pixels."""
    generator = torch.Generator().manual_seed(0)
    draws = [draw_alterations(CROPS, len(contents), (side, side), generator).crops for _ in range(rounds)]

    def pillow(content: _Bytes) -> Image.Image:
        return Image.open(io.BytesIO(content.data)).convert("RGB")

    def tensor(content: _Bytes) -> Tensor:
        return decode_jpeg(torch.from_numpy(content), mode=ImageReadMode.RGB)

    def pillow_crop(content: _Bytes, row: list[list[float]], draft: bool) -> _Bytes:
        image = Image.open(io.BytesIO(content.data))
        width, height = image.size
        box = crop(row, width, height)
        if draft:
            image.draft("RGB", (math.ceil(width * side / box.width), math.ceil(height * side / box.height)))
        across, down = image.width / width, image.height / height
        corners = (box.left * across, box.top * down, (box.left + box.width) * across, (box.top + box.height) * down)
        return np.asarray(image.convert("RGB").resize((side, side), Image.Resampling.BILINEAR, corners))

    def tensor_crop(content: _Bytes, row: list[list[float]]) -> Tensor:
        image = tensor(content)
        box = crop(row, image.shape[2], image.shape[1])
        cut = image[None, :, box.top : box.top + box.height, box.left : box.left + box.width]
        return torch.nn.functional.interpolate(cut, size=(side, side), mode="bilinear", antialias=True)

    view = View.of("imagenet", side)
    pillow_centre = v2.Compose([v2.Resize(round(side * MARGIN)), v2.CenterCrop(side), v2.PILToTensor()])
    ways: dict[str, Callable[[_Bytes, list[list[float]]], Any]] = {
        "decoded by Pillow": lambda content, row: pillow(content),
        "decoded by torchvision": lambda content, row: tensor(content),
        "training crop: Pillow": lambda content, row: pillow_crop(content, row, False),
        "training crop: Pillow with draft": lambda content, row: pillow_crop(content, row, True),
        "training crop: torchvision": tensor_crop,
        "training crop: this project": lambda content, row: training_crop(content, side, row, upright=False),
        "centre crop: Pillow by torchvision's transforms": lambda content, row: pillow_centre(pillow(content)),
        "centre crop: this project": lambda content, row: prepared(content, view),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for drawn in draws:
        assert drawn is not None
        rows = drawn.tolist()
        for name, way in ways.items():
            started = time.thread_time()
            for content, row in zip(contents, rows, strict=True):
                way(content, row)
            times[name].append((time.thread_time() - started) * 1000 / len(contents))
    for name, values in times.items():
        print(f"  {name:48} {_quartiles(values, '.2f')} ms")


_Pass = Callable[[], Iterable[Any]]


def _loaders(tree: Path, augmentation: Augmentation, count: int, arguments: argparse.Namespace) -> dict[str, _Pass]:
    side, batch_size = arguments.resolution, arguments.batch_size
    training = augmentation is CROPS
    first = (
        [v2.RandomResizedCrop(side), v2.RandomHorizontalFlip()]
        if training
        else [v2.Resize(round(side * MARGIN)), v2.CenterCrop(side)]
    )
    transform = v2.Compose([*first, v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])
    folder = torchvision.datasets.ImageFolder(str(tree), transform)
    reference = torch.utils.data.DataLoader(
        folder, batch_size, shuffle=training, drop_last=training, num_workers=count, persistent_workers=count > 0
    )
    by_timm = create_loader(
        ImageDataset(str(tree)),  # type: ignore[no-untyped-call]
        input_size=(3, side, side),
        batch_size=batch_size,
        is_training=training,
        no_aug=False,
        hflip=0.5,
        color_jitter=None,  # type: ignore[arg-type]
        interpolation="bilinear",
        crop_pct=1 / MARGIN,
        mean=MEAN,
        std=STD,
        num_workers=count,
        pin_memory=False,
        device=torch.device("cpu"),
        persistent_workers=count > 0,
    )
    ours = StreamedSplit(
        "pictures",
        [path for path, _ in folder.samples],
        torch.tensor(folder.targets),
        View.of("imagenet", side),
        MEAN,
        STD,
        torch.device("cpu"),
        classes=folder.classes,
        loaders=Loaders(count),
        reporter=Reporter(quiet=True),
    )

    def passes() -> Iterator[Any]:
        return ours.batches(batch_size, seed=1 if training else None, augmentation=augmentation)

    return {"this project": passes, "torchvision": lambda: reference, "timm": lambda: by_timm}


def _time_loaders(loaders: dict[str, _Pass], rounds: int, unit: str) -> None:
    clock = time.perf_counter if unit == "images/s" else time.thread_time
    speeds: dict[str, list[float]] = {name: [] for name in loaders}
    for turn in range(rounds + 1):
        for name, start in loaders.items():
            began = clock()
            delivered = sum(len(images) for images, _ in start())
            if turn:  # processes start in the first
                speeds[name].append(delivered / (clock() - began))
    ours, *others = speeds
    for name, values in speeds.items():
        print(f"  {name:48} {_quartiles(values, '.0f')} {unit}")
    for other in others:
        ratios = [one / another for one, another in zip(speeds[ours], speeds[other], strict=True)]
        print(f"  {ours} / {other:33} {_quartiles(ratios, '.2f')}")


def _quartiles(values: list[float], form: str) -> str:
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:{form}} [{low:{form}}, {high:{form}}]"


if __name__ == "__main__":
    main()
