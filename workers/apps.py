"""Ties the domain's jobs to Celery when Django starts."""

from django.apps import AppConfig


class WorkersConfig(AppConfig):
    name = "workers"

    def ready(self) -> None:
        from alfred.models import work
        from workers import dispatch

        work.nudge = dispatch.nudge
        work.nudge_camera = dispatch.nudge_camera
        work.nudge_alerts = dispatch.nudge_alerts
