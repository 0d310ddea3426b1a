"""One recording: the overlay played over its video or on black."""

from __future__ import annotations

import math

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from alfred.models import Job
from alfred.services import jobs, pose_window, recording_facts
from annotator.access import admin_only, recording_for
from annotator.media import file_response

LONGEST_S = 60.0


def page(request: HttpRequest, pk: int) -> HttpResponse:
    recording = recording_for(request, pk)
    facts = recording_facts.facts(recording)
    return render(request, "annotator/recording.html", {"recording": recording, "camera": recording.camera} | facts)


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
