"""The supervisor's page of one camera, and the same as CSV."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from alfred.models import Role
from alfred.reports.as_csv import to_csv
from alfred.services.report import camera_report
from annotator.access import camera_for


def page(request: HttpRequest, slug: str) -> HttpResponse:
    camera = camera_for(request, slug, Role.SUPERVISOR)
    return render(request, "annotator/report.html", {"camera": camera, "report": camera_report(camera)})


def csv_file(request: HttpRequest, slug: str) -> HttpResponse:
    camera = camera_for(request, slug, Role.SUPERVISOR)
    response = HttpResponse(to_csv(camera_report(camera)), content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="{camera.slug}-report.csv"'
    return response
