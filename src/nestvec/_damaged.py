"""What Python raises where something that was written as JSON, or as a structure, is read and is not what it was."""

from __future__ import annotations

from typing import Final

#: Not JSON, or of another shape; numbers that are too long, too large or infinite; nested without end.
DAMAGED: Final = (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError)
