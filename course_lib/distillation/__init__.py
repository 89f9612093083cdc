"""La distillation : un petit modèle, l’élève, apprend d’un grand, l’enseignant."""

from course_lib.distillation.cached_batches import DistillationBatches
from course_lib.distillation.divergences import forward_kl, jensen_shannon, reverse_kl
from course_lib.distillation.soft_targets import SoftTargetLoss
from course_lib.distillation.teacher_cache import TeacherCache, write_teacher_cache

__all__ = [
    "DistillationBatches",
    "SoftTargetLoss",
    "TeacherCache",
    "forward_kl",
    "jensen_shannon",
    "reverse_kl",
    "write_teacher_cache",
]
