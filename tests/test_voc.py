"""PASCAL VOC's folder, for masks and for boxes: as torchvision reads it."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import VOCDetection, VOCSegmentation
from torchvision.tv_tensors import BoundingBoxes, Mask

from foundation.errors import InputError
from tests.saying import Saying
from training.data import voc
from training.data.dataset import Dataset, Wanted

CPU = torch.device("cpu")
SIDE = 10
TRAIN, VAL = [f"2007_{number:06}" for number in range(10)], ["2008_000001", "2008_000002"]

Load = Callable[[Wanted], Dataset]
Object = tuple[str, tuple[float | str, ...], int]
"""Class, corners as VOC writes them, and whether it is difficult."""

SIZE = 20, 16
OBJECTS: Sequence[Object] = (
    ("dog", (1, 1, 20, 16), 0),
    ("aeroplane", (3, 5, 3, 5), 1),
    ("tvmonitor", (7.5, 2, 11.25, 9), 0),
)


def _wanted(root: Path, **options: Any) -> Wanted:
    return Wanted(f"voc:{root}", "voc", str(root), SIDE, CPU, **{"reporter": Saying(), **options})


def _refused(root: Path, load: Load, message: str, split: str = "") -> None:
    """By one line, which ends with the message; of a split when that is read, and not before."""
    data = load(_wanted(root)) if split else None
    with pytest.raises(InputError) as told:
        load(_wanted(root)) if data is None else data.load(split)
    assert str(told.value).endswith(message)
    assert str(root) in str(told.value)
    assert "\n" not in str(told.value)


def _xml(name: str, objects: Sequence[Object] = OBJECTS, size: tuple[int, int] = SIZE) -> str:
    said = "".join(
        f"<object><name>{own}</name><pose>Left</pose><difficult>{difficult}</difficult><bndbox>"
        f"<xmin>{box[0]}</xmin><ymin>{box[1]}</ymin><xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox>"
        "<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part></object>"
        for own, box, difficult in objects
    )
    return (
        f"<annotation><folder>VOC2012</folder><filename>{name}.jpg</filename>"
        f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>{said}</annotation>"
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Twelve pictures, ten of them to train on."""
    root = tmp_path / "VOCdevkit" / "VOC2012"
    for folder in ("JPEGImages", "Annotations", "SegmentationClass", "ImageSets/Main", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    for number, name in enumerate([*TRAIN, *VAL]):
        rng = np.random.default_rng(number)
        Image.fromarray(rng.integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)).save(
            root / "JPEGImages" / f"{name}.jpg"
        )
        mask = Image.fromarray(rng.choice([0, 1, 12, 20, 255], (SIZE[1], SIZE[0])).astype(np.uint8))
        mask.putpalette(range(250))
        mask.save(root / "SegmentationClass" / f"{name}.png")
        (root / "Annotations" / f"{name}.xml").write_text(_xml(name))
    for kind in ("Main", "Segmentation"):
        for split, names in (("train", TRAIN), ("val", VAL)):
            (root / "ImageSets" / kind / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))
    return root


def test_masks_are_torchvisions(root: Path) -> None:
    data = voc.load_masks(_wanted(root))
    assert len(data.classes) == 21
    assert (data.classes[0], data.classes[1], data.classes[20]) == ("background", "aeroplane", "tvmonitor")
    assert data.counts == {"train": 8, "validation": 2, "test": 2}
    oracle = VOCSegmentation(root.parent.parent, year="2012", image_set="val")
    assert isinstance(data.test.targets, Mask)
    for own, (picture, mask) in zip(data.test.targets, oracle, strict=True):
        assert picture.size == SIZE
        small = mask.resize((SIDE, SIDE), Image.Resampling.NEAREST)
        assert torch.equal(own.as_subclass(torch.Tensor), torch.from_numpy(np.array(small)))
    assert {255, 20} < set(data.train.targets.unique().tolist())


def test_boxes_are_torchvisions(root: Path) -> None:
    """But for the pixel that VOC counts from, and in the square."""
    data = voc.load_boxes(_wanted(root))
    assert data.classes == voc.CLASSES
    assert data.counts == {"train": 8, "validation": 2, "test": 2}
    oracle = VOCDetection(root.parent.parent, year="2012", image_set="val")
    for own, (_, said) in zip(data.test.targets, oracle, strict=True):
        objects = said["annotation"]["object"]
        assert [voc.CLASSES[label] for label in own["labels"]] == [each["name"] for each in objects]
        assert own["ignored"].tolist() == [each["difficult"] == "1" for each in objects]
        assert isinstance(own["boxes"], BoundingBoxes)
        assert own["boxes"].canvas_size == (SIDE, SIDE)
        corners = [[float(each["bndbox"][edge]) for edge in ("xmin", "ymin", "xmax", "ymax")] for each in objects]
        expected = (torch.tensor(corners) - torch.tensor([1, 1, 0, 0])) * torch.tensor([SIDE / 20, SIDE / 16] * 2)
        torch.testing.assert_close(own["boxes"].as_subclass(torch.Tensor), expected)
    assert data.test.targets[0]["boxes"][0].tolist() == [0, 0, SIDE, SIDE]


def test_difficult_objects_are_not_learnt(root: Path) -> None:
    data = voc.load_boxes(_wanted(root))
    for own in data.train.targets:
        assert [voc.CLASSES[label] for label in own["labels"]] == ["dog", "tvmonitor"]
        assert own.keys() == {"boxes", "labels"}
    for split in (data.validation, data.test):
        assert all(own["ignored"].tolist() == [False, True, False] for own in split.targets)


def test_classes_of_ones_own(root: Path) -> None:
    for name in (*TRAIN, *VAL):
        (root / "Annotations" / f"{name}.xml").write_text(_xml(name, [("helmet", (1, 1, 20, 16), 0)]))
    identity = voc.load_masks(_wanted(root)).identity
    (root / "classes.txt").write_text("helmet\n")
    data = voc.load_boxes(_wanted(root))
    assert data.classes == ("helmet",)
    assert [own["labels"].tolist() for own in data.test.targets] == [[0], [0]]
    _refused(root, voc.load_masks, f"{root / 'classes.txt'}: 1 classes; expected 2 to 255, one a line")
    (root / "Annotations" / f"{VAL[0]}.xml").write_text(_xml(VAL[0]))
    _refused(root, voc.load_boxes, f"object 1: class 'dog' is no class of {root / 'classes.txt'}; name it there")
    numbered = [f"part {number}" for number in range(21)]
    (root / "classes.txt").write_text("\n".join(numbered))
    masks = voc.load_masks(_wanted(root))
    assert masks.classes == tuple(numbered)
    assert masks.identity != identity


def test_a_picture_without_objects_stays(root: Path) -> None:
    (root / "Annotations" / f"{VAL[0]}.xml").write_text(_xml(VAL[0], []))
    test = voc.load_boxes(_wanted(root)).test
    assert len(test) == 2
    first = test.targets[0]
    assert first["boxes"].shape == (0, 4)
    assert first["labels"].shape == (0,)


@pytest.mark.parametrize("load", [voc.load_masks, voc.load_boxes])
def test_what_is_said_and_held_out(root: Path, load: Load) -> None:
    wanted = _wanted(root)
    data = load(wanted)
    assert isinstance(wanted.reporter, Saying)
    assert wanted.reporter.said == ["voc: training: train.txt; validation: 2 of it, held out; test: val.txt"]
    assert torch.equal(data.validation.images, load(_wanted(root)).validation.images)
    whole = torch.cat([split.images for split in (data.train, data.validation, data.test)])
    assert len(whole.unique(dim=0)) == 12


def test_identities_differ_by_what_is_learnt(root: Path) -> None:
    before = voc.load_boxes(_wanted(root)).identity
    assert before != voc.load_masks(_wanted(root)).identity
    (root / "Annotations" / f"{VAL[0]}.xml").write_text(_xml(VAL[0], OBJECTS[:2]))
    assert before != voc.load_boxes(_wanted(root)).identity


@pytest.mark.parametrize("load", [voc.load_masks, voc.load_boxes])
class TestLists:
    """What names the pictures."""

    def test_no_folder(self, root: Path, load: Load) -> None:
        _refused(root / "none", load, f"no such folder: {root}/none; give one that is there")
        remedy = "give VOC's own, such as VOCdevkit/VOC2012"
        _refused(root.parent, load, f"no such folder: {root.parent}/JPEGImages; {remedy}")
        folder = "SegmentationClass" if load is voc.load_masks else "Annotations"
        shutil.rmtree(root / folder)
        _refused(root, load, f"no such folder: {root}/{folder}; {remedy}")

    @pytest.mark.parametrize("split", ["train", "val"])
    def test_lists(self, root: Path, load: Load, split: str) -> None:
        file = root / "ImageSets" / ("Segmentation" if load is voc.load_masks else "Main") / f"{split}.txt"
        first = file.read_text().split()[0]
        role = {"train": "train", "val": "test"}[split]

        file.write_text(f"{first}\n{first}\n")
        _refused(root, load, f"{file} names '{first}', which is named before; remove one")
        file.write_text("2006_000001\n")
        _refused(root, load, f"{file} names '2006_000001', which is no picture in {root}/JPEGImages; add or remove it")
        file.write_text("../../../etc/passwd\n")
        _refused(
            root,
            load,
            f"{file} names '../../../etc/passwd', which is no picture in {root}/JPEGImages; add or remove it",
        )
        file.write_text("\n \n")
        _refused(root, load, f"no pictures for the {role} split; add some")
        file.unlink()
        _refused(root, load, f"no such file: {file}; it names the {role} pictures, one a line")

    def test_a_picture_in_both_lists(self, root: Path, load: Load) -> None:
        for file in root.glob("ImageSets/*/val.txt"):
            file.write_text(f"{TRAIN[0]}\n")
        with pytest.raises(InputError, match=f"val.txt names '{TRAIN[0]}', which is named before; remove one"):
            load(_wanted(root))

    def test_a_picture_that_nothing_is_said_of(self, root: Path, load: Load) -> None:
        folder, suffix = ("SegmentationClass", "png") if load is voc.load_masks else ("Annotations", "xml")
        file = root / folder / f"{VAL[0]}.{suffix}"
        file.unlink()
        _refused(root, load, f"names '{VAL[0]}', but there is no {file}; add it or remove the name")


REMEDY = "; mend or remove it, or give `skip_corrupt`"


def _box(left: float, top: float, right: float | str, bottom: float) -> str:
    return _xml("a", [("dog", (left, top, right, bottom), 0)])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<annotation>", "broken XML (no element found: line 1, column 12); mend it"),
        ("", "broken XML (no element found: line 1, column 0); mend it"),
        ("<dog/>", "expected XML of VOC's, an <annotation>, got <dog>; give the right file"),
        ("<annotation/>", "size/width: expected a number, got nothing; correct it"),
        (
            _xml("a", [("wolf", (1, 1, 2, 2), 0)]),
            "object 1: class 'wolf' is none of VOC's 20, such as aeroplane; correct it, or name classes of your own in "
            "a classes.txt beside ImageSets",
        ),
        (_box(5, 5, "x", 9), "object 1: bndbox/xmax: expected a number, got 'x'; correct it"),
        (_box(5, 5, "inf", 9), "object 1: bndbox/xmax: expected a number, got 'inf'; correct it"),
        (
            _xml("a").replace("<difficult>1", "<difficult>?"),
            "object 2: difficult: expected a number, got '?'; correct it",
        ),
        (_box(5, 5, 4, 9), f"object 1: box [5.0, 5.0, 4.0, 9.0] has no area{REMEDY}"),
        (_box(5, 5, 9, 18), f"object 1: box [5.0, 5.0, 9.0, 18.0] reaches beyond its picture of 20×16 pixels{REMEDY}"),
        (_box(-1, 5, 9, 9), f"object 1: box [-1.0, 5.0, 9.0, 9.0] reaches beyond its picture of 20×16 pixels{REMEDY}"),
        (
            _box(21, 5, 21, 9),
            f"object 1: box [21.0, 5.0, 21.0, 9.0] reaches beyond its picture of 20×16 pixels{REMEDY}",
        ),
    ],
)
def test_annotations_that_are_refused(root: Path, text: str, message: str) -> None:
    file = root / "Annotations" / f"{TRAIN[3]}.xml"
    file.write_text(text)
    _refused(root, voc.load_boxes, f"{file}: {message}")


def test_no_entity_is_expanded(root: Path, tmp_path: Path) -> None:
    """Neither one that grows nor one that reads another file."""
    (tmp_path / "secret").write_text("dog")
    for entity in ('"' + "dog" * 99 + '"', f'SYSTEM "file://{tmp_path}/secret"'):
        file = root / "Annotations" / f"{TRAIN[3]}.xml"
        objects = _xml("a", [("&x;", (1, 1, 2, 2), 0)])
        file.write_text(f"<!DOCTYPE annotation [<!ENTITY x {entity}>]>{objects}")
        _refused(
            root,
            voc.load_boxes,
            f"{file}: declares a document type, which VOC's annotations do not; remove the declaration",
        )


def test_nested_without_end(root: Path) -> None:
    file = root / "Annotations" / f"{TRAIN[3]}.xml"
    file.write_text("<a>" * 140_000 + "</a>" * 140_000)
    _refused(root, voc.load_boxes, f"{file}: expected XML of VOC's, an <annotation>, got <a>; give the right file")
    file.write_text("<annotation>" + "<a>" * 140_000 + "</a>" * 140_000 + "</annotation>")
    _refused(root, voc.load_boxes, f"{file}: size/width: expected a number, got nothing; correct it")


def test_boxes_counted_from_zero_are_cut(root: Path) -> None:
    """A pixel beyond the picture is nothing but rounding."""
    (root / "Annotations" / f"{VAL[0]}.xml").write_text(_xml(VAL[0], [("cat", (0, 0, 20.9, 17), 0)]))
    assert voc.load_boxes(_wanted(root)).test.targets[0]["boxes"].tolist() == [[0, 0, SIDE, SIDE]]


def test_boxes_that_cannot_be_used_are_left_out(root: Path) -> None:
    file = root / "Annotations" / f"{VAL[0]}.xml"
    file.write_text(_xml(VAL[0], [*OBJECTS, ("dog", (5, 5, 4, 9), 0), ("dog", (0, 0, 90, 90), 0)]))
    wanted = _wanted(root, skip_corrupt=True)
    assert voc.load_boxes(wanted).test.targets[0]["labels"].tolist() == [11, 0, 19]
    assert isinstance(wanted.reporter, Saying)
    assert wanted.reporter.said[1] == (
        f"boxes that cannot be used and are left out: 2 (e.g. {file}: object 4: box [5.0, 5.0, 4.0, 9.0] has no area)"
    )


def test_another_size(root: Path) -> None:
    file = root / "Annotations" / f"{VAL[0]}.xml"
    file.write_text(_xml(VAL[0], size=(40, 32)))
    _refused(
        root,
        voc.load_boxes,
        f"{root}/JPEGImages/{VAL[0]}.jpg: has 20×16 pixels, but {file} says 40×32; give the size and the boxes of the "
        "upright picture",
        "test",
    )


def test_a_mask_of_another_size(root: Path) -> None:
    mask = root / "SegmentationClass" / f"{VAL[1]}.png"
    Image.fromarray(np.zeros((20, 16), dtype=np.uint8)).save(mask)
    _refused(
        root,
        voc.load_masks,
        f"{mask}: a mask of 16×20 pixels, but {root}/JPEGImages/{VAL[1]}.jpg has 20×16; each needs the other's size",
        "test",
    )


def test_a_training_without_boxes(root: Path) -> None:
    for name in TRAIN:
        (root / "Annotations" / f"{name}.xml").write_text(_xml(name, [("dog", (1, 1, 2, 2), 1)]))
    _refused(root, voc.load_boxes, "the training pictures have no boxes that count; add some", "train")
