"""La bibliothèque du cours « Les grands modèles de langage ».

Dix noms suffisent pour commencer. Chacun n’est chargé qu’à son premier emploi : importer
`course_lib` ne charge ni PyTorch ni rien d’autre.

    llama(LlamaConfig(…))             construire un Transformer
    train(…, TrainingConfig(…))       l’entraîner
    TextGenerator, SamplingConfig     écrire avec lui
    save_folder, load_pretrained      l’enregistrer ; ouvrir un dossier ou un GGUF
    load_tokenizer                    relire un découpage en jetons
    load_petit_llm                    le modèle livré avec le cours
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # ce que lisent les éditeurs et les vérificateurs de types
    from course_lib.generation import SamplingConfig, TextGenerator
    from course_lib.models import load_petit_llm
    from course_lib.pretrained import load_pretrained, save_folder
    from course_lib.tokenization import load_tokenizer
    from course_lib.training import TrainingConfig, train
    from course_lib.transformer import LlamaConfig, llama

__version__ = "1.0.0"
__all__ = [
    "LlamaConfig",
    "SamplingConfig",
    "TextGenerator",
    "TrainingConfig",
    "__version__",
    "llama",
    "load_petit_llm",
    "load_pretrained",
    "load_tokenizer",
    "save_folder",
    "train",
]
_HOMES = {
    "LlamaConfig": "transformer",
    "SamplingConfig": "generation",
    "TextGenerator": "generation",
    "TrainingConfig": "training",
    "llama": "transformer",
    "load_petit_llm": "models",
    "load_pretrained": "pretrained",
    "load_tokenizer": "tokenization",
    "save_folder": "pretrained",
    "train": "training",
}


def __getattr__(name: str) -> object:
    """Va chercher un des dix noms dans sa pièce, puis le garde (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(
            f"course_lib n’a pas de « {name} ». Les noms de l’entrée : {', '.join(_HOMES)} ; "
            "les autres se prennent dans leur pièce, comme course_lib.finetuning."
        )
    value = globals()[name] = getattr(import_module(f"course_lib.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
