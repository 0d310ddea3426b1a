"""Stick people that walk, stand, sit, fall and fight: joint angles over time → 17 COCO joints in metres.

Simple kinematics of our own, for streams whose truth is known (`alfred.pose.simulate`). World: x right, y
up, z away from the camera; the ground is y = 0. Angles in radians, times in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

PITCH, ROLL, LEAN, NOD, HIP, KNEE, SPREAD, SHOULDER, ABDUCT, ELBOW = (
    0,
    1,
    2,
    3,
    slice(4, 6),
    slice(6, 8),
    slice(8, 10),
    slice(10, 12),
    slice(12, 14),
    slice(14, 16),
)
"""Columns of joint angles: whole body forward and to the left, trunk, head; then limbs, (left, right)."""

ANGLES = 16
ANKLES = slice(15, 17)

# Shares of a person's height, after common anthropometric tables.
TRUNK, UPPER_ARM, FOREARM, THIGH, SHANK = 0.288, 0.186, 0.15, 0.245, 0.246
HALF_SHOULDERS, HALF_HIPS = 0.105, 0.058
# Above the shoulders, forward, to the left: nose, left eye, right eye, left ear, right ear.
FACE = (
    (0.112, 0.07, 0.0),
    (0.13, 0.055, 0.018),
    (0.13, 0.055, -0.018),
    (0.118, 0.01, 0.042),
    (0.118, 0.01, -0.042),
)
ANKLE_CLEARANCE, BODY_CLEARANCE = 0.039, 0.06


@dataclass(frozen=True, slots=True)
class Motion:
    """What a body does over t frames.

    angles    (t, 16)  joint angles
    forward   (t,)     m/s of the pelvis along its heading, where the feet are not planted
    turn      (t,)     change of heading against the start of the motion
    planted   bool     the feet stay where they are and the pelvis moves over them
    """

    angles: Floats
    forward: Floats
    turn: Floats
    planted: bool


def degrees(*values: float) -> Floats:
    return np.asarray(np.deg2rad(values))


def sway(t: Floats, rng: np.random.Generator, size: float, lowest: float = 0.1, highest: float = 0.6) -> Floats:
    """Smooth noise (t,) of standard deviation `size`: four sines between `lowest` and `highest` Hz."""
    rates = rng.uniform(lowest, highest, 4)
    phases = rng.uniform(0, 2 * np.pi, 4)
    waves = np.sin(2 * np.pi * np.outer(t, rates) + phases)
    noise: Floats = size / np.sqrt(2.0) * np.sum(waves, axis=1)
    return noise


def bump(t: Floats, start: float, seconds: float) -> Floats:
    """0, up to 1 and back within `seconds`."""
    phase = np.clip((t - start) / seconds, 0, 1)
    shape: Floats = np.sin(np.pi * phase) ** 2
    return shape


def rise(t: Floats, start: float, seconds: float) -> Floats:
    """From 0 to 1 without a jerk."""
    phase = np.clip((t - start) / seconds, 0, 1)
    shape: Floats = phase * phase * (3 - 2 * phase)
    return shape


def walk(t: Floats, rng: np.random.Generator, speed: float, stature: float) -> Motion:
    """A gait cycle whose swing fits the speed, so that the standing foot hardly slides; above 2 m/s a jog."""
    jog = speed > 2
    steps = (1.75 if not jog else 2.6) * (speed / (1.3 if not jog else 2.8)) ** 0.5
    swing = np.arcsin(min(0.75, speed / steps / 2 / ((THIGH + SHANK) * stature)))
    phase = np.pi * steps * t + rng.uniform(0, 2 * np.pi)
    left_right = np.stack([phase, phase + np.pi], axis=1)
    angles = np.zeros((len(t), ANGLES))
    angles[:, HIP] = swing * np.sin(left_right) + (0.18 if jog else 0.06)
    bend = np.clip(np.cos(left_right - 0.4), 0, None) ** 2
    angles[:, KNEE] = 0.1 + (1.5 if jog else 1.0) * bend + 0.12 * np.clip(-np.sin(2 * left_right), 0, None)
    angles[:, SHOULDER] = -rng.uniform(0.5, 0.9) * swing * np.sin(left_right)
    angles[:, ELBOW] = (1.5 if jog else rng.uniform(0.2, 0.5)) - 0.5 * angles[:, SHOULDER]
    angles[:, ABDUCT] = rng.uniform(0.05, 0.15)
    angles[:, LEAN] = (0.16 if jog else 0.05) + 0.02 * np.sin(2 * phase)
    angles[:, ROLL] = 0.025 * np.sin(phase)
    angles[:, NOD] = sway(t, rng, 0.05)
    return Motion(angles, np.full(len(t), speed), sway(t, rng, 0.06, 0.05, 0.2), planted=False)


def stand(t: Floats, rng: np.random.Generator, liveliness: float = 1.0) -> Motion:
    """Weight shifts, looks round, and a hand that comes up now and then."""
    angles = np.zeros((len(t), ANGLES))
    for column, size in ((PITCH, 0.012), (ROLL, 0.02), (LEAN, 0.03), (NOD, 0.1)):
        angles[:, column] = sway(t, rng, size)
    bent = 0.08 + np.abs(np.stack([sway(t, rng, 0.05), sway(t, rng, 0.05)], axis=1))
    angles[:, KNEE], angles[:, HIP] = bent, bent / 2
    angles[:, SPREAD] = rng.uniform(0.03, 0.12)
    angles[:, ABDUCT] = rng.uniform(0.08, 0.2)
    angles[:, ELBOW] = rng.uniform(0.15, 0.5, 2)
    _gesture(angles, t, rng, liveliness)
    return Motion(angles, np.zeros(len(t)), sway(t, rng, 0.3, 0.02, 0.12), planted=True)


def sit(t: Floats, rng: np.random.Generator, liveliness: float = 0.6) -> Motion:
    """Seated on something knee-high, hands on the lap."""
    angles = np.zeros((len(t), ANGLES))
    angles[:, HIP] = degrees(85) + np.stack([sway(t, rng, 0.02), sway(t, rng, 0.02)], axis=1)
    angles[:, KNEE] = degrees(rng.uniform(75, 95))
    angles[:, SPREAD] = rng.uniform(0.05, 0.2)
    angles[:, LEAN] = rng.uniform(-0.1, 0.25) + sway(t, rng, 0.03)
    angles[:, NOD] = rng.uniform(0, 0.3) + sway(t, rng, 0.1)
    angles[:, SHOULDER] = rng.uniform(0.3, 0.6, 2)
    angles[:, ELBOW] = rng.uniform(0.8, 1.3, 2)
    angles[:, ABDUCT] = rng.uniform(0.05, 0.2)
    _gesture(angles, t, rng, liveliness)
    return Motion(angles, np.zeros(len(t)), sway(t, rng, 0.08, 0.02, 0.1), planted=True)


def _gesture(angles: Floats, t: Floats, rng: np.random.Generator, per_four_seconds: float) -> None:
    for _ in range(rng.poisson(per_four_seconds * (t[-1] if len(t) else 0) / 4)):
        shape = bump(t, rng.uniform(0, t[-1]), rng.uniform(1.5, 3.0))
        side = int(rng.integers(2))
        angles[:, SHOULDER][:, side] += rng.uniform(0.2, 0.7) * shape
        angles[:, ELBOW][:, side] += rng.uniform(0.6, 1.4) * shape


def fall(t: Floats, rng: np.random.Generator) -> Motion:
    """Loses balance, goes down within a second with flung arms, and lies there moving a little."""
    down = np.clip(t / rng.uniform(0.7, 1.0), 0, 1) ** 2
    # Mostly forwards or backwards: -1, 1; with something of a side.
    way = rng.choice([-1.0, 1.0])
    angles = np.zeros((len(t), ANGLES))
    angles[:, PITCH] = way * degrees(rng.uniform(78, 90)) * down
    angles[:, ROLL] = rng.choice([-1, 1]) * degrees(rng.uniform(5, 40)) * down
    buckle = bump(t, 0.0, 1.2)
    lying = rise(t, 0.5, 0.8)
    angles[:, KNEE] = 0.9 * buckle[:, None] + rng.uniform(0.1, 1.1, 2) * lying[:, None]
    # Face down a leg bent at the hip, or an arm held out in front, would prop the body up.
    angles[:, HIP] = 0.5 * buckle[:, None] + rng.uniform(0.0, 0.1 if way > 0 else 0.7, 2) * lying[:, None]
    angles[:, LEAN] = 0.3 * buckle - 0.1 * way * lying
    angles[:, NOD] = sway(t, rng, 0.1)
    flung = bump(t, 0.0, 1.0)[:, None]
    angles[:, SHOULDER] = rng.uniform(1.2, 2.4, 2) * flung + rng.choice([0.1, 2.7], 2) * lying[:, None]
    angles[:, ABDUCT] = rng.uniform(0.3, 0.9, 2) * (flung + lying[:, None])
    angles[:, ELBOW] = 0.3 + 0.5 * flung + rng.uniform(0, 0.4, 2) * lying[:, None]
    angles += 0.05 * np.stack([sway(t, rng, 1.0, 0.2, 0.8) for _ in range(ANGLES)], axis=1) * lying[:, None]
    return Motion(angles, np.zeros(len(t)), np.zeros(len(t)), planted=True)


def fight(t: Floats, rng: np.random.Generator) -> Motion:
    """Stands on guard; every third of a second or so punches, kicks, shoves or is hit."""
    angles = np.zeros((len(t), ANGLES))
    angles[:, KNEE], angles[:, HIP] = degrees(28), degrees(16, 2)
    angles[:, SPREAD] = degrees(9)
    angles[:, LEAN] = degrees(10) + sway(t, rng, 0.06, 0.4, 1.2)
    angles[:, ROLL] = sway(t, rng, 0.07, 0.4, 1.2)
    angles[:, SHOULDER], angles[:, ABDUCT], angles[:, ELBOW] = degrees(45), degrees(18), degrees(105)
    step = sway(t, rng, 0.5, 0.5, 1.2)
    now = rng.uniform(0, 0.3)
    while now < t[-1]:
        step += _blow(angles, t, now, rng)
        now += rng.uniform(0.3, 0.55)
    angles[:, ELBOW] = np.clip(angles[:, ELBOW], 0.05, 2.5)
    return Motion(angles, step, sway(t, rng, 0.2, 0.2, 0.6), planted=False)


def _blow(angles: Floats, t: Floats, now: float, rng: np.random.Generator) -> Floats:
    """Add one blow, given or taken, to the angles; returns what it does to the forward speed (t,)."""
    shape = bump(t, now, rng.uniform(0.3, 0.5))
    side = int(rng.integers(2))
    kind = rng.choice(4, p=[0.45, 0.2, 0.15, 0.2])
    if kind == 0:  # a punch
        angles[:, SHOULDER][:, side] += degrees(rng.uniform(45, 75)) * shape
        angles[:, ELBOW][:, side] -= degrees(95) * shape
        angles[:, LEAN] += degrees(14) * shape
        return 0.5 * shape
    if kind == 1:  # a shove with both hands
        angles[:, SHOULDER] += degrees(40) * shape[:, None]
        angles[:, ELBOW] -= degrees(85) * shape[:, None]
        angles[:, LEAN] += degrees(22) * shape
        return 0.9 * shape
    if kind == 2:  # a kick
        angles[:, HIP][:, side] += degrees(rng.uniform(55, 90)) * shape
        angles[:, LEAN] -= degrees(18) * shape
        return 0.2 * shape
    angles[:, LEAN] -= degrees(rng.uniform(20, 38)) * shape  # is hit
    angles[:, ROLL] += degrees(rng.uniform(-22, 22)) * shape
    angles[:, NOD] -= degrees(25) * shape
    angles[:, ABDUCT] += degrees(40) * shape[:, None]
    return -1.2 * shape


def blend(before: Floats, motion: Motion, t: Floats, seconds: float) -> Motion:
    """The motion, taken up from the angles (16,) it finds."""
    share = rise(t, 0.0, seconds)[:, None]
    return Motion((1 - share) * before + share * motion.angles, motion.forward, motion.turn, motion.planted)


def joints(angles: Floats, heading: Floats, stature: float) -> Floats:
    """Angles (t, 16) and heading (t,) → joints (t, 17, 3), m.

    The pelvis is at x = z = 0, the lowest part on the ground. Heading 0 looks away from the camera, π/2 to
    the right.
    """
    zero = np.zeros_like(heading)
    ahead = np.stack([np.sin(heading), zero, np.cos(heading)], axis=1)
    left = np.stack([-np.cos(heading), zero, np.sin(heading)], axis=1)
    up = np.stack([zero, zero + 1, zero], axis=1)
    up, ahead = _turned(up, ahead, angles[:, PITCH])
    up, left = _turned(up, left, angles[:, ROLL])
    body = np.zeros((len(heading), 17, 3))
    for side, sign in enumerate((1, -1)):
        hip = sign * HALF_HIPS * left
        thigh = _limb(up, ahead, sign * left, angles[:, HIP][:, side], angles[:, SPREAD][:, side])
        bent = angles[:, HIP][:, side] - angles[:, KNEE][:, side]
        shank = _limb(up, ahead, sign * left, bent, angles[:, SPREAD][:, side])
        body[:, 11 + side] = hip
        body[:, 13 + side] = hip + THIGH * thigh
        body[:, 15 + side] = hip + THIGH * thigh + SHANK * shank
    up, ahead = _turned(up, ahead, angles[:, LEAN])
    for side, sign in enumerate((1, -1)):
        flexed, out = angles[:, SHOULDER][:, side], angles[:, ABDUCT][:, side]
        shoulder = TRUNK * up + sign * HALF_SHOULDERS * left
        elbow = shoulder + UPPER_ARM * _limb(up, ahead, sign * left, flexed, out)
        forearm = _limb(up, ahead, sign * left, flexed + angles[:, ELBOW][:, side], out)
        body[:, 5 + side], body[:, 7 + side], body[:, 9 + side] = shoulder, elbow, elbow + FOREARM * forearm
    neck = TRUNK * up
    up, ahead = _turned(up, ahead, angles[:, NOD])
    for joint, (above, forward, aside) in enumerate(FACE):
        body[:, joint] = neck + above * up + forward * ahead + aside * left
    clearance = np.full(17, BODY_CLEARANCE)
    clearance[ANKLES] = ANKLE_CLEARANCE
    body[:, :, 1] -= (body[:, :, 1] - clearance).min(axis=1, keepdims=True)
    return stature * body


def _turned(first: Floats, second: Floats, angle: Floats) -> tuple[Floats, Floats]:
    """Two axes (t, 3), the first turned towards the second by angle (t,)."""
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    return cos * first + sin * second, cos * second - sin * first


def _limb(up: Floats, ahead: Floats, outward: Floats, flexed: Floats, out: Floats) -> Floats:
    """Unit vectors (t, 3): hanging down, swung forward by `flexed`, then outward by `out`."""
    down, _ = _turned(-up, ahead, flexed)
    limb, _ = _turned(down, outward, out)
    return limb
