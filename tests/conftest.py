"""Property tests try the same examples at every run, so that a run says something about the change and not about luck.

GAUGE_SEARCH=1 python -m pytest tests/test_laws.py     looks for new ones, others at each run
"""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("search", deadline=None, database=None, print_blob=True)
settings.load_profile("search" if os.environ.get("GAUGE_SEARCH") else "same")
