#!/usr/bin/env python
"""Every product action: `python manage.py help`."""

import os
import sys

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "alfred.settings")
    from django.core.management import execute_from_command_line
    from django.db import OperationalError

    from alfred.env import BadSetting

    try:
        execute_from_command_line(sys.argv)
    except BadSetting as error:
        sys.exit(f"Setting {error}")
    except OperationalError as error:
        sys.exit(f"The database does not answer: start `make up` first, or check DATABASE_URL ({error}).")
