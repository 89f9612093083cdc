"""L'animal et la rue : où un Transformer décide-t-il ce que désigne « it » ?

Deux modèles. Le traducteur (encodeur-décodeur) écrit la phrase française ; la glose (encodeur
seul) met sous chaque mot anglais son mot français. La commande ci-dessous entraîne chaque modèle
sur cinq graines, les interroge et range les mesures dans `results/pronoun.json` ; le traducteur de
la première graine, en demi-précision, va dans `results/traducteur/`.

    python -m course_experiments.pronoun
"""

from course_experiments.pronoun.causality import (
    attention_contrast,
    contrast_map,
    gloss_interventions,
    switching_heads,
    translator_interventions,
)
from course_experiments.pronoun.decoding import (
    gloss_scores,
    gloss_words,
    greedy_translate,
    translation_scores,
)
from course_experiments.pronoun.models import (
    build_gloss_encoder,
    build_recurrent,
    build_translator,
    load_translator,
    train_gloss_encoder,
    train_recurrent,
    train_translator,
)
from course_experiments.pronoun.task import RESULTS, Vocabulary, load_results, vocabulary

__all__ = [
    "RESULTS",
    "Vocabulary",
    "attention_contrast",
    "build_gloss_encoder",
    "build_recurrent",
    "build_translator",
    "contrast_map",
    "gloss_interventions",
    "gloss_scores",
    "gloss_words",
    "greedy_translate",
    "load_results",
    "load_translator",
    "switching_heads",
    "train_gloss_encoder",
    "train_recurrent",
    "train_translator",
    "translation_scores",
    "translator_interventions",
    "vocabulary",
]
