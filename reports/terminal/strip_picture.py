"""Frames of a video side by side, with the people who are followed: boxes in the colour of each, figures of lines."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, PngImagePlugin

from deployment.tracking.footage import Footage
from deployment.tracking.pose_tracking import Followed
from foundation.files import write_atomically
from reports.terminal.annotated_picture import SOFTWARE
from tasks.colours import colour
from tasks.pose.drawing import skeletons

SHOWN = 5  # frames, the same distance apart
HEIGHT = 240  # pixels of a frame
GAP = 4


def draw_strip(footage: Footage, followed: Followed, path: Path) -> None:
    """Writes a PNG of some frames, the first and the last among them."""
    places = sorted({round(place) for place in np.linspace(0, footage.length - 1, SHOWN)})
    frames = [_drawn(footage, followed, place) for place in places]
    across = sum(frame.width for frame in frames) + GAP * (len(frames) - 1)
    strip = Image.new("RGB", (across, HEIGHT), "white")
    left = 0
    for frame in frames:
        strip.paste(frame, (left, 0))
        left += frame.width + GAP
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Software", SOFTWARE)
    write_atomically(path, lambda temporary: strip.save(temporary, format="PNG", pnginfo=texts))


def _drawn(footage: Footage, followed: Followed, place: int) -> Image.Image:
    whole = Image.fromarray(footage.picture(place))
    size = (whole.height, whole.width)
    image = whole.resize((max(1, round(whole.width * HEIGHT / whole.height)), HEIGHT))
    tracked, joints = followed.tracks[place + 1], followed.joints[place + 1]
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    lines = skeletons(pixels, torch.from_numpy(joints).float(), size).picture
    image = Image.fromarray(lines.permute(1, 2, 0).numpy())
    draw = ImageDraw.Draw(image)
    scale = HEIGHT / whole.height
    for box, identity in zip(tracked.boxes, tracked.identities.tolist(), strict=True):
        corners: Sequence[float] = [scale * float(side) for side in box]
        draw.rectangle(corners, outline=colour(identity), width=2)
        draw.text((corners[0] + 3, corners[1] + 1), str(identity), fill=colour(identity))
    draw.text((4, HEIGHT - 14), f"frame {place + 1}", fill="white", stroke_width=1, stroke_fill="black")
    return image
