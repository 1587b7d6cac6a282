"""Adapters and embedders broken in one way each: they show that the conformance kit bites.

Each says which check must catch it and why. `MUTANTS` has all of them.
"""

from __future__ import annotations

from nestvec_testing.mutants.adapters import STORING
from nestvec_testing.mutants.base import Mutant, run_check
from nestvec_testing.mutants.coarse import COARSE
from nestvec_testing.mutants.embedders import EMBEDDERS
from nestvec_testing.mutants.forms import FORMS
from nestvec_testing.mutants.search import SEARCHING

ADAPTERS: tuple[Mutant, ...] = (*STORING, *SEARCHING, *COARSE, *FORMS)
MUTANTS: tuple[Mutant, ...] = (*ADAPTERS, *EMBEDDERS)

__all__ = ["ADAPTERS", "EMBEDDERS", "MUTANTS", "Mutant", "run_check"]
