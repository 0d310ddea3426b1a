"""A simulated stream of poses whose truth is known: shows and tests the product without a camera.

Stick people (`alfred.pose.stick_people`) in front of a simulated camera, seen by a simulated detector and
tracker: jitter, confidence by what is hidden, missed frames, broken tracks, people cut off by the picture's
edge. Whatever is made from it is shown as *simulated*; it says nothing about how a detector does on real
people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from alfred.pose import stick_people
from alfred.pose.simulated_camera import Bytes, Floats, Person, Sighting, View, sighting
from alfred.pose.stick_people import ANGLES, ANKLES, Motion
from alfred.pose.tracks import Poses, empty, from_arrays

ACTIONS = ("walking", "standing", "sitting", "jogging", "falling", "fighting")
"""`SimulatedStream.actions` index these; the last two are anomalous. Lying after a fall is "falling"."""

WALKING, STANDING, SITTING, JOGGING, FALLING, FIGHTING = range(6)
SHORTEST, LONGEST = 6.0, 25.0
"""Seconds that a person is seen."""

MOST_ANOMALOUS = 0.5
"""What people do before and after an anomaly is normal, so a stream can't be all anomalies."""

BARREN_EVENTS = 20
"""So many anomalies in a row outside the stream or the picture, and it has no room for one."""

ARM_REACH = 0.65
"""Metres between two who fight."""


@dataclass(frozen=True, slots=True)
class SimulatedStream:
    """What the simulated camera sees, and what was really going on; rows are the rows of `poses`.

    labels   (n,)  uint8  1 = anomalous
    actions  (n,)  uint8  position in `action_names`
    """

    poses: Poses
    labels: Bytes
    actions: Bytes
    action_names: tuple[str, ...]
    width: int
    height: int
    fps: float


@dataclass(frozen=True, slots=True)
class Scene:
    """What all people of one stream share; `lead` shortens what comes before an anomaly."""

    view: View
    fps: float
    frames: int
    calm: bool
    lead: float
    rng: np.random.Generator

    def times(self, seconds: float) -> Floats:
        return np.arange(max(2, round(seconds * self.fps))) / self.fps


def simulate(
    *,
    seed: int,
    minutes: float,
    anomaly_share: float = 0.02,
    people_per_minute: float = 12,
    fps: float = 15.0,
    width: int = 1280,
    height: int = 720,
    view_seed: int = 0,
    calm: bool = False,
) -> SimulatedStream:
    """A stream of `minutes` at `fps` in a picture of width × height px, with its truth per pose.

    `people_per_minute` normal people come by (Poisson); falls and fights are added until `anomaly_share`
    (0..0.5) of the poses are anomalous, as nearly as whole events allow. Each person is one track of about
    6–25 s, anomalous for part of it. `view_seed` fixes the camera: streams of one camera share it and differ
    in `seed`. `calm`: nobody jogs or gesticulates, so that what is normal is easy; otherwise some normal
    people look unusual. Same arguments → same stream. Raises ValueError on a share or a size outside its
    range.
    """
    if not 0 <= anomaly_share <= MOST_ANOMALOUS or not minutes > 0 or not fps > 0 or min(width, height) < 32:
        raise ValueError("simulate: anomaly_share must lie in 0..0.5, minutes and fps be positive, the picture ≥ 32 px")
    rng = np.random.default_rng([seed, view_seed])
    lead = 1.0 if anomaly_share <= 0.2 else 0.35
    scene = Scene(View.drawn(view_seed, width, height), fps, round(minutes * 60 * fps), calm, lead, rng)
    people = [_passer_by(scene) for _ in range(rng.poisson(people_per_minute * minutes))]
    people += _anomalies(scene, anomaly_share, sum(len(p.actions) for p in people))
    return _filmed(scene, people)


def _anomalies(scene: Scene, share: float, total: int) -> list[Person]:
    """Falls and fights until they are `share` of `total` poses and their own."""
    people: list[Person] = []
    anomalous = barren = 0
    while anomalous < share * total and barren < BARREN_EVENTS:
        event = [_faller(scene)] if scene.rng.random() < 0.5 else _fighters(scene)
        more = sum(int((p.actions >= FALLING).sum()) for p in event)
        barren = 0 if more else barren + 1
        # The last event is left out when that comes nearer to the share.
        if anomalous and anomalous + more - share * total > share * total - anomalous:
            break
        people += event
        anomalous, total = anomalous + more, total + sum(len(p.actions) for p in event)
    return people


def _filmed(scene: Scene, people: Sequence[Person]) -> SimulatedStream:
    """Everybody through the detector, as one stream."""
    seen: list[Sighting] = []
    free_track = 1
    for person in people:
        seen_there, free_track = sighting(scene.view, person, scene.fps, free_track, scene.rng)
        seen.append(seen_there)
    actions = np.concatenate([s.actions for s in seen]) if seen else np.zeros(0, np.uint8)
    poses = empty()
    if len(actions):
        track, frame = (np.concatenate([getattr(s, name) for s in seen]) for name in ("track", "frame"))
        pts = frame / scene.fps
        keypoints, bbox, score = (
            np.concatenate([getattr(s, name) for s in seen]) for name in ("keypoints", "bbox", "score")
        )
        poses = from_arrays(track, frame, pts, keypoints, bbox, score)
        actions = actions[np.lexsort((track, pts))]
    view = scene.view
    labels = (actions >= FALLING).astype(np.uint8)
    return SimulatedStream(poses, labels, actions, ACTIONS, view.width, view.height, scene.fps)


# What people do


def _passer_by(scene: Scene) -> Person:
    kinds = [WALKING, WALKING + 10, STANDING, SITTING, JOGGING]
    kind = scene.rng.choice(kinds, p=[0.5, 0.17, 0.19, 0.14, 0.0] if scene.calm else [0.42, 0.15, 0.18, 0.13, 0.12])
    stature = _stature(scene.rng)
    if kind in (STANDING, SITTING):
        return _stays(scene, stature, int(kind))
    return _crosses(scene, stature, jogs=kind == JOGGING, pauses=kind > 10)


def _stature(rng: np.random.Generator) -> float:
    return float(np.clip(rng.normal(1.72, 0.09), 1.5, 1.95))


def _crosses(scene: Scene, stature: float, *, jogs: bool, pauses: bool) -> Person:
    """Walks through the picture from one side to another, perhaps stopping on the way."""
    rng = scene.rng
    speed = rng.uniform(2.3, 3.0) if jogs else rng.uniform(0.8, 1.5)
    for _ in range(20):
        start, end = _edge(scene, int(rng.integers(4))), _edge(scene, int(rng.integers(4)))
        seconds = float(np.hypot(*(end - start))) / speed
        # A jogger is through sooner.
        if (SHORTEST if not jogs else 3.5) < seconds < LONGEST - (8 if pauses else 0):
            break
    seconds = min(seconds, LONGEST)
    heading = float(np.arctan2(end[0] - start[0], end[1] - start[1]))
    walks = WALKING if not jogs else JOGGING
    script: list[tuple[int, Motion]] = []
    legs = [seconds] if not pauses else [seconds * 0.45, rng.uniform(3, 8), seconds * 0.55]
    for leg, length in enumerate(legs):
        t = scene.times(length)
        if leg == 1:
            script.append((STANDING, stick_people.stand(t, rng, 0.4 if scene.calm else 1.2)))
        else:
            script.append((walks, stick_people.walk(t, rng, speed, stature)))
    return _acted(scene, script, start, heading, stature)


def _stays(scene: Scene, stature: float, action: int) -> Person:
    """Stands or sits somewhere; some who sit stand first."""
    rng = scene.rng
    script: list[tuple[int, Motion]] = []
    lively = 0.4 if scene.calm else 1.2
    if action == SITTING:
        if rng.random() < 0.5:
            script.append((STANDING, stick_people.stand(scene.times(rng.uniform(2, 5)), rng, 0.2)))
        script.append((SITTING, stick_people.sit(scene.times(rng.uniform(7, 18)), rng, lively / 2)))
    else:
        script.append((STANDING, stick_people.stand(scene.times(rng.uniform(7, 22)), rng, lively)))
    return _acted(scene, script, _inside(scene), rng.uniform(-np.pi, np.pi), stature)


def _faller(scene: Scene) -> Person:
    """Walks or stands, falls, and stays down."""
    rng, stature = scene.rng, _stature(scene.rng)
    before = scene.times(scene.lead * rng.uniform(4, 10))
    if rng.random() < 0.7:
        script = [(WALKING, stick_people.walk(before, rng, rng.uniform(0.8, 1.4), stature))]
    else:
        script = [(STANDING, stick_people.stand(before, rng))]
    script.append((FALLING, stick_people.fall(scene.times(rng.uniform(4, 8)), rng)))
    place = _inside(scene)
    # Towards the middle, so that the fall is in the picture.
    heading = float(np.arctan2(-place[0], _middle(scene) - place[1])) + rng.normal(0, 0.5)
    return _acted(
        scene,
        script,
        place,
        heading,
        stature,
        _begin(scene, sum(len(m.angles) for _, m in script) / scene.fps),
    )


def _begin(scene: Scene, seconds: float) -> int:
    """A first frame from which so many seconds still fit into the stream."""
    return int(scene.rng.integers(0, max(1, scene.frames - round(seconds * scene.fps))))


def _fighters(scene: Scene) -> list[Person]:
    """Two people walk up to each other, fight, and go away."""
    rng = scene.rng
    place = 0.5 * (_inside(scene) + np.array([0.0, _middle(scene)]))
    # Across the picture rather than behind one another.
    facing = rng.choice([-1, 1]) * np.pi / 2 + rng.normal(0, 0.5)
    approach, length, leave = scene.lead * rng.uniform(2, 5), rng.uniform(4, 9), rng.uniform(1.5, 3)
    first = _begin(scene, approach + length)
    people = []
    for heading in (facing, facing + np.pi):
        stature, speed = _stature(rng), rng.uniform(1.0, 1.5)
        towards = np.array([np.sin(heading), np.cos(heading)])
        script = [
            (WALKING, stick_people.walk(scene.times(approach), rng, speed, stature)),
            (FIGHTING, stick_people.fight(scene.times(length), rng)),
            (WALKING, _turned_away(stick_people.walk(scene.times(leave), rng, speed, stature), scene)),
        ]
        start = place - towards * (ARM_REACH / 2 + speed * approach)
        people.append(_acted(scene, script, start, heading, stature, first))
    return people


def _turned_away(motion: Motion, scene: Scene) -> Motion:
    t = np.arange(len(motion.turn)) / scene.fps
    return Motion(motion.angles, motion.forward, motion.turn + np.pi * stick_people.rise(t, 0.0, 0.7), planted=False)


def _middle(scene: Scene) -> float:
    """Distance of the middle of the ground that people use, m."""
    return scene.view.nearest + 4.5


def _inside(scene: Scene) -> Floats:
    """A place (x, z) on the ground well inside the picture."""
    z = scene.rng.uniform(scene.view.nearest + 1.2, scene.view.nearest + 7)
    return np.array([scene.rng.uniform(-0.7, 0.7) * scene.view.half_width(z), z])


def _edge(scene: Scene, side: int) -> Floats:
    """A place (x, z) on the left, right, far or near edge of the ground in the picture."""
    near = scene.view.nearest
    if side < 2:
        z = scene.rng.uniform(near + 1, near + 8)
        return np.array([(2 * side - 1) * (scene.view.half_width(z) + 0.2), z])
    z = near + (9.5 if side == 2 else 0.4)
    return np.array([scene.rng.uniform(-0.8, 0.8) * scene.view.half_width(z), z])


def _acted(
    scene: Scene,
    script: Sequence[tuple[int, Motion]],
    start: Floats,
    heading: float,
    stature: float,
    first: int | None = None,
) -> Person:
    """Play motions one after the other from `start` (x, z), each taken up from where the last one ends."""
    angles, turn, before, turned = [], [], np.zeros(ANGLES), 0.0
    for i, (action, motion) in enumerate(script):
        t = np.arange(len(motion.angles)) / scene.fps
        if i:
            motion = stick_people.blend(before, motion, t, 1.0 if action == SITTING else 0.35)
        angles.append(motion.angles)
        turn.append(turned + motion.turn - motion.turn[0])
        before, turned = motion.angles[-1], float(turn[-1][-1])
    facing = heading + np.concatenate(turn)
    body = stick_people.joints(np.concatenate(angles), facing, stature)
    forward = np.concatenate([m.forward for _, m in script])
    planted = np.concatenate([np.full(len(m.forward), m.planted) for _, m in script])
    stride = forward[:, None] * np.stack([np.sin(facing), np.cos(facing)], axis=1) / scene.fps
    feet = body[:, ANKLES][:, :, [0, 2]].mean(axis=1)
    # Where the feet are planted the pelvis goes as far as they would have slid.
    stride = np.where(planted[:, None], -np.diff(feet, axis=0, prepend=feet[:1]), stride)
    body[:, :, [0, 2]] += (start + np.cumsum(stride, axis=0))[:, None]
    if first is None:
        first = int(scene.rng.integers(0, max(1, scene.frames - 1)))
    actions = np.concatenate([np.full(len(m.forward), action, np.uint8) for action, m in script])
    kept = slice(0, max(0, min(len(actions), scene.frames - first, round(LONGEST * scene.fps))))
    return Person(first, body[kept], facing[kept], actions[kept])
