"""The Celery app. Queues: pose · score · train · io · camera, and sweep, which nothing long may block."""

from __future__ import annotations

import os

from celery import Celery
from kombu import Exchange, Queue

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "alfred.settings")

QUEUES = ("pose", "score", "train", "io", "camera", "sweep")

app = Celery("alfred")
app.config_from_object("django.conf:settings", namespace="CELERY")
# Each queue has an exchange of its own; on a shared one every worker would get every message.
app.conf.task_queues = [Queue(name, Exchange(name), routing_key=name) for name in QUEUES]
app.autodiscover_tasks(["workers"])
