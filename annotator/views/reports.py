"""The supervisor's page of one camera, and the same as CSV."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import translation

from alfred.models import Role
from alfred.reports.as_csv import COLUMNS, thetas_to_csv, to_csv
from alfred.services import agreement, known_items
from alfred.services.report import camera_report
from annotator.access import camera_for
from annotator.glossary import GLOSSARY

READING = (
    "ebi", "fpr", "fnr", "flagged", "segment", "theta", "ground-truth", "judged", "estimated", "in-sample", "audit",
    "prevalence", "label-noise",
)  # fmt: skip


def page(request: HttpRequest, slug: str) -> HttpResponse:
    camera = camera_for(request, slug, Role.SUPERVISOR)
    context = {
        "camera": camera,
        "report": camera_report(camera),
        "reading": [GLOSSARY[key] for key in READING],
        "columns": COLUMNS.items(),
        "pairs": agreement.pairs(camera),
        "known": known_items.team(camera),
    }
    return render(request, "annotator/report.html", context)


def csv_file(request: HttpRequest, slug: str) -> HttpResponse:
    """The figures, or with ?table=thresholds every θ the camera ran with."""
    camera = camera_for(request, slug, Role.SUPERVISOR)
    table, write = ("thresholds", thetas_to_csv) if request.GET.get("table") == "thresholds" else ("report", to_csv)
    with translation.override("en"):  # a file for programs: the same whoever asks for it
        text = write(camera_report(camera))
    response = HttpResponse(text, content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="{camera.slug}-{table}.csv"'
    return response
