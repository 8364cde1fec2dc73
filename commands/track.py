"""Follow people through a video, with their joints: see docs/people.md, and `python track.py --help`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from commands.output_folder import make
from commands.settings import TRACK, TrackSettings
from deployment.model_source import find_model, read_model
from deployment.tracking.answered import Answered, Ask
from deployment.tracking.detections import Detections, by_detector, by_file, disturbed, tracks_within
from deployment.tracking.footage import Footage, find_footage, truth_of
from deployment.tracking.measures import check_installed, followed
from deployment.tracking.pose_tracking import (
    Followed,
    Following,
    check_pose,
    joints_of,
    joints_precision,
    smoothed_along,
    tracks_of,
)
from foundation.device import default_threads, resolve_device
from foundation.errors import InputError
from foundation.files import remove_leftovers, write_json
from foundation.progress import Reporter
from reports.terminal.strip_picture import draw_strip
from reports.terminal.tracking_table import tracking_table
from training.data.people.joints import JOINTS
from training.data.people.made_worse import FALSE, JITTER, MISSED
from training.data.people.mot_text import Tracked, write_tracks
from training.lanes import use_threads

TRACKS, JOINTS_FILE, MEASURES, STRIP = "tracks.txt", "joints.json", "tracking.json", "strip.png"
ANSWERED = "answered.jsonl"
"""What networks answered so far, while the command runs or after a kill."""


def main(arguments: Sequence[str]) -> None:
    """Parses, wires, prints."""
    settings = TRACK.parse(arguments)
    reporter = Reporter(quiet=settings.quiet)
    footage = find_footage(settings.frames, reporter)
    truth = _truth(settings, footage)
    if truth is not None:
        check_installed()
    device = resolve_device(settings.device)
    use_threads(default_threads(), lanes=device.type == "cpu")
    model = read_model(find_model(settings.source), device)
    check_pose(model)
    out = Path(settings.out)
    answered = Answered(out / ANSWERED)
    detections = _detections(settings, footage, device, answered.of, reporter)
    following = Following(by_look=settings.by == "appearance", smoothing=settings.smoothing)
    make(out)
    files = [TRACKS, JOINTS_FILE, STRIP, *([MEASURES] if truth is not None else [])]
    remove_leftovers(out, files)
    if answered.before:
        reporter.say(f"{answered.path}: goes on after {answered.before} answers of networks")
    with answered:
        tracks = tracks_of(footage, detections, following, reporter)
        joints = joints_of(model, footage, tracks, reporter, answered.of)
        result = Followed(tracks, smoothed_along(tracks, joints, footage, following))
        draw_strip(footage, result, out / STRIP)  # first: it may open a frame that nothing did, and refuse it
        _remove_measures(out / MEASURES, truth is not None, reporter)
        write_tracks(out / TRACKS, tracks)
        write_json(out / JOINTS_FILE, _joints(result))
        if truth is not None:
            _tell(settings, footage, result, truth, out, reporter)
    identities = {identity for one in tracks.values() for identity in one.identities.tolist()}
    reporter.say(f"{out}: {', '.join(files)}; {len(identities)} people in {footage.length} frames")


def _truth(settings: TrackSettings, footage: Footage) -> dict[int, Tracked] | None:
    if settings.truth is not None:
        return tracks_within(Path(settings.truth), footage)
    return None if footage.people is None else truth_of(footage.people)


def _detections(
    settings: TrackSettings, footage: Footage, device: torch.device, ask: Ask, reporter: Reporter
) -> Detections:
    """Where the boxes come from; one place alone."""
    if settings.detector is not None and settings.boxes is not None:
        raise InputError("--detector and --boxes: both say where people are; give one of them")
    if settings.detector is not None:
        return by_detector(read_model(find_model(settings.detector), device), footage, settings.least_score, ask)
    if settings.boxes is not None:
        return by_file(Path(settings.boxes), footage)
    if footage.people is None:
        raise InputError(f"{settings.frames}: nothing says where people are; give --detector or --boxes")
    height, width = footage.picture(0).shape[:2]
    reporter.say(
        f"no --detector and no --boxes: the true boxes, {100 * MISSED:.0f} % missed, {100 * FALSE:.0f} % false, moved "
        f"by up to {JITTER:.0f} pixels"
    )
    return disturbed(footage.name, footage.people, (height, width))


def _remove_measures(path: Path, again: bool, reporter: Reporter) -> None:
    """Those of an earlier run: beside new tracks they would be taken for measures of these.

    Args:
        again: whether there will be new ones.
    """
    if path.is_file():
        path.unlink()
        if not again:
            reporter.say(f"{path}: of an earlier run, is removed: no truth is known here")


def _joints(result: Followed) -> dict[str, Any]:
    """The joints of each frame: for each person `id`, and `joints`, 14 of x, y and how likely."""
    frames = {
        str(number): [
            {"id": identity, "joints": [[round(float(value), 3) for value in joint] for joint in own]}
            for identity, own in zip(tracked.identities.tolist(), result.joints[number], strict=True)
        ]
        for number, tracked in result.tracks.items()
    }
    return {"joints": list(JOINTS), "frames": frames}


def _tell(
    settings: TrackSettings,
    footage: Footage,
    result: Followed,
    truth: dict[int, Tracked],
    out: Path,
    reporter: Reporter,
) -> None:
    """The measures, shown and kept."""
    measures = followed(truth, result.tracks)
    kept: dict[str, Any] = dict(measures._asdict())
    if footage.people is not None and settings.truth is None:
        kept["oks_ap"] = joints_precision(result, footage.people)
    reporter.show(tracking_table(measures, kept.get("oks_ap"), f"{footage.name}: people followed, against the truth"))
    write_json(out / MEASURES, kept)
