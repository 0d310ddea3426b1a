#!/bin/sh
# Format, lint, types, import contracts, missing migrations, templates. All run; any failure fails.
export ALFRED_TESTING=1 ALFRED_SECRET_KEY=check DATABASE_URL=postgresql://nobody@localhost/none CELERY_BROKER_URL=redis://localhost
bin=.venv/bin
failed=0
run() { echo "== $*"; "$@" || failed=1; }
run $bin/ruff format --check --quiet .
run $bin/ruff check --quiet .
run $bin/mypy
run $bin/lint-imports --config importlinter.ini --no-cache
run $bin/python manage.py makemigrations --check --dry-run
run $bin/python manage.py check
run $bin/djlint --quiet --lint templates
[ $failed = 0 ] && echo "all checks passed"
exit $failed
