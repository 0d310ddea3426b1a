"""What was seen: extractions, tracks, segments, and the ground truth that came with a file."""

from __future__ import annotations

from django.db import models

from alfred.models.cameras import Camera
from alfred.models.footage import Recording, Slice


class PoseExtraction(models.Model):
    """Poses of one recording by one extractor with one set of settings: a Parquet artifact."""

    recording = models.ForeignKey(Recording, on_delete=models.PROTECT, related_name="extractions")
    extractor = models.CharField(max_length=40)
    info = models.JSONField(help_text="all the output depends on: settings, weights' sha256, versions")
    info_digest = models.CharField(max_length=64)
    artifact = models.CharField(max_length=160)
    n_frames = models.BigIntegerField()
    n_poses = models.BigIntegerField()
    n_tracks = models.IntegerField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["recording", "extractor", "info_digest"], name="one_extraction_a_setting")
        ]


class Track(models.Model):
    """One person's poses over time. Numbers restart in each extraction and never link days or cameras."""

    camera = models.ForeignKey(Camera, on_delete=models.PROTECT)
    extraction = models.ForeignKey(PoseExtraction, on_delete=models.PROTECT, related_name="tracks")
    number = models.IntegerField(help_text="the track's number in the Parquet file")
    start_pts = models.FloatField()
    end_pts = models.FloatField()
    n_poses = models.IntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["extraction", "number"], name="a_track_number_once")]


class Segment(models.Model):
    """The unit people judge: a track cut every 4 s from its start. Depends on no score.

    Key (camera, track, ordinal). PTS are seconds in `recording`, where it starts; `end_at` is absolute, so a segment
    of a live stream may end in the next recording.
    """

    camera = models.ForeignKey(Camera, on_delete=models.PROTECT, related_name="segments")
    track = models.ForeignKey(Track, on_delete=models.PROTECT, related_name="segments")
    ordinal = models.IntegerField()
    recording = models.ForeignKey(Recording, on_delete=models.PROTECT, related_name="segments")
    slice = models.ForeignKey(Slice, on_delete=models.PROTECT, related_name="segments", null=True)
    start_pts = models.FloatField()
    end_pts = models.FloatField()
    start_at = models.DateTimeField()
    end_at = models.DateTimeField()
    block = models.IntegerField(help_text="minute (or scene) it lies in: what intervals are resampled by")
    n_poses = models.IntegerField()
    x = models.FloatField(help_text="mean centre, px")
    y = models.FloatField(help_text="mean centre, px")
    person_height = models.FloatField(help_text="mean height of the person, px")
    confidence = models.FloatField(null=True, help_text="mean confidence of the keypoints; null before it was stored")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["track", "ordinal"], name="a_segment_ordinal_once")]
        indexes = [
            models.Index(fields=["slice", "id"], name="segment_slice"),
            models.Index(fields=["recording", "start_pts"], name="segment_recording"),
        ]


class SegmentTruth(models.Model):
    """Ground truth that came with the file. Detectors and annotators never see it before a verdict."""

    segment = models.OneToOneField(Segment, on_delete=models.PROTECT, related_name="truth")
    anomalous = models.BooleanField()
    n_anomalous_poses = models.IntegerField()


class PoseTruth(models.Model):
    """Ground truth per pose of a recording: a Parquet artifact with (track, frame, label)."""

    recording = models.OneToOneField(Recording, on_delete=models.PROTECT, related_name="pose_truth")
    artifact = models.CharField(max_length=160)
    n_anomalous = models.IntegerField()
