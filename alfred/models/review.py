"""The queue: who was drawn and why, events, leases, verdicts."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from alfred.models.cameras import Camera
from alfred.models.detectors import Deployment
from alfred.models.footage import Recording, Slice
from alfred.models.people import User
from alfred.models.poses import Segment


class Lane(models.TextChoices):
    WARMUP = "warmup", _("warm-up")
    REVIEW = "review", _("review")
    AUDIT = "audit", _("audit")
    SECOND = "second", _("second look")
    ALERT = "alert", _("alert")
    KNOWN = "known", _("known truth")


class Candidate(models.Model):
    """A segment that could have been asked in a draw: its stratum and inclusion probability, asked or not."""

    segment = models.ForeignKey(Segment, on_delete=models.PROTECT, related_name="candidacies")
    slice = models.ForeignKey(Slice, on_delete=models.PROTECT, null=True)
    deployment = models.ForeignKey(Deployment, on_delete=models.PROTECT)
    lane = models.CharField(max_length=8, choices=Lane.choices)
    stratum = models.PositiveSmallIntegerField(default=0)
    probability = models.FloatField(help_text="π: the chance this segment had of being asked in this draw")
    asked = models.BooleanField()
    theta_med = models.FloatField(null=True, help_text="AL-Light's upper end of the band; null = no band")
    band = models.CharField(max_length=20, blank=True, help_text="why the band was as it was; empty without AL-Light")
    seed = models.BigIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["segment", "lane"], name="drawn_once_a_lane"),
            models.CheckConstraint(condition=Q(probability__gte=0, probability__lte=1), name="probability_is_one"),
            models.CheckConstraint(condition=Q(asked=False) | Q(probability__gt=0), name="asked_had_a_chance"),
        ]
        indexes = [models.Index(fields=["slice", "lane", "asked"], name="candidate_slice_lane")]


class BandStart(models.Model):
    """What AL-Light's buffer held when a deployment began, by its version's scores. Append-only."""

    deployment = models.OneToOneField(Deployment, on_delete=models.PROTECT, related_name="band_start")
    values = models.JSONField(help_text="scores of the last flagged segments before it, oldest first")
    created_at = models.DateTimeField(auto_now_add=True)


class AuditStratum(models.Model):
    """A stratum of a closed slice's audit: how many segments it holds, how many were drawn. Append-only.

    Only those drawn have a `Candidate`; all of the stratum had the same chance.
    """

    class Kind(models.IntegerChoices):
        ALERT = 0, _("above AL-Light's band")
        UNASKED = 1, _("flagged, not asked for want of budget")
        NEAR = 2, _("nearest below θ")
        MIDDLE = 3, _("further below θ")
        FAR = 4, _("far below θ")

    slice = models.ForeignKey(Slice, on_delete=models.PROTECT, related_name="audit_strata")
    kind = models.PositiveSmallIntegerField(choices=Kind.choices)
    population = models.PositiveIntegerField()
    sampled = models.PositiveIntegerField()
    seed = models.BigIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["slice", "kind"], name="a_stratum_once_a_slice"),
            models.CheckConstraint(condition=Q(sampled__lte=models.F("population")), name="not_more_than_there_are"),
        ]


class Event(models.Model):
    """What one screen shows. Its state is the queue's; what people said stands in verdicts."""

    class State(models.TextChoices):
        OPEN = "open", _("open")
        DECIDED = "decided", _("decided")
        HELD = "held", _("for a supervisor")
        SECOND = "second", _("for a second person")
        DISPUTED = "disputed", _("answers differ")

    WAITING = (State.OPEN, State.HELD)
    """Nobody has answered: a slice is not reviewed before these are."""
    QUEUED = (*WAITING, State.SECOND)
    """What the queue hands out."""
    ANSWERED = (State.DECIDED, State.SECOND, State.DISPUTED)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    camera = models.ForeignKey(Camera, on_delete=models.PROTECT, related_name="events")
    recording = models.ForeignKey(Recording, on_delete=models.PROTECT)
    slice = models.ForeignKey(Slice, on_delete=models.PROTECT, null=True)
    lane = models.CharField(max_length=8, choices=Lane.choices)
    state = models.CharField(max_length=8, choices=State.choices, default=State.OPEN)
    place = models.FloatField(help_text="order in the queue: seeded random, the same for every lane")
    start_pts = models.FloatField(help_text="of what is asked; the screen adds 1 s before and after")
    end_pts = models.FloatField()
    peak_pts = models.FloatField()
    segments = models.ManyToManyField(Segment, through="EventSegment", related_name="events")
    opened_at = models.DateTimeField(auto_now_add=True)
    decided_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["camera", "place"], condition=Q(state__in=("open", "held", "second")), name="event_open"
            ),
            models.Index(fields=["place"], condition=Q(state__in=("open", "held", "second")), name="event_open_place"),
            models.Index(fields=["slice", "lane"], name="event_slice_lane"),
        ]


class Clip(models.Model):
    """The seconds of video that an event's screen shows, blurred and as filmed; gone when retention says so."""

    event = models.OneToOneField(Event, on_delete=models.PROTECT, related_name="clip")
    blurred = models.CharField(max_length=160, help_text="artifact")
    raw = models.CharField(max_length=160, help_text="artifact")
    offset_pts = models.FloatField(help_text="where the clip's first frame stands in the recording, s")
    created_at = models.DateTimeField(auto_now_add=True)


class EventSegment(models.Model):
    """A segment asked by an event. In one event only, per lane."""

    event = models.ForeignKey(Event, on_delete=models.PROTECT)
    segment = models.ForeignKey(Segment, on_delete=models.PROTECT)
    lane = models.CharField(max_length=8, choices=Lane.choices)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["segment", "lane"], name="asked_once_a_lane")]


class Lease(models.Model):
    """Who is looking at an event now. One live lease an event; an expired one is released by whoever takes it next."""

    event = models.ForeignKey(Event, on_delete=models.PROTECT, related_name="leases")
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="leases")
    taken_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    ahead = models.IntegerField(default=0, help_text="larger is shown before others: an event taken back, an alert")
    chosen = models.BooleanField(default=False, help_text="taken from the alerts, out of the queue's order")
    released_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["event"], condition=Q(released_at__isnull=True), name="one_live_lease_an_event"
            )
        ]
        indexes = [models.Index(fields=["user"], condition=Q(released_at__isnull=True), name="lease_live_user")]


class Answer(models.TextChoices):
    NORMAL = "normal", _("normal")
    ANOMALY = "anomaly", _("anomaly")
    UNSURE = "unsure", _("unsure")
    SKIP = "skip", _("skip")
    UNDO = "undo", _("undone")


class FalseAlarm(models.TextChoices):
    """Why something normal may have looked unusual."""

    POSE = "pose", _("wrong pose")
    HIDDEN = "hidden", _("person partly hidden")
    BENIGN = "benign", _("unusual but harmless")
    STAFF = "staff", _("staff or training")
    OTHER = "other", _("other")


class AnomalyKind(models.Model):
    """A kind of anomaly that can be named with one key: the first nine in use have the keys 1 to 9."""

    name = models.CharField(max_length=40, unique=True)
    place = models.PositiveSmallIntegerField(default=0)
    in_use = models.BooleanField(default=True)

    class Meta:
        ordering = ["place", "name"]

    def __str__(self) -> str:
        return self.name


class Batch(models.Model):
    """Look-alikes confirmed as normal together after `checked` of them were looked at. Append-only.

    Its verdicts train; they never count in figures. What may be wrong among those nobody looked at is bounded by
    `core.exact` from the checked ones.
    """

    camera = models.ForeignKey(Camera, on_delete=models.PROTECT, related_name="batches")
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="batches")
    like = models.ForeignKey(Event, on_delete=models.PROTECT, related_name="+", help_text="what the others look like")
    events = models.PositiveIntegerField(help_text="the checked ones included")
    checked = models.PositiveIntegerField()
    seed = models.BigIntegerField(help_text="of the draw of the checked ones")
    created_at = models.DateTimeField(auto_now_add=True)


class Verdict(models.Model):
    """What a person said of a segment. Append-only: an undo or correction is a new row that supersedes."""

    event = models.ForeignKey(Event, on_delete=models.PROTECT, related_name="verdicts")
    segment = models.ForeignKey(Segment, on_delete=models.PROTECT, related_name="verdicts")
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="verdicts")
    answer = models.CharField(max_length=8, choices=Answer.choices)
    second = models.BooleanField(default=False, help_text="given although another person had decided the event")
    supersedes = models.OneToOneField("self", on_delete=models.PROTECT, null=True, related_name="superseded_by")
    key = models.UUIDField(help_text="idempotency key of the request: the same key writes once")
    active_ms = models.PositiveIntegerField(default=0)
    kind = models.CharField(max_length=40, blank=True, help_text="what kind of anomaly, in the words of its day")
    reason = models.CharField(max_length=12, blank=True, choices=FalseAlarm.choices, help_text="why it was flagged")
    comment = models.CharField(max_length=500, blank=True)
    guide = models.ForeignKey("alfred.GuideVersion", on_delete=models.PROTECT, null=True, related_name="+")
    from_pts = models.FloatField(null=True, help_text="start of the trimmed range; null = all of the segment")
    until_pts = models.FloatField(null=True)
    batch = models.ForeignKey(
        Batch, on_delete=models.PROTECT, null=True, related_name="verdicts", help_text="given without a look of its own"
    )
    adjudicates = models.BooleanField(default=False, help_text="a supervisor's, who saw the answers that differ")
    scripted = models.BooleanField(default=False, help_text="given by the demo's scripted reviewer, not by a person")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["key", "segment"], name="a_key_writes_once")]
        indexes = [
            models.Index(fields=["user", "-created_at"], name="verdict_user_recent"),
            models.Index(fields=["segment"], condition=Q(adjudicates=True), name="verdict_adjudicates"),
        ]


class Correction(models.Model):
    """A wish to change one's own answer when undo no longer can: a supervisor rules on it. Append-only."""

    event = models.ForeignKey(Event, on_delete=models.PROTECT, related_name="corrections")
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="corrections")
    answer = models.CharField(max_length=8, choices=Answer.choices)
    comment = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)


class TrialAnswer(models.Model):
    """What a newcomer said of a segment whose truth is known, before judging for real. No verdict. Append-only."""

    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="trial_answers")
    segment = models.ForeignKey(Segment, on_delete=models.PROTECT, related_name="+")
    anomalous = models.BooleanField(help_text="what is true")
    answer = models.CharField(max_length=8, choices=Answer.choices)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "segment"], name="tried_once")]
