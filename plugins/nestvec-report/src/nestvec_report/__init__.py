"""The dimensions report as a page that needs nothing else: `render(report)` is the text of one HTML file."""

from __future__ import annotations

from nestvec_report.page import render

__all__ = ["render"]
