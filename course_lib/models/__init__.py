"""Les modèles faits par le cours et livrés avec lui : le petit LLM et ses assistants.

load_petit_llm          le modèle de base des chapitres, et son découpage
load_training_record    le journal de son entraînement
load_shipped_model      n’importe quel dossier de modèle livré
"""

from course_lib.models.shipped import (
    MODELS,
    load_assistants,
    load_petit_llm,
    load_shipped_model,
    load_training_record,
)

__all__ = [
    "MODELS",
    "load_assistants",
    "load_petit_llm",
    "load_shipped_model",
    "load_training_record",
]
