"""Properties are checked with the same examples every time, and as slowly as charts are drawn."""

from __future__ import annotations

import hypothesis

hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.load_profile("repeatable")
