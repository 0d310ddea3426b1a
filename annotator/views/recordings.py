"""One recording: the overlay played over its video or on black."""

from __future__ import annotations

import math

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from alfred.models import Job
from alfred.services import jobs, pose_window, recording_facts
from annotator.access import admin_only, job_for, recording_for
from annotator.media import file_response

LONGEST_S = 60.0


def page(request: HttpRequest, pk: int) -> HttpResponse:
    recording = recording_for(request, pk)
    seen = recording_facts.people_seen(recording)
    curve = recording_facts.score_curve(recording)
    names = {one["pk"]: one["name"] for one in seen}
    more = {
        "recording": recording,
        "camera": recording.camera,
        "rate_words": recording_facts.frame_rate_words(recording),
        "people": seen,
        "listed": recording_facts.LISTED,
        "scores": [row | {"name": names.get(row["track"], "–")} for row in curve["segments"]] if curve else [],
        "curve": {key: curve[key] for key in ("time", "score", "theta")} if curve else None,
    }
    return render(request, "annotator/recording.html", more | recording_facts.facts(recording))


def poses(request: HttpRequest, pk: int) -> JsonResponse:
    """Poses of a stretch of the recording: ?start=&end= in seconds, at most a minute."""
    recording = recording_for(request, pk)
    try:
        start = max(0.0, _seconds(request.GET.get("start", "0")))
        end = min(start + LONGEST_S, _seconds(request.GET.get("end", str(start + 10.0))))
    except ValueError:
        return JsonResponse({"error": "start and end are seconds"}, status=400)
    return JsonResponse(pose_window.of_recording(recording, start, end))


def _seconds(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("not a number of seconds")
    return value


def video(request: HttpRequest, pk: int) -> HttpResponseBase:
    recording = recording_for(request, pk)
    file = pose_window.open_video(recording)
    if file is None:
        raise Http404
    return file_response(request, file, "video/mp4")


@admin_only
@require_POST
def retry_view(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Try a given-up recording's work once more."""
    recording = recording_for(request, pk)
    for job in Job.objects.filter(kind__in=["extract", "score"], subject=recording.pk, state=Job.State.FAILED):
        jobs.retry(job.pk)
    return redirect("camera", recording.camera.slug)


@admin_only
@require_POST
def retry_job_view(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Queue one given-up job once more; of a recording whose slice has closed with it inside there is no way back."""
    job = job_for(request, pk)
    jobs.retry(job.pk)
    job.refresh_from_db()
    if job.is_live:
        messages.success(request, _("It is waiting for a worker again."))
    else:
        messages.error(request, _("This can't be tried again: its slice has closed, or it has been done since."))
    return redirect("camera", job.camera.slug)
