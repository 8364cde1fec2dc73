"""Frames of a test video side by side: above with the truth, below with what a network says of who is in them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from deployment.answers import mapped
from deployment.model_source import Model
from reports.terminal.examples_picture import draw_whole
from training.data.people.clip import People
from training.data.people.film import FilmedSplit
from training.resize import resized
from training.task import Filming

HEIGHT = 192  # pixels of a frame
GAP, TITLE = 4, 16


def draw_film(task: Filming, model: Model, split: FilmedSplit, classes: tuple[str, ...], name: str, path: Path) -> None:
    """Writes a PNG of two rows of frames, titled `truth` and the network's name; what it says is the lower row."""
    film, resolution = split.film(), model.info.architecture.resolution
    rows: list[list[Tensor]] = [[], []]
    for picture, people, inputs in zip(film.pictures, film.people, film.inputs, strict=True):
        enlarged, scaled = _enlarged(picture, people)
        answers = None
        if len(people):
            answers = mapped(model.see(resized(split.as_given(inputs), resolution)).answers, Tensor.cpu)
        for row, said in zip(rows, (None, answers), strict=True):
            drawn = task.on_frame(enlarged, scaled, said, resolution, classes) if len(people) else enlarged
            row.append(torch.nn.functional.pad(drawn, (0, GAP, 0, 0), value=255))
    strips = [_titled(torch.cat(row, 2), title) for row, title in zip(rows, ("truth", name), strict=True)]
    draw_whole(torch.cat(strips, 1), path, strips[0].shape[1])


def _enlarged(picture: np.ndarray, people: People) -> tuple[Tensor, People]:
    """The frame at the height that it is shown at, and where people are in it then."""
    scale = HEIGHT / picture.shape[0]
    image = Image.fromarray(picture).resize((max(1, round(picture.shape[1] * scale)), HEIGHT))
    moved = replace(people, boxes=people.boxes * scale, joints=people.joints * scale)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1), moved


def _titled(row: Tensor, title: str) -> Tensor:
    """The row below a line of text."""
    line = Image.new("RGB", (row.shape[2], TITLE), "white")
    ImageDraw.Draw(line).text((2, 2), title.encode("ascii", "replace").decode(), fill="black")
    return torch.cat([torch.from_numpy(np.array(line)).permute(2, 0, 1), row], 1)
