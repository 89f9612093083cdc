"""La distillation : un petit modèle, l’élève, apprend d’un grand, l’enseignant."""

from course_lib.distillation.cached_batches import DistillationBatches
from course_lib.distillation.divergences import forward_kl, jensen_shannon, reverse_kl
from course_lib.distillation.features import (
    AttentionLoss,
    FeatureLoss,
    FeatureStudent,
    HiddenStateLoss,
    attention_transfer,
    even_layer_map,
)
from course_lib.distillation.generated_texts import teacher_answers, teacher_texts
from course_lib.distillation.initialization import student_from_teacher
from course_lib.distillation.on_policy import OnPolicyBatches
from course_lib.distillation.recorded_features import recorded_features
from course_lib.distillation.soft_targets import SoftTargetLoss
from course_lib.distillation.teacher_cache import TeacherCache, write_teacher_cache

__all__ = [
    "AttentionLoss",
    "DistillationBatches",
    "FeatureLoss",
    "FeatureStudent",
    "HiddenStateLoss",
    "OnPolicyBatches",
    "SoftTargetLoss",
    "TeacherCache",
    "attention_transfer",
    "even_layer_map",
    "forward_kl",
    "jensen_shannon",
    "recorded_features",
    "reverse_kl",
    "student_from_teacher",
    "teacher_answers",
    "teacher_texts",
    "write_teacher_cache",
]
