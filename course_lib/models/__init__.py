"""Les modèles faits par le cours et livrés avec lui : le petit LLM, ses assistants, le romancier.

load_petit_llm          le modèle de base des chapitres, et son découpage
load_romancier          le modèle de langage français du cours, et son découpage
load_training_record    le journal de son entraînement
load_shipped_model      n’importe quel dossier de modèle livré
"""

from course_lib.models.shipped import (
    MODELS,
    load_assistants,
    load_petit_llm,
    load_romancier,
    load_shipped_model,
    load_training_record,
)

__all__ = [
    "MODELS",
    "load_assistants",
    "load_petit_llm",
    "load_romancier",
    "load_shipped_model",
    "load_training_record",
]
