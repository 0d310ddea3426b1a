"""ALFred finds abnormal human behaviour on fixed cameras, with people in the loop.

This module imports neither Django nor Celery.
"""

__version__ = "0.1.0"
