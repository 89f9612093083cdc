"""Les figures du cours : une identité visuelle, des nombres français, un texte de remplacement.

Chaque fonction rend une `CourseFigure` (figure matplotlib) dont `alt` décrit l’image.
"""

from course_lib.figures.comparisons import calibration_diagram, dot_rows
from course_lib.figures.curves import (
    intervention_bars,
    seed_strips,
    training_curves,
)
from course_lib.figures.diagrams import attention_by_hand, context_diagram, tokenization_ladder
from course_lib.figures.families import context_curve, descent_panels, model_dots
from course_lib.figures.finetuning import cost_quality, lora_diagram
from course_lib.figures.generation import paired_bars, probability_panels, quality_diversity
from course_lib.figures.intervals import interval_points
from course_lib.figures.maps import (
    attention_heatmap,
    delta_map,
    gaze_rows,
    sinusoidal_positions,
    skills_heatmap,
)
from course_lib.figures.real_models import ecosystem_map, roofline, skill_timelines
from course_lib.figures.scaling import log_curves, log_map, share_bars, size_curve
from course_lib.figures.sharing import pipeline_scheme, sharing_scheme
from course_lib.figures.style import COLORS, CourseFigure, french_ticks, new_figure
from course_lib.figures.transformer import transformer_diagram
from course_lib.typography import format_number, format_percent

__all__ = [
    "COLORS",
    "CourseFigure",
    "attention_by_hand",
    "attention_heatmap",
    "calibration_diagram",
    "context_curve",
    "context_diagram",
    "cost_quality",
    "delta_map",
    "descent_panels",
    "dot_rows",
    "ecosystem_map",
    "format_number",
    "format_percent",
    "french_ticks",
    "gaze_rows",
    "interval_points",
    "intervention_bars",
    "log_curves",
    "log_map",
    "lora_diagram",
    "model_dots",
    "new_figure",
    "paired_bars",
    "pipeline_scheme",
    "probability_panels",
    "quality_diversity",
    "roofline",
    "seed_strips",
    "share_bars",
    "sharing_scheme",
    "sinusoidal_positions",
    "size_curve",
    "skill_timelines",
    "skills_heatmap",
    "tokenization_ladder",
    "training_curves",
    "transformer_diagram",
]
