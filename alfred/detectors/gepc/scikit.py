"""How scikit-learn is called: on one thread, without its warnings."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it comes without types


@contextmanager
def repeatable() -> Iterator[None]:
    """Same input, same bytes out: sums over several threads come out in another order each time.

    Warnings of a fit that has not converged or found fewer clusters than asked for are silent: what it found is used.
    """
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield
