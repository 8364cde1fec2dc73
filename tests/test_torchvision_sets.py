"""`cifar10`, `cifar100`, `fashion-mnist`, from files as torchvision lays them out."""

import hashlib
import pickle
import shutil
import struct
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision

from search_space import InputError
from training.data.datasets import HeldSplit, load_data

CPU = torch.device("cpu")


def _fashion(root: Path, count: int = 40) -> None:
    folder = root / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    for prefix in ("train", "t10k"):
        labels = (np.arange(count) % 10).astype(np.uint8)
        images = np.repeat(labels * 25, 28 * 28).astype(np.uint8)
        header = struct.pack(">IIII", 2051, count, 28, 28)
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(header + images.tobytes())
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 2049, count) + labels.tobytes())


def test_fashion_mnist(tmp_path: Path) -> None:
    _fashion(tmp_path)
    data = load_data(f"fashion-mnist:{tmp_path}", 32, CPU)
    assert (data.name, data.identity) == ("fashion-mnist", "fashion-mnist")
    assert data.classes[0] == "T-shirt/top"
    assert (len(data.train), len(data.validation)) == (36, 4)
    assert len(load_data(f"fashion-mnist:{tmp_path}", 28, CPU).test) == 40
    (images, labels), *_ = data.train.batches(100)
    assert images.shape == (36, 3, 32, 32)
    with pytest.raises(InputError, match="40 pictures of 16000 pixels need 10 GiB"):
        _ = load_data(f"fashion-mnist:{tmp_path}", 16000, CPU).test
    shutil.rmtree(tmp_path / "FashionMNIST")
    with pytest.raises(InputError, match=f"not in {tmp_path} .*; every host has to see it there"):
        _ = data.test
    shades = (images[:, 0, 16, 16] * 0.3530 + 0.2860) * 255
    assert torch.equal((shades / 25).round().long(), labels)


@pytest.mark.parametrize(("kind", "source"), [("cifar10", "CIFAR10"), ("cifar100", "CIFAR100")])
def test_cifar(kind: str, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = getattr(torchvision.datasets, source)
    folder = tmp_path / made.base_folder
    folder.mkdir()
    fine = kind == "cifar100"

    def stored(name: str, content: dict[str, object]) -> list[str]:
        (folder / name).write_bytes(pickle.dumps(content))
        return [name, hashlib.md5((folder / name).read_bytes()).hexdigest()]

    def pictures(count: int) -> dict[str, object]:
        labels = np.arange(count) % 10
        return {
            "data": np.repeat(labels * 25, 3072).reshape(count, 3072).astype(np.uint8),
            "fine_labels" if fine else "labels": labels.tolist(),
        }

    monkeypatch.setattr(made, "train_list", [stored("one", pictures(30)), stored("two", pictures(20))])
    monkeypatch.setattr(made, "test_list", [stored("three", pictures(20))])
    names = [f"class {number}" for number in range(10)]
    file, checksum = stored("names", {made.meta["key"]: names})
    monkeypatch.setattr(made, "meta", {**made.meta, "filename": file, "md5": checksum})
    data = load_data(f"{kind}:{tmp_path}", 24, CPU)
    assert data.classes == tuple(names)
    assert (len(data.train), len(data.validation), len(data.test)) == (45, 5, 20)
    assert data.train.size == (24, 24)
    for split in (data.train, data.validation, data.test):
        assert isinstance(split, HeldSplit)
        assert torch.equal(split.images[:, 1, 12, 12] // 25, split.targets)
    # A file that was changed is not read, since reading it may run what it says.
    (folder / "one").write_bytes((folder / "two").read_bytes())
    monkeypatch.setattr(made, "download", lambda dataset: None)
    with pytest.raises(InputError, match=rf"`data` {kind}:.*: not in {tmp_path}, and downloading failed"):
        load_data(f"{kind}:{tmp_path}", 24, CPU)


def test_a_download_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: object, **options: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", fails)
    with pytest.raises(InputError, match=r"not in .*, and downloading failed \(.*no route to host.*\)") as told:
        load_data(f"cifar10:{tmp_path}", 32, CPU)
    assert "\n" not in str(told.value)
