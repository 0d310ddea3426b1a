"""Celery workers: `celery` is the app, `dispatch` enqueues by name and id, `tasks` runs jobs.

`child` is the process that does the heavy part, `warm` the parent's side of it.
"""
