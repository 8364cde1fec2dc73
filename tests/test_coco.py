"""Pictures with boxes in COCO's format, beside their annotations or as COCO's archives unpack."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.tv_tensors import BoundingBoxes

from foundation.errors import InputError
from tests.saying import Saying
from training.augmentation.recipe import Augmentation
from training.data import coco
from training.data.dataset import Dataset, Wanted
from training.data.held import HeldSplit

CPU = torch.device("cpu")
SIDE = 10
SIZE = 20, 16
CATEGORIES = [
    {"id": 18, "name": "dog"},
    {"id": 3, "name": "car", "supercategory": "vehicle"},
    {"id": 90, "name": "cup"},
]
BOXES = {18: [0, 0, 20, 16], 3: [4, 2.5, 10, 8], 90: [19, 15, 1, 1]}

Said = dict[str, Any]


def _wanted(root: Path, **options: Any) -> Wanted:
    return Wanted(f"coco:{root}", "coco", str(root), SIDE, CPU, **{"reporter": Saying(), **options})


def _load(root: Path, **options: Any) -> Dataset:
    return coco.load(_wanted(root, **options))


def _said(root: Path, **options: Any) -> list[str]:
    wanted = _wanted(root, **options)
    coco.load(wanted)
    assert isinstance(wanted.reporter, Saying)
    return wanted.reporter.said


def _refused(root: Path, message: str, split: str = "") -> None:
    """By one line, which ends with the message; of a split when that is read, and not before."""
    data = _load(root) if split else None
    with pytest.raises(InputError) as told:
        _load(root) if data is None else data.load(split)
    assert str(told.value).endswith(message)
    assert str(root) in str(told.value)
    assert "\n" not in str(told.value)


def _part(folder: Path, count: int, first: int = 0, file: Path | None = None) -> None:
    """Pictures with a dog, a car and a cup each, and one more picture without any."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = range(first, first + count)
    images = [{"id": number, "file_name": f"{number}.jpg", "width": SIZE[0], "height": SIZE[1]} for number in numbers]
    annotations = [
        {"id": 10 * number + place, "image_id": number, "category_id": category, "bbox": box, "iscrowd": 0}
        for number in numbers[1:]
        for place, (category, box) in enumerate(BOXES.items())
    ]
    for number in numbers:
        pixels = np.random.default_rng(number).integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.jpg")
    said = {"info": {}, "images": images, "annotations": annotations, "categories": CATEGORIES}
    (file or folder / "annotations.json").write_text(json.dumps(said))


def _change(file: Path, change: Callable[[Said], object]) -> None:
    said = json.loads(file.read_text())
    change(said)
    file.write_text(json.dumps(said))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for place, (split, count) in enumerate((("train", 5), ("val", 3), ("test", 2))):
        _part(tmp_path / split, count, first=10 * place)
    return tmp_path


class TestSplits:
    """What is delivered."""

    def test_pictures_and_boxes(self, root: Path) -> None:
        data = _load(root)
        assert (data.name, data.classes) == ("coco", ("car", "dog", "cup"))  # in the order of 3, 18, 90
        assert data.files == data.counts == {"train": 5, "validation": 3, "test": 2}
        for split, count in data.counts.items():
            ((images, targets),) = getattr(data, split).batches(8)
            assert images.shape == (count, 3, SIDE, SIDE)
            for own in targets[1:]:
                assert isinstance(own["boxes"], BoundingBoxes)
                assert own["boxes"].canvas_size == (SIDE, SIDE)
                assert own["boxes"].dtype == torch.float32
                assert own["labels"].tolist() == [1, 0, 2]
                expected = [[0, 0, 10, 10], [2, 1.5625, 7, 6.5625], [9.5, 9.375, 10, 10]]
                torch.testing.assert_close(own["boxes"].as_subclass(torch.Tensor), torch.tensor(expected))

    def test_a_picture_without_boxes_stays(self, root: Path) -> None:
        for split in ("train", "validation", "test"):
            first, *_ = getattr(_load(root), split).targets
            assert first["boxes"].shape == (0, 4)
            assert first["labels"].shape == (0,)
            assert first["labels"].dtype == torch.int64

    def test_a_name_is_found_however_the_disk_writes_its_accents(self, root: Path) -> None:
        (root / "train" / "1.jpg").rename(root / "train" / "cafe\u0301.jpg")
        _change(root / "train" / "annotations.json", lambda said: said["images"][1].update(file_name="caf\u00e9.jpg"))
        assert _load(root).count("train") == 5

    def test_what_cannot_be_read_is_told(self, root: Path) -> None:
        (root / "train" / "1.jpg").rename(root / "train" / "1.dng")
        _change(root / "train" / "annotations.json", lambda said: said["images"].pop(1))
        _change(
            root / "train" / "annotations.json",
            lambda said: said.update(annotations=[one for one in said["annotations"] if one["image_id"] != 1]),
        )
        assert any(line.startswith("left out: ") and "1.dng" in line for line in _said(root))

    def test_augmentation_takes_them_along(self, root: Path) -> None:
        ((_, targets),) = _load(root).train.batches(5, seed=0, augmentation=Augmentation(crop="crop-flip"))
        assert all(len(own["boxes"]) == len(own["labels"]) for own in targets)

    def test_crowds_are_not_learnt(self, root: Path) -> None:
        for split in ("train", "val"):
            _change(root / split / "annotations.json", lambda said: said["annotations"][1].update(iscrowd=1))
        data = _load(root)
        assert [len(own["labels"]) for own in data.train.targets] == [0, 2, 3, 3, 3]
        assert all("ignored" not in own for own in data.train.targets)
        assert [own["ignored"].tolist() for own in data.validation.targets] == [[], [False, True, False], [False] * 3]
        assert _said(root)[1] == "boxes around crowds (iscrowd), which a training leaves out: 2"

    def test_pycocotools_reads_the_same(self, root: Path) -> None:
        oracle = pytest.importorskip("pycocotools.coco").COCO(root / "val" / "annotations.json")
        data = _load(root)
        assert list(data.classes) == [own["name"] for own in oracle.loadCats(sorted(oracle.getCatIds()))]
        for number, own in zip(sorted(oracle.getImgIds()), data.validation.targets, strict=True):
            annotations = oracle.loadAnns(oracle.getAnnIds(number))
            boxes = torch.tensor([each["bbox"] for each in annotations]).reshape(-1, 4)
            boxes[:, 2:] += boxes[:, :2]
            boxes *= torch.tensor([SIDE / SIZE[0], SIDE / SIZE[1]] * 2)
            torch.testing.assert_close(own["boxes"].as_subclass(torch.Tensor), boxes)
            names = [oracle.cats[each["category_id"]]["name"] for each in annotations]
            assert [data.classes[label] for label in own["labels"]] == names

    def test_pictures_in_folders(self, root: Path) -> None:
        (root / "val" / "day").mkdir()
        shutil.move(root / "val" / "10.jpg", root / "val" / "day" / "a.jpg")
        _change(root / "val" / "annotations.json", lambda said: said["images"][0].update(file_name="day/a.jpg"))
        assert len(_load(root).validation) == 3

    @pytest.mark.parametrize("orientation", [1, 6, 8])
    def test_boxes_are_of_the_upright_picture(self, root: Path, orientation: int) -> None:
        """A bright box in a picture that lies turned in its file."""
        upright = np.zeros((SIZE[1], SIZE[0]), dtype=np.uint8)
        upright[2:10, 4:14] = 255
        exif = Image.Exif()
        exif[0x0112] = orientation
        back = {1: 0, 6: 90, 8: 270}[orientation]
        lying = Image.fromarray(upright).rotate(back, expand=True)
        lying.save(root / "test" / "21.jpg", exif=exif, quality=100)
        _change(root / "test" / "annotations.json", lambda said: said["annotations"][1].update(bbox=[4, 2, 10, 8]))
        test = _load(root).test
        left, top, right, bottom = test.targets[1]["boxes"][1].tolist()
        assert (left, right) == (2, 7)
        assert (top, bottom) == (1.25, 6.25)
        assert isinstance(test, HeldSplit)
        bright = test.images[1, 0] > 128
        assert bright[2:6, 2:7].all()
        assert bright.sum() == 5 * 5
        _change(root / "test" / "annotations.json", lambda said: said["images"][1].update(width=16, height=20))
        _change(root / "test" / "annotations.json", lambda said: said["annotations"].clear())
        turned = ", upright as its EXIF says" if orientation > 1 else ""
        _refused(
            root,
            f"{root}/test/21.jpg: has 20×16 pixels{turned}, but {root}/test/annotations.json says 16×20; give the size "
            "and the boxes of the upright picture",
            "test",
        )


class TestLayouts:
    """Where pictures and annotations may lie."""

    def test_named_otherwise(self, root: Path) -> None:
        before = {split: getattr(_load(root), split).images for split in ("train", "validation", "test")}
        for split, name in (("train", "Training"), ("val", "dev"), ("test", "eval")):
            (root / split).rename(root / name)
        for split, images in before.items():
            assert torch.equal(getattr(_load(root), split).images, images)

    @pytest.mark.parametrize(
        ("there", "counts", "said"),
        [
            ("train val", (5, 2, 1), "training: train/; validation and test: half of val/ each"),
            (
                "train test",
                (4, 1, 2),
                "training: train/; validation: held out of train/, 15 % of the pictures; test: test/",
            ),
            ("train", (3, 1, 1), "training, validation and test: 70, 15 and 15 % of the pictures in train/"),
        ],
    )
    def test_missing_splits(self, root: Path, there: str, counts: tuple[int, ...], said: str) -> None:
        for split in {"train", "val", "test"} - {*there.split()}:
            shutil.rmtree(root / split)
        data = _load(root)
        assert tuple(data.counts.values()) == counts
        assert _said(root)[0] == f"coco: 3 classes (car, dog, cup); {said}"
        whole = torch.cat([getattr(data, split).images for split in data.counts])
        assert len(whole.unique(dim=0)) == sum(counts)

    def test_a_lone_folder(self, tmp_path: Path) -> None:
        _part(tmp_path, 10)
        assert tuple(_load(tmp_path).counts.values()) == (7, 2, 1)
        assert _said(tmp_path) == [
            "coco: 3 classes (car, dog, cup); training, validation and test: 70, 15 and 15 % of the pictures"
        ]

    def test_as_the_archives_unpack(self, tmp_path: Path) -> None:
        (tmp_path / "annotations").mkdir()
        for split, count in (("train2017", 20), ("val2017", 4)):
            _part(tmp_path / split, count, len(split) * 10, tmp_path / "annotations" / f"instances_{split}.json")
        (tmp_path / "annotations" / "captions_train2017.json").touch()
        assert tuple(_load(tmp_path).counts.values()) == (17, 3, 4)
        assert _said(tmp_path) == [
            "coco: 3 classes (car, dog, cup); training: train2017/; validation: held out of train2017/, 15 % of the "
            "pictures; test: val2017/"
        ]
        (tmp_path / "annotations" / "instances_train2014.json").touch()
        _refused(
            tmp_path,
            f"{tmp_path}/annotations has annotations of train2014 and of train2017; move one of them elsewhere",
        )

    def test_a_folder_called_annotations_may_be_beside(self, root: Path) -> None:
        (root / "annotations").mkdir()
        (root / "annotations" / "instances_default.json").touch()
        assert len(_load(root).train) == 5

    def test_what_no_annotations_name_is_left_out(self, root: Path) -> None:
        shutil.copy(root / "train" / "0.jpg", root / "val" / "more.jpg")
        (root / "raw").mkdir()
        assert _said(root)[-1] == (
            "left out: 1 folder that is not of a split (e.g. raw), "
            "1 picture that no annotations name (e.g. val/more.jpg)"
        )
        assert len(_load(root).validation) == 3

    def test_identity(self, root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
        before = _load(root).identity
        elsewhere = tmp_path_factory.mktemp("elsewhere")
        shutil.copytree(root, elsewhere, dirs_exist_ok=True)
        _change(elsewhere / "test" / "annotations.json", lambda said: said["images"].reverse())
        assert _load(elsewhere).identity == before
        _change(elsewhere / "test" / "annotations.json", lambda said: said["annotations"][0].update(bbox=[0, 0, 1, 1]))
        assert _load(elsewhere).identity != before


def _images(**fields: object) -> Callable[[Said], object]:
    return lambda said: said["images"][1].update(fields)


def _annotations(**fields: object) -> Callable[[Said], object]:
    return lambda said: said["annotations"][1].update(fields)


def _category(number: int, name: object) -> Callable[[Said], object]:
    return lambda said: said["categories"].append({"id": number, "name": name})


MEND = "mend or remove it, or give `skip_corrupt`"
CORRECT = "correct it or remove the annotation"
FOUR = "bbox: expected [x, y, width, height]"
BEYOND = "reaches beyond its picture of 20×16 pixels"
IMAGE, ANNOTATION = "images[1] (id 11)", "annotations[1] (id 111)"


class TestRefusals:
    """One line, which names the file, the entry and what to do."""

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda said: said.pop("images"), "images: expected a list, got None; give COCO's format"),
            (lambda said: said.update(annotations={}), "annotations: expected a list, got {}; give COCO's format"),
            (lambda said: said["images"].append(7), "images[3]: expected an object, got 7; give COCO's format"),
            (_images(id="11"), "images[1]: id: expected an integer, got '11'; correct it"),
            (_images(id=True), "images[1]: id: expected an integer, got True; correct it"),
            (_images(id=10), "images[1] (id 10): another one has the id 10; give each its own"),
            (_images(width=None), f"{IMAGE}: width: expected an integer, got None; correct it"),
            (_images(file_name=3), f"{IMAGE}: file_name: expected a text, got 3; correct it"),
            (_images(file_name="10.jpg"), f"{IMAGE}: '10.jpg' is of another image too; remove one"),
            (_annotations(image_id=99), f"{ANNOTATION}: image_id 99 is none of the images; {CORRECT}"),
            (_annotations(category_id=1), f"{ANNOTATION}: category_id 1 is no category; {CORRECT}"),
            (_annotations(iscrowd=2), f"{ANNOTATION}: iscrowd: expected 0 or 1, got 2; correct it"),
            (_annotations(bbox=[1, 2, 3]), f"{ANNOTATION}: {FOUR}, got [1, 2, 3]; correct it"),
            (_annotations(bbox=[1, 2, 3, "4"]), f"{ANNOTATION}: {FOUR}, got [1, 2, 3, '4']; correct it"),
            (_annotations(bbox=[1, 2, 0, 4]), f"{ANNOTATION}: box [1, 2, 0, 4] has no area; {MEND}"),
            (_annotations(bbox=[1, 2, 3, -4]), f"{ANNOTATION}: box [1, 2, 3, -4] has no area; {MEND}"),
            (_annotations(bbox=[1, 2, 21, 4]), f"{ANNOTATION}: box [1, 2, 21, 4] {BEYOND}; {MEND}"),
            (_annotations(bbox=[30, 2, 1, 4]), f"{ANNOTATION}: box [30, 2, 1, 4] {BEYOND}; {MEND}"),
            (_annotations(bbox=[1, -2, 1, 4]), f"{ANNOTATION}: box [1, -2, 1, 4] {BEYOND}; {MEND}"),
            (
                lambda said: said["annotations"].append(said["annotations"][0]),
                "annotations[6] (id 110): another one has the id 110; give each its own",
            ),
            (_category(3, "bus"), "categories[3] (id 3): another one has the id 3; give each its own"),
            (_category(4, "car"), "two categories are called 'car'; rename one"),
            (_category(4, None), "categories[3] (id 4): name: expected a text, got None; correct it"),
            (lambda said: said.update(categories=[]), "has no categories; name at least one"),
        ],
    )  # fmt: skip
    def test_entries(self, root: Path, change: Callable[[Said], object], message: str) -> None:
        file = root / "val" / "annotations.json"
        _change(file, change)
        _refused(root, f"{file}: {message}")

    def test_boxes_in_shares_of_the_picture(self, root: Path) -> None:
        def shares(said: Said) -> None:
            for annotation in said["annotations"]:
                annotation["bbox"] = [0.25, 0.5, 0.75, 0.5]

        for split in ("val", "test"):
            _change(root / split / "annotations.json", shares)
        _load(root)  # one of many pixels is enough to tell that pixels are meant
        _change(root / "train" / "annotations.json", shares)
        by = f"(by {root / 'train' / 'annotations.json'})"
        _refused(root, f".jpg {by}; are they shares of the picture? give them in pixels")

    @pytest.mark.parametrize("name", ["none.jpg", "../train/0.jpg", "/etc/passwd", "annotations.json"])
    def test_images_without_a_picture(self, root: Path, name: str) -> None:
        file = root / "val" / "annotations.json"
        _change(file, _images(file_name=name))
        _refused(root, f"{file}: {IMAGE}: '{name}' is no picture in {root}/val; add it or remove the image")

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ('{"images": [', "JSON text: Expecting value: line 1 column 13 (char 12); mend it, or give the right file"),
            ("[]", "expected an object of images, annotations and categories, got []"),
            ('{"images": [], "images": []}', "JSON text: repeated key 'images'; mend it, or give the right file"),
            ('{"images": [NaN]}', "images[0]: expected a finite number, got nan; mend it, or give the right file"),
        ],
    )
    def test_broken_json(self, root: Path, text: str, message: str) -> None:
        file = root / "train" / "annotations.json"
        file.write_text(text)
        _refused(root, f"{file}: {message}")

    def test_categories_that_differ(self, root: Path) -> None:
        _change(root / "test" / "annotations.json", lambda said: said["categories"].append({"id": 91, "name": "bus"}))
        _refused(
            root,
            f"category 91 ('bus') is not in both {root}/train/annotations.json and {root}/test/annotations.json; give "
            "each all",
        )

    @pytest.mark.parametrize("split", ["train", "val", "test"])
    def test_an_empty_split(self, root: Path, split: str) -> None:
        _change(root / split / "annotations.json", lambda said: said.update(images=[], annotations=[]))
        _refused(root, f"no pictures for the {'validation' if split == 'val' else split} split; add some")

    def test_what_is_not_there(self, root: Path) -> None:
        _refused(root / "none", f"no such folder: {root}/none; give one that is there")
        file = root / "val" / "annotations.json"
        file.unlink()
        _refused(
            root,
            f"no such file: {file}; the annotations of the validation pictures belong there, in COCO's format",
        )
        (root / "annotations").mkdir()
        (root / "annotations" / "instances_train2017.json").touch()
        _refused(
            root,
            f"no such folder: {root}/train2017, of the pictures of {root}/annotations/instances_train2017.json; add it",
        )

    def test_a_training_without_boxes(self, root: Path) -> None:
        _change(root / "train" / "annotations.json", lambda said: said["annotations"].clear())
        _refused(root, "the training pictures have no boxes that count; add some", "train")

    def test_a_test_without_boxes_that_count(self, root: Path) -> None:
        def crowds(said: Said) -> None:
            for annotation in said["annotations"]:
                annotation["iscrowd"] = 1

        _change(root / "test" / "annotations.json", crowds)
        _refused(root, "the test pictures have no boxes that count; add some", "test")

    def test_a_class_without_boxes_is_said(self, root: Path) -> None:
        for split in ("train", "val"):
            _change(root / split / "annotations.json", lambda said: said["annotations"].pop(0))
            _change(root / split / "annotations.json", lambda said: said["annotations"].__delitem__(slice(2, None)))
        wanted = _wanted(root)
        data = coco.load(wanted)
        assert len(data.train) + len(data.validation) == 8
        assert isinstance(wanted.reporter, Saying)
        assert wanted.reporter.said[1:] == [
            "train: no boxes of 1 of 3 classes, which nothing can be learnt about: dog",
            "validation: no boxes of 1 of 3 classes, which nothing can be said about: dog",
        ]

    def test_what_cannot_be_decoded(self, root: Path) -> None:
        broken = root / "train" / "1.jpg"
        broken.write_bytes(broken.read_bytes()[:200])
        with pytest.raises(InputError, match=rf"cannot decode {broken} .*; mend or remove it, or give `skip_corrupt`"):
            _ = _load(root).train
        turned = root / "train" / "4.jpg"
        exif = Image.Exif()
        exif[0x0112] = 3
        with Image.open(turned) as picture:
            picture.save(turned, exif=exif)
        wanted = _wanted(root, skip_corrupt=True)
        train = coco.load(wanted).train
        assert isinstance(wanted.reporter, Saying)
        assert wanted.reporter.said[1:] == [
            f"train: 1 of 5 pictures cannot be decoded and are passed over: {broken}",
            f"train: 1 of 4 pictures lie turned in their files, and are turned upright as their EXIF says: {turned}, …",
        ]
        assert [len(own["labels"]) for own in train.targets] == [0, 3, 3, 3]

    def test_boxes_that_cannot_be_used_are_left_out(self, root: Path) -> None:
        file = root / "val" / "annotations.json"
        _change(file, _annotations(bbox=[1, 2, 0, 4]))
        assert [len(own["labels"]) for own in _load(root, skip_corrupt=True).validation.targets] == [0, 2, 3]
        assert _said(root, skip_corrupt=True)[1] == (
            f"boxes that cannot be used and are left out: 1 (e.g. {file}: {ANNOTATION}: box [1, 2, 0, 4] has no area)"
        )

    def test_rounded_boxes_are_cut(self, root: Path) -> None:
        _change(root / "val" / "annotations.json", _annotations(bbox=[-0.5, 8, 21, 8.01]))
        assert _load(root).validation.targets[1]["boxes"][1].tolist() == [0, 5, SIDE, SIDE]


VALUES = st.sampled_from([None, True, -1, 0, 1 << 62, 1e300, -0.0, "", "../x", "\ud800", [], {}, [[]], [1e308] * 4])


@given(path=st.integers(0, 200), value=VALUES)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_stands_in_the_file(root: Path, path: int, value: object) -> None:
    """It is read, or refused by one line."""
    file = root / "val" / "annotations.json"
    before = file.read_text()
    said = json.loads(before)
    places: list[tuple[Any, Any]] = [(said, key) for key in said]
    places += [
        (entry, key) for name in ("images", "annotations", "categories") for entry in said[name] for key in entry
    ]
    holder, key = places[path % len(places)]
    holder[key] = value
    file.write_text(json.dumps(said))
    message = ""
    try:
        _ = _load(root).validation
    except InputError as error:
        message = str(error)
    finally:
        file.write_text(before)
    assert "\n" not in message
