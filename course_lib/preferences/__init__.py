"""Apprendre de préférences : entre deux réponses, laquelle ; ou, d’une réponse, combien elle vaut.

    DPOLoss      des paires (préférée, rejetée), sans modèle de récompense (Rafailov et al., 2023)
    GRPOLoss     des groupes de textes notés par un juge (Shao et al., 2024)

Les deux vont avec `train`, comme toute autre perte.
"""

from course_lib.preferences.direct import DPOLoss, dpo_loss
from course_lib.preferences.groups import RewardedTexts
from course_lib.preferences.pairs import Preference, PreferenceBatches
from course_lib.preferences.policy import GRPOLoss, group_advantages, grpo_loss
from course_lib.preferences.sequences import target_log_probs

__all__ = [
    "DPOLoss",
    "GRPOLoss",
    "Preference",
    "PreferenceBatches",
    "RewardedTexts",
    "dpo_loss",
    "group_advantages",
    "grpo_loss",
    "target_log_probs",
]
