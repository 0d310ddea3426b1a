"""Rows, constraints, querysets, claim(); one concept a file. Keys point backwards along the one-way walk."""

from alfred.models.audit import AuditEntry
from alfred.models.cameras import Camera
from alfred.models.detectors import Deployment, DetectorVersion, Threshold
from alfred.models.footage import Recording, Rendition, Slice
from alfred.models.people import Membership, Role, User
from alfred.models.poses import PoseExtraction, PoseTruth, Segment, SegmentTruth, Track
from alfred.models.review import Answer, AuditStratum, BandStart, Candidate, Event, EventSegment, Lane, Lease, Verdict
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
    "Answer",
    "AuditEntry",
    "AuditStratum",
    "BandStart",
    "Camera",
    "Candidate",
    "Deployment",
    "DetectorVersion",
    "Drift",
    "DriftReference",
    "Evaluation",
    "Event",
    "EventSegment",
    "Job",
    "LabelSnapshot",
    "Lane",
    "Lease",
    "Membership",
    "PoseExtraction",
    "PoseTruth",
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
    "User",
    "ValidationMember",
    "ValidationSet",
    "Verdict",
]
