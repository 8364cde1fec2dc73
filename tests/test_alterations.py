"""Augmentation of batches against torchvision, which alters one picture at a time."""

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

from training.augmentation.alterations import erase, resized_crops
from training.augmentation.draws import OPERATIONS, Draws, draw_alterations
from training.augmentation.rand_augment import rand_augment
from training.augmentation.recipe import Augmentation
from training.augmentation.rectangles import crop, erasure
from training.data.datasets import Split, load_data

CPU = torch.device("cpu")
NO_PLACES = torch.zeros(0)  # targets that stay where they are


def _pictures(count: int, height: int = 24, width: int = 32, channels: int = 3) -> Tensor:
    """Smooth ones, uint8."""
    generator = torch.Generator().manual_seed(0)
    small = torch.rand(count, channels, 6, 6, generator=generator)
    large = torch.nn.functional.interpolate(small, size=(height, width), mode="bicubic").clamp(0, 1)
    return (large * 255).to(torch.uint8)


class TestRectangles:
    """Areas and shapes."""

    @given(st.integers(1, 5000), st.integers(1, 5000), st.integers(0, 2**31))
    @settings(max_examples=200, deadline=None)
    def test_they_lie_within_the_picture(self, width: int, height: int, seed: int) -> None:
        draws = torch.rand(10, 4, generator=torch.Generator().manual_seed(seed)).tolist()
        for box in (crop(draws, width, height), erasure(draws, width, height)):
            if box is not None:
                assert box.width >= 1
                assert box.height >= 1
                assert 0 <= box.left <= width - box.width
                assert 0 <= box.top <= height - box.height

    def test_they_are_distributed_as_torchvisions(self) -> None:
        count, width, height = 4000, 120, 80
        draws = torch.rand(count, 10, 4, generator=torch.Generator().manual_seed(0)).tolist()
        picture = torch.empty(3, height, width)
        torch.manual_seed(0)
        ours = torch.tensor([crop(rows, width, height) for rows in draws], dtype=torch.float64)
        transform = v2.RandomResizedCrop(10)
        theirs = torch.tensor(
            [
                [found["left"], found["top"], found["width"], found["height"]]
                for found in (transform.make_params([picture]) for _ in range(count))
            ],
            dtype=torch.float64,
        )
        erased = torch.tensor(
            [box for box in (erasure(rows, width, height) for rows in draws) if box is not None], dtype=torch.float64
        )
        eraser = v2.RandomErasing(1.0)
        theirs_erased = torch.tensor(
            [
                [found["j"], found["i"], found["w"], found["h"]]
                for found in (eraser.make_params([picture]) for _ in range(count))
                if found["v"] is not None
            ],
            dtype=torch.float64,
        )
        for one, other in ((ours, theirs), (erased, theirs_erased)):
            for share in (0.1, 0.25, 0.5, 0.75, 0.9):
                # Pixels; the standard error of these quantiles is about 1.
                difference = one.quantile(share, dim=0) - other.quantile(share, dim=0)
                assert difference.abs().max() <= 4

    def test_a_picture_too_long_for_any(self) -> None:
        draws = torch.ones(10, 4).mul(0.999).tolist()
        assert crop(draws, 1000, 10) == (493, 0, 13, 10)
        assert crop(draws, 10, 1000) == (0, 493, 10, 13)
        assert erasure([[1.0, 1.0, 0.5, 0.5]] * 10, 1000, 10) is None


def test_crops_are_torchvisions() -> None:
    pictures = _pictures(40)
    draws = torch.rand(40, 10, 4, generator=torch.Generator().manual_seed(1))
    mirrored = torch.arange(40) % 2
    found, _ = resized_crops(pictures, NO_PLACES, draws, mirrored)
    for picture, rows, flipped, ours in zip(pictures, draws.tolist(), mirrored, found, strict=True):
        box = crop(rows, 32, 24)
        expected = v2.functional.resized_crop(
            picture, box.top, box.left, box.height, box.width, [24, 32], antialias=False
        )
        expected = expected.flip(-1) if flipped else expected
        assert (ours.int() - expected.int()).abs().max() <= 1


class _OneOperation(v2.RandAugment):
    """torchvision's, with the operation and the sign given."""

    def __init__(self, number: int, magnitude: int):
        super().__init__(num_ops=1, magnitude=magnitude, interpolation=InterpolationMode.BILINEAR)
        self._name = list(self._AUGMENTATION_SPACE)[number]

    def _get_random_item(self, space: dict) -> tuple:  # type: ignore[type-arg]
        return self._name, space[self._name]


@pytest.mark.parametrize("magnitude", [1, 9, 15, 30])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("number", range(OPERATIONS))
def test_rand_augment_is_torchvisions(
    number: int, channels: int, magnitude: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(v2.RandAugment._AUGMENTATION_SPACE) == OPERATIONS
    pictures = _pictures(6, channels=channels)
    signs = torch.tensor([1, -1, 1, -1, 1, -1])
    found, _ = rand_augment(pictures, NO_PLACES, torch.full((6, 1), number), signs[:, None], magnitude)
    oracle = _OneOperation(number, magnitude)
    for picture, sign, ours in zip(pictures, signs, found, strict=True):
        monkeypatch.setattr("torch.rand", lambda *size, sign=sign: torch.tensor(0.75 if sign > 0 else 0.25))
        assert (ours.int() - oracle(picture).int()).abs().max() <= 1


def test_operations_follow_each_other() -> None:
    pictures = _pictures(300)
    generator = torch.Generator().manual_seed(0)
    draws = draw_alterations(Augmentation(rand_augment=9), 300, (24, 32), generator)
    assert draws.operations is not None
    assert draws.signs is not None
    assert set(draws.operations.flatten().tolist()) == set(range(OPERATIONS))
    assert set(draws.signs.flatten().tolist()) == {-1, 1}
    found, _ = rand_augment(pictures, NO_PLACES, draws.operations, draws.signs, 9)
    first, _ = rand_augment(pictures, NO_PLACES, draws.operations[:, :1], draws.signs[:, :1], 9)
    assert torch.equal(found, rand_augment(first, NO_PLACES, draws.operations[:, 1:], draws.signs[:, 1:], 9)[0])
    assert torch.equal(pictures, _pictures(300))  # not in place
    # A picture is altered alike whatever others there are.
    alone, _ = rand_augment(pictures[7:8], NO_PLACES, draws.operations[7:8], draws.signs[7:8], 9)
    assert torch.equal(found[7:8], alone)


def test_erasing() -> None:
    count = 2000
    generator = torch.Generator().manual_seed(0)
    draws = draw_alterations(Augmentation(erasing=0.25), count, (32, 32), generator)
    images = torch.ones(count, 3, 32, 32)
    erase(images, draws, 0.25)
    erased = (images == 0).flatten(1).any(1)
    assert erased.float().mean().item() == pytest.approx(0.25, abs=4 * math.sqrt(0.25 * 0.75 / count))
    shares = (images[erased] == 0).float().mean((1, 2, 3))
    assert 0.01 < shares.min() < 0.04
    assert 0.3 < shares.max() < 0.36
    assert torch.equal(images[:, 0], images[:, 2])  # all channels
    untouched = torch.ones(2, 3, 8, 8)
    erase(untouched, Draws(), 1.0)
    assert untouched.all()


@pytest.fixture
def held(picture_folder: Path) -> Split:
    return load_data(f"folder:{picture_folder}", 32, CPU).train


@pytest.mark.parametrize(
    "augmentation",
    [
        Augmentation("random-resized-crop"),
        Augmentation("crop-flip", rand_augment=9),
        Augmentation(erasing=1.0),
        Augmentation("random-resized-crop", rand_augment=15, erasing=0.5),
    ],
)
def test_of_held_pictures(held: Split, augmentation: Augmentation) -> None:
    def passed(seed: int, share: tuple[int, int] = (0, 1)) -> list[tuple[Tensor, Tensor]]:
        return list(held.batches(16, seed=seed, augmentation=augmentation, share=share))

    whole = passed(1)
    plain = list(held.batches(16, seed=1))
    assert all(torch.equal(images, again) for (images, _), (again, _) in zip(whole, passed(1), strict=True))
    assert not any(torch.equal(images, bare) for (images, _), (bare, _) in zip(whole, plain, strict=True))
    for (images, labels), (bare, bare_labels), one, other in zip(
        whole, plain, passed(1, (0, 2)), passed(1, (1, 2)), strict=True
    ):
        assert images.is_contiguous(memory_format=torch.channels_last)
        assert images.shape == bare.shape
        assert torch.equal(labels, bare_labels)
        assert torch.equal(images[0::2], one[0])
        assert torch.equal(images[1::2], other[0])
    assert all(
        torch.equal(images, bare)  # in order nothing is augmented
        for (images, _), (bare, _) in zip(held.batches(16, augmentation=augmentation), held.batches(16), strict=True)
    )


def test_grey_pictures_are_augmented_too() -> None:
    split = load_data("digits", 32, CPU).validation
    augmentation = Augmentation("random-resized-crop", rand_augment=9, erasing=0.5)
    images, _ = next(split.batches(64, seed=1, augmentation=augmentation))
    assert images.shape == (64, 3, 32, 32)
    assert torch.equal(images[:, 0], images[:, 1])


def test_a_subset(held: Split) -> None:
    chosen = torch.tensor([5, 3, 60])
    part = held.subset(chosen)
    assert torch.equal(part.targets, held.targets[chosen])
    (images, _), *_ = part.batches(3)
    (whole, _), *_ = held.batches(len(held))
    assert torch.equal(images, whole[chosen])
