"""Programs that must be refused, each with all that its error must say.

Shared by the tests of reading and checking and by those of the whole server.
"""

from refusals.core import GOOD, BadProgram
from refusals.form import BAD_FORM
from refusals.limits import BOUNDARIES, TIGHT, Boundary
from refusals.rules import BAD_RULES

BAD_PROGRAMS = [*BAD_FORM, *BAD_RULES]

__all__ = ["BAD_PROGRAMS", "BOUNDARIES", "GOOD", "TIGHT", "BadProgram", "Boundary"]
