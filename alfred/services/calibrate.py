"""θ of the version in force, from what is labelled now. Heavy: scores the labelled segments anew."""

from __future__ import annotations

import math

from django.db import transaction

from alfred.models import Camera, Threshold
from alfred.models.detectors import in_force
from alfred.models.work import fence
from alfred.services import build_validation, evaluate, find_threshold
from alfred.services.deploy import append
from alfred.services.jobs import JobContext
from alfred.services.load_detector import load
from alfred.services.rescore import segment_values


def run(context: JobContext, camera_id: int) -> None:
    """Append a threshold and put it in force with the version that is. Nothing changes when θ stays the same."""
    camera = Camera.objects.get(pk=camera_id)
    with transaction.atomic():
        Camera.objects.select_for_update().get(pk=camera_id)
        build_validation.freeze_imported(camera)
    deployment = in_force(camera_id)
    present, members = build_validation.labelled_so_far(camera)
    if deployment is None or not members:
        return
    values = segment_values(
        load(deployment.version),
        [m.segment for m in members],
        lambda done, total: context.report(done, total, "scoring the labelled segments"),
    )
    data = find_threshold.labelled(members, values)
    found = find_threshold.find(camera, data, complete=present is not None)
    if found.value is None or not math.isfinite(found.value):
        return
    with transaction.atomic():
        fence(context.job_id, context.attempt)
        camera = Camera.objects.select_for_update().get(pk=camera_id)
        now = in_force(camera_id)
        if now is None or now.version_id != deployment.version_id:
            return  # another version came into force meanwhile, with a θ of its own
        stands_on = present.pk if present else None
        same = (now.threshold.value, now.threshold.policy, now.threshold.validation_set_id)
        if same == (found.value, found.policy, stands_on):
            return
        threshold = Threshold.objects.create(
            camera=camera,
            version=deployment.version,
            validation_set=present,
            policy=found.policy,
            value=found.value,
            details=found.details,
        )
        counts = f"{found.details['normals']} normal and {found.details['anomalies']} anomalous segments"
        why = f"threshold found anew on {counts}"
        append(camera, deployment.version, threshold, why, None)
        if present:
            evaluate.store(camera, deployment.version, threshold, present, data, role="deployed")
