"""Les composants interactifs du cours : mêmes modules JavaScript dans le cahier et sur le site."""

from course_lib.widgets.attention import AttentionExplorer
from course_lib.widgets.base import CourseWidget
from course_lib.widgets.calibration import CalibrationExplorer
from course_lib.widgets.continuations import ContinuationExplorer
from course_lib.widgets.embeddings import EmbeddingExplorer
from course_lib.widgets.language_model import MICRO_STORIES, LanguageModelWidget, Reading
from course_lib.widgets.planner import ScalingPlanner
from course_lib.widgets.quiz import Choice, Question, Quiz
from course_lib.widgets.readability import ReadabilityExplorer
from course_lib.widgets.romancier import romancier_widget
from course_lib.widgets.steps import StepDiagram
from course_lib.widgets.tokenizer import TokenizerExplorer
from course_lib.widgets.trials import Measure, Trial, TrialExplorer
from course_lib.widgets.two_models import TwoModelsWidget

__all__ = [
    "MICRO_STORIES",
    "AttentionExplorer",
    "CalibrationExplorer",
    "Choice",
    "ContinuationExplorer",
    "CourseWidget",
    "EmbeddingExplorer",
    "LanguageModelWidget",
    "Measure",
    "Question",
    "Quiz",
    "ReadabilityExplorer",
    "Reading",
    "ScalingPlanner",
    "StepDiagram",
    "TokenizerExplorer",
    "Trial",
    "TrialExplorer",
    "TwoModelsWidget",
    "romancier_widget",
]
