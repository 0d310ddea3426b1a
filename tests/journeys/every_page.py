"""Every page of the URL map with something on it, for each role that may open it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from django.contrib.sessions.backends.base import SessionBase
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from alfred.models import (
    AlertChannel,
    AlertDelivery,
    Answer,
    Camera,
    ChannelCamera,
    Replay,
    ReplayChange,
    Role,
    SegmentTruth,
    Slice,
    User,
)
from alfred.services import add_camera, guide, trial
from tests import crowd, world
from tests.annotator import stage
from tests.annotator.stage import Scene
from tests.annotator.test_permissions import LEVELS, ROUTES
from tests.annotator.test_report_page import SCORES, running

NOT_PAGES = {
    "health", "home", "alerts-stream", "alerts-wall", "alert-poses", "camera-progress", "camera-status", "catalogue",
    "event-clip", "event-poses", "event-raw", "guide-panel", "plate", "recording-poses", "recording-video",
    "report-csv", "review-more", "review-next", "round-manifest", "round-manifest-csv", "round-status", "trial-poses",
}  # fmt: skip
"""What answers GET with a part of a page, a file, a stream or a redirect. Any other GET has to be a whole page."""
ALIKE = {"words", "keys", "nothing there"}
"""The same for everybody who has signed in: looked at once, where the menu is longest."""
ROLES = ("anonymous", "outsider", "newcomer", "graduate", "annotator", "supervisor", "admin")


@dataclass(frozen=True)
class House:
    """Who signs in, and what their pages show."""

    gate: Scene
    many_slices: str
    users: dict[str, User]

    def cookie(self, role: str) -> str:
        """The session of somebody of that role; none for who has not signed in."""
        if role == "anonymous":
            return ""
        client = Client()
        client.force_login(self.users[role])
        session: SessionBase = client.session
        return str(session.session_key)

    def addresses(self, role: str) -> dict[str, str]:
        """Name of a page → where it is, for all pages that this role may open."""
        if role == "anonymous":
            return {"login": reverse("login")}
        if role in ("newcomer", "graduate"):
            return {f"trial of a {role}": reverse("trial")}
        found = {}
        for name, route in ROUTES.items():
            if route.method != "get" or name in NOT_PAGES or LEVELS.index(route.least) > LEVELS.index(role):
                continue
            if role != "outsider" or route.at is None:
                found[name] = reverse(name, kwargs=route.at(self.gate) if route.at else {})
        del found["login"]  # somebody signed in is sent on
        found["nothing there"] = "/nothing/there/"
        if role in ("supervisor", "admin"):
            found["report of many slices"] = reverse("report", args=[self.many_slices])
            found["camera of many slices"] = reverse("camera", args=[self.many_slices])
            found["recording without poses"] = reverse("recording", args=[self.gate.refused.pk])
        if role == "annotator":
            found["review of no such events"] = reverse("review") + f"?camera={self.many_slices}"
            found["look-alikes"] = reverse("alike", args=[self.gate.events[1].pk])
        return {name: path for name, path in found.items() if role == "admin" or name not in ALIKE}


def house() -> House:
    """One camera of everything, with a dispute, answers, a guide, messages and a replay, and one of many slices."""
    gate = stage.scene("Own gate", events=12)
    gate.slice.closed_at = None  # look-alikes are sought while a slice is open
    gate.slice.save()
    yard = world.camera("Far yard behind the old boathouse")
    running(yard, 9, poses=_passers_by(yard, len(SCORES)))
    cast = world.people(gate.camera, yard)
    _dispute(gate, cast)
    world.answer(cast.alice, gate.events[1])
    for text in ("People run for the bus at eight.\n\nAt night nobody is here.", "People run for the bus at nine."):
        guide.write(gate.camera, text, by=cast.sue)
    _messages(gate)
    _replay(gate)
    users = {"outsider": cast.charlie, "annotator": cast.alice, "supervisor": cast.sue, "admin": cast.admin}
    users |= _newcomers()
    return House(gate, yard.slug, users)


def _passers_by(view: Camera, people: int) -> str:
    """One person a minute, as `running` has its segments: track n at minute n."""
    alone = [world.walkers(people_seen=1, seconds=4, start=60.0 * n) for n in range(people)]
    return stage.stored(
        view, *(replace(poses, track=np.full(len(poses), n, np.int32)) for n, poses in enumerate(alone))
    )


def known_clips() -> Camera:
    """A camera with the truth of 24 clips, poses and all, that newcomers judge first."""
    ring = crowd.camera("Parking ring", trial_first=True)
    key = stage.stored(ring, world.walkers(people_seen=24, seconds=4, apart=40))
    known = crowd.seen(ring, None, [0.5] * 24, purpose="validation", poses=key)
    SegmentTruth.objects.bulk_create(
        SegmentTruth(segment=segment, anomalous=n % 2 == 0, n_anomalous_poses=60 * (n % 2 == 0))
        for n, segment in enumerate(known)
    )
    return ring


def _newcomers() -> dict[str, User]:
    """One before the first known item, one who has judged all of them."""
    ring = known_clips()
    users = {name: world.person(name) for name in ("newcomer", "graduate")}
    for user in users.values():
        add_camera.allow(user, ring, Role.ANNOTATOR)
    while item := trial.next_item(users["graduate"]):
        trial.answer(users["graduate"], item.pk, Answer.UNSURE if item.pk % 5 == 0 else Answer.NORMAL)
    return users


def _dispute(gate: Scene, cast: world.People) -> None:
    gate.camera.second_share = 1.0
    gate.camera.save()
    world.answer(cast.alice, gate.events[0], Answer.NORMAL)
    world.answer(cast.bob, gate.events[0], Answer.ANOMALY)
    gate.camera.second_share = 0.0
    gate.camera.save()


def _messages(gate: Scene) -> None:
    channel = AlertChannel.objects.create(name="Watch", kind="webhook", url="https://example.org/in", secret="0" * 64)
    ChannelCamera.objects.create(channel=channel, camera=gate.camera)
    AlertDelivery.objects.create(
        channel=channel, camera=gate.camera, recording=gate.recording, first_at=timezone.now(), stretches=3,
        state=AlertDelivery.State.FAILED, attempts=5, error="example.org did not answer within 10 s.",
    )  # fmt: skip


def _replay(gate: Scene) -> None:
    row, lost = gate.round, gate.segments[0]
    assert row.version is not None and row.threshold is not None
    figures = {
        "slices": [0], "recordings": 1, "segments": 12, "unscored": 0, "confirmed": 4, "flagged_then": 12,
        "flagged_now": 11, "no_longer": {"nothing": 0, "normal": 0, "anomaly": 1}, "newly": {"nothing": 0}, "lost": 1,
        "found": 0, "lost_segments": [lost.pk], "found_segments": [],
    }  # fmt: skip
    made = Replay.objects.create(
        camera=gate.camera, version=row.version, threshold=row.threshold, round=row, figures=figures
    )
    made.slices.add(Slice.objects.get(pk=gate.slice.pk))
    ReplayChange.objects.create(replay=made, segment=lost, now_flagged=False, value=0.9, label=1)
