"""La génération : du modèle au texte, en passant par le choix de chaque mot."""

from course_lib.generation.beam import Beam, beam_search
from course_lib.generation.decoding import (
    Step,
    continuation_log_probs,
    generate,
    next_token_distribution,
    stream,
)
from course_lib.generation.readers import CachedReader, RereadingReader
from course_lib.generation.sampling import SamplingConfig, next_distribution
from course_lib.generation.text import TextGenerator
from course_lib.generation.writer import Generation, row_seeds

__all__ = [
    "Beam",
    "CachedReader",
    "Generation",
    "RereadingReader",
    "SamplingConfig",
    "Step",
    "TextGenerator",
    "beam_search",
    "continuation_log_probs",
    "generate",
    "next_distribution",
    "next_token_distribution",
    "row_seeds",
    "stream",
]
