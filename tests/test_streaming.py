"""Pictures decoded from their files: the same batches whoever decodes them, torchvision's pixels, and broken files."""

import gc
import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import v2

from evaluators.supernet.evaluator import SupernetEvaluator
from evaluators.supernet.settings import Scoring, SupernetRecipe
from foundation.progress import Reporter
from search_space import InputError
from search_space.cost.priced_space import PricedSpace
from tests.saying import Saying
from training.augmentation.recipe import PLAIN, Augmentation
from training.augmentation.rectangles import crop
from training.data import loaders as loaders_module
from training.data.corrupt import CorruptError
from training.data.datasets import Dataset, load_data
from training.data.decoding import training_crop
from training.data.folders import MEAN, STD
from training.data.preparation import MARGINS, Bytes, View, prepared
from training.data.streamed import CHUNK, StreamedSplit
from training.loop import fit
from training.methods.base import FunctionMethod
from training.recipe import Recipe

ROOT = Path(__file__).parent.parent
MARGIN = MARGINS["imagenet"]
SAMPLES = ROOT.parent / "shared" / "data" / "imagenet-samples-100.tar"
CPU = torch.device("cpu")
QUIET = Reporter(quiet=True)
EVERYTHING = Augmentation("random-resized-crop", rand_augment=9, erasing=0.5)
CLASSES = ("n01", "n02", "n03")
SIDE = 32


def _photograph(seed: int, width: int, height: int) -> Image.Image:
    """Smooth colours, as JPEG likes them."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ImageNet's layout: 3 classes of 16 training and 4 other pictures of different sizes."""
    root = tmp_path_factory.mktemp("imagenet")
    rng = np.random.default_rng(0)
    for split, count in (("train", 16), ("val", 4)):
        for name in CLASSES:
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                width, height = rng.integers(40, 100, 2)
                _photograph(int(rng.integers(1 << 30)), width, height).save(folder / f"{number:03}.JPEG", quality=90)
    return root


@pytest.fixture
def broken(tree: Path, tmp_path: Path) -> Path:
    """A copy whose last training picture of the first class, and whose first validation picture, are cut off."""
    root = tmp_path / "broken"
    shutil.copytree(tree, root)
    for file in (root / "train" / "n01" / "015.JPEG", root / "val" / "n01" / "000.JPEG"):
        file.write_bytes(file.read_bytes()[:300])
    return root


def _prepared(content: Bytes, side: int = SIDE) -> Tensor:
    return prepared(content, View.of("imagenet", side))[0]


def _data(root: Path, **options: Any) -> Dataset:
    return load_data(f"imagenet:{root}", SIDE, CPU, **{"loaders": 0, **options})


def _batches(split: Any, **options: Any) -> list[tuple[Tensor, Tensor]]:
    return list(split.batches(options.pop("batch_size", 10), **options))


def _same(one: list[tuple[Tensor, Tensor]], other: list[tuple[Tensor, Tensor]]) -> bool:
    pairs = list(zip(one, other, strict=True))
    return all(torch.equal(a, c) and torch.equal(b, d) for (a, b), (c, d) in pairs)


@pytest.fixture(scope="module")
def processes(tree: Path) -> Dataset:
    """Decoded by two processes."""
    return _data(tree, loaders=2)


class TestTheSameBits:
    """The batch of a seed and a place, whoever decodes it and whatever happened before."""

    @pytest.mark.parametrize("augmentation", [PLAIN, Augmentation("crop-flip"), EVERYTHING])
    def test_however_many_processes_decode(
        self, tree: Path, processes: Dataset, augmentation: Augmentation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        alone = _batches(_data(tree).train, seed=3, augmentation=augmentation)
        assert len(alone) == len(_data(tree).train) // 10 == 4
        monkeypatch.setattr("training.data.streamed.CHUNK", 3)  # so that batches come in parts
        assert _same(alone, _batches(processes.train, seed=3, augmentation=augmentation))
        assert not _same(alone, _batches(processes.train, seed=4, augmentation=augmentation))
        assert _same(_batches(_data(tree).test), _batches(processes.test))

    def test_however_many_share(self, tree: Path) -> None:
        train = _data(tree).train
        whole = _batches(train, seed=5, augmentation=EVERYTHING)
        shares = [_batches(train, seed=5, augmentation=EVERYTHING, share=(rank, 3)) for rank in range(3)]
        for (images, labels), *parts in zip(whole, *shares, strict=True):
            for rank, (own_images, own_labels) in enumerate(parts):
                assert torch.equal(own_images, images[:9][rank::3])
                assert torch.equal(own_labels, labels[:9][rank::3])
        test = _data(tree).test
        counts = [sum(len(labels) for _, labels in test.batches(10, share=(rank, 3))) for rank in range(3)]
        assert sum(counts) == len(test)

    def test_whatever_was_consumed_before(self, tree: Path, processes: Dataset) -> None:
        train = processes.train
        expected = _batches(_data(tree).train, seed=1, augmentation=EVERYTHING)
        random_state = torch.get_rng_state()
        next(train.batches(10, seed=2))  # given up
        assert _same(_batches(train, seed=1, augmentation=EVERYTHING), expected)
        # Two passes at a time.
        one, other = train.batches(10, seed=1, augmentation=EVERYTHING), train.batches(10, seed=1)
        pairs = list(zip(one, other, strict=True))
        assert _same([first for first, _ in pairs], expected)
        assert _same([second for _, second in pairs], _batches(train, seed=1))
        assert torch.equal(torch.get_rng_state(), random_state)  # dropout's draws stay what they were

    def test_a_resumed_training_ends_with_the_same_weights(self, tree: Path, tmp_path: Path) -> None:
        class Stopped(BaseException):
            pass

        def train(folder: Path, loaders: int, stop: int | None = None) -> Tensor:
            folder.mkdir(exist_ok=True)
            torch.manual_seed(0)
            model = nn.Sequential(nn.Conv2d(3, 4, 7, 7), nn.Flatten(), nn.Dropout(), nn.Linear(64, 3))

            def step(images: Tensor, labels: Tensor, number: int) -> float:
                if number == stop:
                    raise Stopped
                loss = nn.functional.cross_entropy(model(images), labels)
                loss.backward()
                return loss.item()

            recipe = Recipe(epochs=3, batch_size=10, augmentation="random-resized-crop", rand_augment=9, erasing=0.5)
            fit(
                FunctionMethod(model, step),
                _data(tree, loaders=loaders).train,
                recipe,
                seed=0,
                checkpoint=folder / "checkpoint",
                identity={},
                reporter=QUIET,
                what="it",
            )
            return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])

        whole = train(tmp_path / "whole", 0)
        with pytest.raises(Stopped):
            train(tmp_path / "stopped", 0, stop=6)
        assert torch.equal(train(tmp_path / "stopped", 1), whole)


class TestPixels:
    """What the pictures look like, with torchvision as the oracle."""

    def _evaluated(self, paths: list[Path], side: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Ours and torchvision's, in 0 to 255."""
        reference = v2.Compose([v2.Resize(round(side * MARGIN)), v2.CenterCrop(side), v2.PILToTensor()])
        for path in paths:
            yield (
                _prepared(np.fromfile(path, dtype=np.uint8), side).float(),
                reference(torchvision.datasets.folder.pil_loader(str(path))).float(),
            )

    @pytest.mark.parametrize("size", [(96, 64), (64, 128), (200, 100), (32, 48), (56, 56)])
    def test_evaluation_is_torchvisions(self, size: tuple[int, int], tmp_path: Path) -> None:
        # Of sizes at which nothing has to be rounded to whole pixels, as it does where its crops begin.
        _photograph(0, *size).save(tmp_path / "a.jpg", quality=95)
        ((ours, theirs),) = self._evaluated([tmp_path / "a.jpg"], 56)
        assert ours.shape == theirs.shape == (3, 56, 56)
        assert (ours - theirs).abs().max() <= 1

    def test_evaluation_is_torchvisions_to_half_a_pixel(self, tree: Path) -> None:
        for ours, theirs in self._evaluated(sorted(tree.glob("val/*/*")), SIDE):
            assert _is_half_a_pixel_away(ours, theirs)

    def test_the_batches_are_those_pixels_normalised(self, tree: Path) -> None:
        normalise = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])
        test = _data(tree).test
        (images, _), *_ = test.batches(100)
        assert images.is_contiguous(memory_format=torch.channels_last)
        expected = torch.stack([_prepared(np.fromfile(path, dtype=np.uint8)) for path in test.paths])
        assert torch.allclose(images, normalise(expected), atol=1e-5)

    @pytest.mark.parametrize("size", [(40, 300), (300, 40), (10, 10), (32, 32), (1, 1), (900, 700)])
    def test_any_size(self, size: tuple[int, int], tmp_path: Path) -> None:
        _photograph(0, *size).save(tmp_path / "a.jpg", quality=95)
        ((ours, theirs),) = self._evaluated([tmp_path / "a.jpg"], SIDE)
        assert _is_half_a_pixel_away(ours, theirs)
        content = np.fromfile(tmp_path / "a.jpg", dtype=np.uint8)
        assert training_crop(content, SIDE, torch.rand(10, 4).tolist(), upright=False)[0].shape == (3, SIDE, SIDE)

    @pytest.mark.parametrize("width", [90, 1200])
    def test_training_crops_are_torchvisions(self, tmp_path: Path, width: int) -> None:
        generator = torch.Generator().manual_seed(0)
        picture = _photograph(1, width, width * 2 // 3)
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=95)
        content = np.frombuffer(buffer.getvalue(), dtype=np.uint8).copy()
        decoded = Image.open(buffer).convert("RGB")
        for _ in range(20):
            draws = torch.rand(10, 4, generator=generator).tolist()
            box = crop(draws, *picture.size)
            expected = v2.functional.pil_to_tensor(
                v2.functional.resized_crop(decoded, box.top, box.left, box.height, box.width, [SIDE, SIDE])
            )
            difference = (training_crop(content, SIDE, draws, upright=False)[0].float() - expected.float()).abs()
            assert difference.mean() < (1 if width < 100 else 3)

    def test_labels_are_those_of_their_pictures(self, tmp_path: Path) -> None:
        colours = ((255, 0, 0), (0, 255, 0), (0, 0, 255))
        for split in ("train", "val"):
            for name, colour in zip(CLASSES, colours, strict=True):
                (tmp_path / split / name).mkdir(parents=True)
                for number in range(8):
                    Image.new("RGB", (40, 50), colour).save(tmp_path / split / name / f"{number}.png")
        data = _data(tmp_path)
        for split in (data.train, data.validation, data.test):
            for options in ({}, {"seed": 1}, {"seed": 1, "augmentation": Augmentation("random-resized-crop")}):
                for images, labels in _batches(split, batch_size=4, **options):
                    seen = images * torch.tensor(STD).view(3, 1, 1) + torch.tensor(MEAN).view(3, 1, 1)
                    assert torch.equal(seen.mean((2, 3)).argmax(1), labels)

    def test_formats(self, tmp_path: Path) -> None:
        picture = _photograph(3, 96, 64)
        picture.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
        picture.convert("L").save(tmp_path / "grey.jpg", quality=95)
        picture.convert("RGBA").save(tmp_path / "alpha.png")
        picture.convert("1").save(tmp_path / "bits.png")
        picture.quantize(64).save(tmp_path / "palette.png", transparency=bytes(range(64)))
        picture.save(tmp_path / "progressive.jpg", quality=95, progressive=True)
        picture.save(tmp_path / "a.webp")
        picture.save(tmp_path / "a.gif")
        exif = Image.Exif()
        exif[0x0112] = 6  # the camera was held upright
        picture.save(tmp_path / "turned.jpg", quality=95, exif=exif)
        for path in sorted(tmp_path.iterdir()):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the oracle's, on the palette
                ((ours, theirs),) = self._evaluated([path], 56)
            assert (ours - theirs).abs().max() <= 1, path.name  # so an orientation is not applied, as in torchvision

    def test_sixteen_bits_keep_their_upper_eight(self, tmp_path: Path) -> None:
        grey = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
        Image.fromarray(grey).save(tmp_path / "deep.png")
        Image.fromarray((grey >> 8).astype(np.uint8)).save(tmp_path / "flat.png")
        deep, flat = (_prepared(np.fromfile(tmp_path / name, dtype=np.uint8)) for name in ("deep.png", "flat.png"))
        assert torch.equal(deep, flat)
        assert 30 < deep.float().std() < 100

    @pytest.mark.skipif(not SAMPLES.exists(), reason=f"{SAMPLES} is missing")
    def test_a_hundred_photographs(self, tmp_path: Path) -> None:
        with tarfile.open(SAMPLES) as archive:
            archive.extractall(tmp_path, filter="data")
        paths = sorted((tmp_path / "in100").glob("*/*"))
        assert len(paths) == 100
        for ours, theirs in self._evaluated(paths, 224):
            assert _is_half_a_pixel_away(ours, theirs)
        split = _split([str(path) for path in paths], 224)
        (images, labels), *rest = split.batches(100, seed=1, augmentation=Augmentation("random-resized-crop"))
        assert not rest
        assert images.shape == (100, 3, 224, 224)
        assert images.isfinite().all()
        assert labels.sort().values.tolist() == list(range(100))


def _is_half_a_pixel_away(ours: Tensor, theirs: Tensor) -> bool:
    """At most: torchvision begins its crops at whole pixels."""
    by_one = (theirs[:, 1:, 1:] - theirs[:, :-1, :-1]).abs().mean()
    return bool((ours - theirs).abs().mean() < 0.75 * by_one + 0.5)


def _split(paths: list[str], side: int = SIDE, **options: Any) -> StreamedSplit:
    options = {"classes": paths, "loaders": loaders_module.Loaders(0), "reporter": QUIET, **options}
    return StreamedSplit("train", paths, torch.arange(len(paths)), View.of("imagenet", side), MEAN, STD, CPU, **options)


class TestCorrupt:
    """Files whose content is no picture."""

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"", "the file is empty"),
            (b"text", "no picture of a known format"),
            (None, "truncated"),
        ],
    )
    def test_what_is_wrong(self, tree: Path, content: bytes | None, reason: str) -> None:
        whole = (tree / "train" / "n01" / "000.JPEG").read_bytes()
        given = np.frombuffer(whole[: len(whole) // 2] if content is None else content, dtype=np.uint8).copy()
        with pytest.raises(CorruptError, match=reason):
            _prepared(given)
        with pytest.raises(CorruptError, match=reason):
            training_crop(given, SIDE, torch.rand(10, 4).tolist(), upright=False)

    @pytest.mark.parametrize("loaders", [0, 1])
    def test_it_is_named(self, broken: Path, loaders: int) -> None:
        data = _data(broken, loaders=loaders)
        for split in (data.test, data.train):
            with pytest.raises(
                InputError, match=r"cannot decode .*n01/0\d\d.JPEG \(.*\); mend or remove it, or give `skip"
            ):
                _batches(split)
        assert len(_batches(data.train, batch_size=5, seed=1, limit=1)[0][1]) == 1  # the processes go on

    @pytest.mark.parametrize("loaders", [0, 1])
    def test_the_next_one_takes_its_place_in_training(self, broken: Path, loaders: int) -> None:
        reporter = Saying(quiet=True)
        train = _data(broken, skip_corrupt=True, reporter=reporter, loaders=loaders).train
        victim = train.paths.index(f"{broken}/train/n01/015.JPEG")
        whole = _data(broken).train.subset(torch.arange(len(train))[torch.arange(len(train)) != victim])
        assert train.targets[victim + 1] == 1  # of another class: the label has to come with it
        expected = [*train.paths[:victim], train.paths[victim + 1], *train.paths[victim + 1 :]]
        mended = _split(expected)
        mended.targets = torch.cat(
            [train.targets[:victim], train.targets[victim + 1 : victim + 2], train.targets[victim + 1 :]]
        )
        assert len(mended) == len(train) == len(whole) + 1
        for _ in range(2):
            found = _batches(train, seed=1, augmentation=EVERYTHING, batch_size=len(train))
            assert _same(found, _batches(mended, seed=1, augmentation=EVERYTHING, batch_size=len(train)))
        (message,) = reporter.said
        assert message.startswith("train: 1 of 44 pictures cannot be decoded and are passed over: ")
        assert message.endswith("n01/015.JPEG")

    def test_it_is_left_out_in_evaluation(self, broken: Path, tree: Path) -> None:
        reporter = Saying(quiet=True)
        test = _data(broken, skip_corrupt=True, reporter=reporter).test
        found = _batches(test, batch_size=1)
        assert _same(found, _batches(_data(tree).test, batch_size=1)[1:])
        assert [message.split(":")[0] for message in reporter.said] == ["test"]

    def test_none_is_left(self, tmp_path: Path) -> None:
        paths = [str(tmp_path / f"{number}.jpg") for number in range(6)]
        for path in paths:
            Path(path).write_bytes(b"")
        for options in ({}, {"seed": 1}, {"limit": 2}):
            split = _split(paths, skip_corrupt=True)
            split.targets = torch.zeros(6, dtype=torch.int64)
            with pytest.raises(InputError, match=r"not one picture can be decoded \(.*\d.jpg, …\); mend or replace"):
                _batches(split, **options)

    def test_a_file_that_is_gone_is_no_corrupt_picture(self, tree: Path, tmp_path: Path) -> None:
        # A disk that went away must not pass for a million corrupt pictures.
        paths = [str(tree / "train" / "n01" / "000.JPEG"), str(tmp_path / "gone.jpg")]
        with pytest.raises(InputError, match=r"gone.jpg: cannot be read \(No such file or directory\)"):
            _batches(_split(paths, skip_corrupt=True))


class TestProcesses:
    """Those that decode."""

    def test_one_that_is_killed_is_told_in_one_line(self, tree: Path) -> None:
        train = _data(tree, loaders=1).train
        batches = train.batches(1, seed=1)
        next(batches)
        (worker,) = _workers(train)
        os.kill(worker, signal.SIGKILL)
        with pytest.raises(
            InputError, match=r"a process that decodes pictures was ended from outside .*`loaders`"
        ) as told:
            list(batches)
        assert "\n" not in str(told.value)
        assert len(_batches(train, seed=1)) == 4  # by another process

    def test_they_end_with_the_data(self, tree: Path) -> None:
        data = _data(tree, loaders=2)
        one, other = data.train.batches(5, seed=1), data.train.batches(5, seed=1)
        next(one), next(other)
        workers = _workers(data.train)
        assert len(workers) == 2
        assert all(map(_lives, workers))
        started = time.monotonic()
        del data, one, other
        gc.collect()
        assert time.monotonic() - started < 9  # asked to end; each is killed only after 5 seconds
        assert _eventually(lambda: not any(map(_lives, workers)))

    @pytest.mark.parametrize("ending", ["end", "kill"])
    def test_none_outlives_its_command(self, tree: Path, tmp_path: Path, ending: str) -> None:
        script = tmp_path / "script.py"
        script.write_text(
            "import time, sys, torch\n"
            "from training.data.datasets import load_data\n"
            "if __name__ == '__main__':\n"
            f"    train = load_data('imagenet:{tree}', 32, torch.device('cpu'), loaders=2).train\n"
            "    next(train.batches(5, seed=1))\n"
            "    print('decoded', flush=True)\n"
            f"    time.sleep(60 if {ending!r} == 'kill' else 0)\n"
        )
        mark = f"mark-{tmp_path.name}"
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "COORDNAS_TEST": mark}
        with subprocess.Popen([sys.executable, str(script)], env=environment, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"decoded\n"
            if ending == "kill":
                assert len(_marked(mark)) >= 3
                process.kill()
            process.wait(120)
        assert _eventually(lambda: not _marked(mark), 30)

    def test_a_command_ends_with_one_line(self, broken: Path, tmp_path: Path, narrow_space_file: Path) -> None:
        arguments = ["--space", str(narrow_space_file), "--data", f"imagenet:{broken}", "--supernet-epochs", "1"]
        result = subprocess.run(
            [sys.executable, str(ROOT / "search.py"), *arguments, "--batch-size", "44", "--out", "run"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert result.returncode == 2
        assert result.stderr.startswith("error: cannot decode ")
        assert result.stderr.count("\n") == 1


def _workers(split: Any) -> list[int]:
    _, loader = split.loaders._kept
    return [process.pid for process in loader._iterator._workers]


def _lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def _marked(mark: str) -> list[int]:
    """Living processes with the mark in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and mark.encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def _eventually(condition: Any, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


class TestSearch:
    """Evaluators on streamed pictures."""

    def test_no_file_is_read_for_a_candidate(
        self, tree: Path, tiny_space: PricedSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        read: list[str] = []
        whole = loaders_module.read_file
        monkeypatch.setattr(loaders_module, "read_file", lambda path: read.append(path) or whole(path))
        evaluator = SupernetEvaluator(
            tiny_space,
            _data(tree),
            SupernetRecipe(epochs=1, batch_size=8),
            Scoring(calibration=16, validation=3, batch_size=8),
            seed=0,
            folder=tmp_path,
            reporter=QUIET,
        )
        evaluator.prepare()
        evaluator.evaluate(tiny_space.smallest)
        before = len(read)
        assert before > 0
        evaluator.evaluate(tiny_space.largest)
        assert len(read) == before


def test_chunks_are_smaller_than_usual_batches() -> None:
    assert CHUNK < 128
