"""A camera: what is normal is decided here, camera by camera."""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _


class Camera(models.Model):
    """A fixed view. Its policies are plain columns; what it learned stands in rows that point here."""

    DETECTOR = "memory"
    """What scores a new camera's poses unless another is chosen."""

    class Privacy(models.TextChoices):
        POSES_ONLY = "poses_only", _("poses only: pixels are thrown away")
        VIDEO = "video", _("keep the video under the poses")

    class SliceBy(models.TextChoices):
        DAY = "day", _("a slice closes at local midnight")
        COUNT = "count", _("a slice closes after so many segments")
        IMPORTED = "imported", _("one slice per imported number (ingest --slice k)")

    class RoundPolicy(models.TextChoices):
        BY_HAND = "by_hand", _("by hand")
        EVERY_SLICE = "every_slice", _("after every slice, once its reviews are in")
        FALSE_ALARMS = "false_alarms", _("once enough new false alarms are confirmed")

    class Band(models.TextChoices):
        """AL-Light's θ_med; the values are those of `alfred.core.al_light.Mode`."""

        ROLLING_MEDIAN_MAX = "rolling_median_max", _("median of recent flagged scores")
        MIDPOINT = "midpoint", _("midpoint between θ and the highest score of the recording")
        ROLLING_MIDPOINT = "rolling_midpoint", _("midpoint between θ and the highest recent score")

    name = models.CharField(max_length=80, unique=True)
    slug = models.SlugField(max_length=60, unique=True)
    time_zone = models.CharField(max_length=64, default="UTC")
    privacy = models.CharField(max_length=12, choices=Privacy.choices, default=Privacy.POSES_ONLY)
    slice_by = models.CharField(max_length=12, choices=SliceBy.choices, default=SliceBy.DAY)
    detector = models.CharField(max_length=40, default=DETECTOR)
    methodology = models.CharField(max_length=20, default="active_learning")
    review_budget = models.PositiveIntegerField(default=300, help_text=_("segments asked per slice (day)"))
    al_light_mode = models.CharField(max_length=20, choices=Band.choices, default=Band.ROLLING_MEDIAN_MAX)
    slice_segments = models.PositiveIntegerField(
        default=1000,
        validators=[MinValueValidator(1)],
        help_text=_("scored segments after which a slice closes by count"),
    )
    review_deadline_h = models.PositiveIntegerField(
        default=24, help_text=_("hours after a slice closes until its round may start by itself, reviewed or not")
    )
    round_policy = models.CharField(max_length=14, choices=RoundPolicy.choices, default=RoundPolicy.BY_HAND)
    round_min_fp = models.PositiveIntegerField(
        default=20,
        validators=[MinValueValidator(1)],
        help_text=_("confirmed false alarms that start a round by policy"),
    )
    auto_promote = models.BooleanField(default=False, help_text=_("a candidate that passes every check is promoted"))
    alert_share = models.FloatField(
        default=0.05,
        validators=[MinValueValidator(0.0), MaxValueValidator(1.0)],
        help_text=_("alert budget: the share of normal segments that may be flagged while too few anomalies are known"),
    )
    queue_weight = models.FloatField(
        default=1.0,
        validators=[MinValueValidator(0.1), MaxValueValidator(10.0)],
        help_text=_("share of people's time beside other cameras: 2 = twice as many events where both have some"),
    )
    second_share = models.FloatField(
        default=0.05,
        validators=[MinValueValidator(0.0), MaxValueValidator(1.0)],
        help_text=_("share of answered events that a second person judges too, without knowing"),
    )
    second_in_warm_up = models.BooleanField(
        default=True, help_text=_("two people judge what the validation set is made of; it is not waited for")
    )
    known_share = models.FloatField(
        default=0.02,
        validators=[MinValueValidator(0.0), MaxValueValidator(0.5)],
        help_text=_("share of events whose truth is known already, mixed in to see how much the team misses"),
    )
    one_voice_share = models.FloatField(
        default=0.5,
        validators=[MinValueValidator(0.0), MaxValueValidator(1.0)],
        help_text=_(
            "at most so much of a round's confirmed false alarms may rest on one person's word alone; what is"
            " over it waits for a second person (1 = no limit)"
        ),
    )
    trial_first = models.BooleanField(
        default=True,
        help_text=_("who is new judges 20 known items first, where there are so many, and sees how it went"),
    )
    val_min = models.PositiveIntegerField(
        default=50, help_text=_("confirmed segments a class for a complete validation set")
    )
    is_simulated = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(alert_share__gte=0, alert_share__lte=1), name="alert_share_is_a_share"
            )
        ]
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def kind(self) -> str:
        """What the data is, said wherever its figures show."""
        return "simulated" if self.is_simulated else "real"
