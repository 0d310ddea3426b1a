"""The child process that does heavy work: torch, decoding, models. Started fresh, kept warm between jobs.

Run as `python -m workers.child`. One JSON object a line: in {"job", "attempt", "call", "subject"}; out
{"progress": [done, total, stage]}, then {"done"}, {"later"}, {"stale"} or {"error", "permanent"}. The parent kills
it when a job overruns, is cancelled, or the worker ends: everything it stores is fenced and atomic, so that is safe
at any moment.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import logging
import os
import signal
import sys
from typing import Any, TextIO

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Serve jobs until stdin closes."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The protocol keeps the real stdout; whatever a library prints goes to the log.
    protocol = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "alfred.settings")
    import django

    django.setup()
    for line in sys.stdin:
        _serve(json.loads(line), protocol)


def _serve(order: dict[str, Any], protocol: TextIO) -> None:
    from django.db import InterfaceError, OperationalError, close_old_connections

    from alfred.models.work import StaleAttemptError
    from alfred.services.jobs import BadInputError, JobContext, NotYet

    def say(**message: Any) -> None:
        protocol.write(json.dumps({"job": order["job"], "attempt": order["attempt"], **message}) + "\n")

    module, _, function = order["call"].partition(":")
    context = JobContext(
        order["job"],
        order["attempt"],
        lambda done, total, stage: say(progress=[int(done), int(total), stage]),
    )
    close_old_connections()
    try:
        getattr(importlib.import_module(module), function)(context, order["subject"])
    except BadInputError as error:
        say(error=str(error), permanent=True)
    except NotYet:
        say(later=True)
    except StaleAttemptError:
        say(stale=True)
    except (OperationalError, InterfaceError, OSError, MemoryError) as error:
        say(error=f"{type(error).__name__}: {error}"[:500], permanent=False)
    except Exception as error:
        logging.getLogger(__name__).exception("job %s", order["job"])
        say(error=f"{type(error).__name__}: {error}"[:500], permanent=False)
    else:
        say(done=True)
    finally:
        close_old_connections()


if __name__ == "__main__":
    main()
