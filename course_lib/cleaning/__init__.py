"""Nettoyer un corpus, étape par étape ; chaque filtre se mesure là où la vérité est connue."""

from course_lib.cleaning.pipeline import (
    STEP_NAMES,
    Report,
    Step,
    StepReport,
    clean,
    standard_steps,
)

__all__ = ["STEP_NAMES", "Report", "Step", "StepReport", "clean", "standard_steps"]
