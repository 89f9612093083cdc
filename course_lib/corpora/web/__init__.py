"""Un micro-web sale, et de quoi le nettoyer : chaque filtre se mesure, car la vérité est connue."""

from course_lib.corpora.web.pages import KINDS, Page, Truth, generate_web, leaked_stories
from course_lib.corpora.web.pipeline import (
    STEP_NAMES,
    Report,
    Step,
    StepReport,
    clean,
    standard_steps,
)

__all__ = [
    "KINDS",
    "STEP_NAMES",
    "Page",
    "Report",
    "Step",
    "StepReport",
    "Truth",
    "clean",
    "generate_web",
    "leaked_stories",
    "standard_steps",
]
