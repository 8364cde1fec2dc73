"""A Kalman filter for a box that moves at a constant velocity.

The state is the box's centre x and y, its width and height, and how fast each of them changes, a frame. How uncertain
each is follows from the height, as in DeepSORT (arXiv:1703.07402), which has the aspect for the width.
"""

from dataclasses import dataclass

import numpy as np

from training.data.people.clip import Array

OF_PLACE, OF_VELOCITY = 1 / 20, 1 / 160
"""Standard deviations, in heights of the box."""

GATE = 9.4877
"""Squared Mahalanobis distance that 95 % stay below: the .95 quantile of χ² with 4 degrees of freedom."""

OF_WIDTH = 1 / 5
"""The same of a width: of someone who walks it changes by as much from step to step, by no constant velocity."""

FIRST_VELOCITY = 1 / 10
"""The same of the velocity of a box that was seen once: someone who runs makes about as much."""

_LEAST = 1e-3  # pixels of a side
_MOTION = np.eye(8) + np.eye(8, k=4)


@dataclass(frozen=True)
class State:
    """What is known of a box: a mean (8) and a covariance (8×8)."""

    mean: Array
    covariance: Array

    @property
    def box(self) -> Array:
        """Left, top, right and bottom of the box where it is thought to be."""
        half = np.maximum(self.mean[2:4], _LEAST) / 2
        return np.concatenate([self.mean[:2] - half, self.mean[:2] + half])


def measured(box: Array) -> Array:
    """A box (left, top, right, bottom) as a filter sees it: centre, width, height."""
    left, top, right, bottom = (float(side) for side in box)
    return np.array([(left + right) / 2, (top + bottom) / 2, right - left, bottom - top])


def begun(box: Array) -> State:
    """A box that was seen once: it is about there, and may move anywhere."""
    mean = np.concatenate([measured(box), np.zeros(4)])
    return State(mean, _spread(OF_PLACE, FIRST_VELOCITY, mean))


def predicted(state: State) -> State:
    """The box a frame later."""
    grown = _spread(OF_PLACE, OF_VELOCITY, state.mean)
    return State(_MOTION @ state.mean, _MOTION @ state.covariance @ _MOTION.T + grown)


def updated(state: State, box: Array) -> State:
    """What is known once the box is seen."""
    spread = _innovation(state)
    gain = np.linalg.solve(spread, state.covariance[:4]).T
    mean = state.mean + gain @ (measured(box) - state.mean[:4])
    return State(mean, state.covariance - gain @ spread @ gain.T)


def distances(state: State, boxes: Array) -> Array:
    """Squared Mahalanobis distance of N boxes from where the box is thought to be."""
    away = np.array([measured(box) for box in boxes]).reshape(-1, 4) - state.mean[:4]
    found: Array = (away.T * np.linalg.solve(_innovation(state), away.T)).sum(0)
    return found


def _innovation(state: State) -> Array:
    """The covariance of what is seen."""
    spread: Array = state.covariance[:4, :4] + _spread(OF_PLACE, OF_VELOCITY, state.mean)[:4, :4]
    return spread


def _spread(place: float, velocity: float, mean: Array) -> Array:
    """A covariance (8×8) of deviations in heights of the box."""
    places = [place, place, OF_WIDTH, place]
    spread: Array = np.diag((np.array([*places, *[velocity] * 4]) * max(mean[3], _LEAST)) ** 2)
    return spread
