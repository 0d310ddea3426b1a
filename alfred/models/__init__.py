"""Rows, constraints, querysets, claim(); one concept a file. Keys point backwards along the one-way walk."""

from alfred.models.alerts import Acknowledged, AlertChannel, AlertDelivery, ChannelCamera
from alfred.models.audit import AuditEntry
from alfred.models.cameras import Camera
from alfred.models.detectors import Deployment, DetectorVersion, Threshold
from alfred.models.footage import Recording, Rendition, Slice
from alfred.models.guides import GuideSeen, GuideVersion
from alfred.models.people import Membership, Preferences, Role, User
from alfred.models.plates import Plate
from alfred.models.poses import PoseExtraction, PoseTruth, Segment, SegmentTruth, Track
from alfred.models.review import (
    AnomalyKind,
    Answer,
    AuditStratum,
    BandStart,
    Batch,
    Candidate,
    Clip,
    Correction,
    Event,
    EventSegment,
    FalseAlarm,
    Lane,
    Lease,
    TrialAnswer,
    Verdict,
)
from alfred.models.rounds import (
    Drift,
    DriftReference,
    Evaluation,
    LabelSnapshot,
    Replay,
    ReplayChange,
    Round,
    SliceCounts,
    SnapshotLabel,
)
from alfred.models.scoring import Scoring, SegmentScore
from alfred.models.validation import ValidationMember, ValidationSet
from alfred.models.work import Job

__all__ = [
    "Acknowledged",
    "AlertChannel",
    "AlertDelivery",
    "AnomalyKind",
    "Answer",
    "AuditEntry",
    "AuditStratum",
    "BandStart",
    "Batch",
    "Camera",
    "Candidate",
    "ChannelCamera",
    "Clip",
    "Correction",
    "Deployment",
    "DetectorVersion",
    "Drift",
    "DriftReference",
    "Evaluation",
    "Event",
    "EventSegment",
    "FalseAlarm",
    "GuideSeen",
    "GuideVersion",
    "Job",
    "LabelSnapshot",
    "Lane",
    "Lease",
    "Membership",
    "Plate",
    "PoseExtraction",
    "PoseTruth",
    "Preferences",
    "Recording",
    "Rendition",
    "Replay",
    "ReplayChange",
    "Role",
    "Round",
    "Scoring",
    "Segment",
    "SegmentScore",
    "SegmentTruth",
    "Slice",
    "SliceCounts",
    "SnapshotLabel",
    "Threshold",
    "Track",
    "TrialAnswer",
    "User",
    "ValidationMember",
    "ValidationSet",
    "Verdict",
]
