"""Every kind of job is known to the workers, with limits; every task has a name of its own."""

from __future__ import annotations

import ast
import os
import subprocess
import sys

import pytest
from django.core.management import call_command

from alfred.models import Job
from alfred.models.work import MAX_ATTEMPTS
from tests.house.source import CHECKOUT, dotted, modules, name, tree
from workers.celery import QUEUES, app
from workers.kinds import KINDS


def test_every_kind_of_job_has_a_worker() -> None:
    assert set(KINDS) == set(Job.Kind.values)
    for name_, kind in KINDS.items():
        assert kind.queue in QUEUES, name_
        assert 0 < kind.seconds <= 24 * 3600 and 0 < kind.mebibytes <= 64_000, name_
        assert kind.queue == "io" or kind.queue != app.conf.task_default_queue, name_
    assert MAX_ATTEMPTS == 3


def test_every_kind_calls_a_function_that_is_there() -> None:
    for kind in KINDS.values():
        module, _, function = kind.call.partition(":")
        path = CHECKOUT / f"{module.replace('.', '/')}.py"
        found = {n.name: n for n in tree(path).body if isinstance(n, ast.FunctionDef)}
        first, _ = found[function].args.args
        assert first.arg == "context", kind.call


def test_every_task_has_a_name_and_takes_ids_only() -> None:
    tasks = [
        (node, decorator)
        for path in modules("workers")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef)
        for decorator in node.decorator_list
        if "task" in dotted(decorator.func if isinstance(decorator, ast.Call) else decorator)
    ]
    assert {"run_job", "sweep"} <= {node.name for node, _ in tasks}
    for node, decorator in tasks:
        assert isinstance(decorator, ast.Call), node.name
        given = {k.arg: ast.literal_eval(k.value) for k in decorator.keywords}
        assert given["name"] == f"workers.{node.name}"
        assert [ast.unparse(a.annotation) for a in node.args.args if a.annotation] == ["int"] * len(node.args.args)


def test_tasks_are_defined_in_workers_only() -> None:
    elsewhere = [
        name(path)
        for path in modules("alfred", "annotator")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ImportFrom | ast.Import)
        if "celery" in ast.unparse(node) and path.name != "settings.py"
    ]
    assert elsewhere == []


def test_messages_are_json_and_beat_names_a_task() -> None:
    import workers.tasks  # noqa: F401 - registers the tasks

    assert list(app.conf.accept_content) == ["json"] and app.conf.task_serializer == "json"
    assert {entry["task"] for entry in app.conf.beat_schedule.values()} <= set(app.tasks)
    assert not app.conf.task_acks_late and app.conf.worker_prefetch_multiplier == 1


@pytest.mark.django_db
def test_no_migration_is_missing() -> None:
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)


HEAVY = ("torch", "torchvision", "ultralytics", "cv2", "onnxruntime")


def test_the_web_process_stays_light() -> None:
    """In a fresh process: the application, its map and with it every view; nothing heavy came along."""
    code = (
        "import sys, alfred.asgi, annotator.urls; from django.template.loader import get_template;"
        "get_template('base.html'); print([m for m in " + repr(HEAVY) + " if m in sys.modules]);"
        "print('annotator.views.review' in sys.modules, 'workers.tasks' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, env=dict(os.environ), capture_output=True, text=True
    )
    assert done.stdout.splitlines() == ["[]", "True False"], done.stdout + done.stderr
