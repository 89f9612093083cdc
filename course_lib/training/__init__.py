"""Entraîner un modèle : une seule boucle pour tout le cours.

En ligne de commande : `python -m course_lib.training --corpus mon_texte.txt`.
"""

from course_lib.training.checkpoint import CheckpointStore, load_weights, save_weights
from course_lib.training.data import (
    IGNORE,
    AlignedBatches,
    BatchSource,
    PairBatches,
    SequenceBatches,
    TokenStream,
)
from course_lib.training.devices import device_of, find_device
from course_lib.training.history import History, Record
from course_lib.training.interruption import TrainingDiverged, TrainingInterrupted
from course_lib.training.loop import train
from course_lib.training.losses import (
    evaluate_loss,
    language_model_loss,
    sequence_to_sequence_loss,
    token_loss,
)
from course_lib.training.optimization import TrainingConfig, build_optimizer, learning_rate_at
from course_lib.training.workers import OneProcess

__all__ = [
    "IGNORE",
    "AlignedBatches",
    "BatchSource",
    "CheckpointStore",
    "History",
    "OneProcess",
    "PairBatches",
    "Record",
    "SequenceBatches",
    "TokenStream",
    "TrainingConfig",
    "TrainingDiverged",
    "TrainingInterrupted",
    "build_optimizer",
    "device_of",
    "evaluate_loss",
    "find_device",
    "language_model_loss",
    "learning_rate_at",
    "load_weights",
    "save_weights",
    "sequence_to_sequence_loss",
    "token_loss",
    "train",
]
