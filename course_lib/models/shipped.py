"""Les modèles livrés : le « petit LLM » des chapitres 03 à 08, ses assistants, et le romancier.

    python -m course_experiments.base_model             entraîne à nouveau le petit LLM
    python -m course_experiments.romancier.rounding     arrondit à nouveau le romancier

Le petit LLM est un dossier Hugging Face, aux poids en demi-précision, et le romancier un fichier
GGUF, aux poids arrondis : `load_pretrained`, qui les connaît par leur nom, `transformers` et la
page du cours lisent les mêmes fichiers. À côté, `training.json` garde le journal de
l’entraînement ; celui du petit LLM dit la distance exacte du modèle à la loi des histoires.
"""

import json
from pathlib import Path

from course_lib.pretrained.loading import load_pretrained
from course_lib.tokenization import Tokenizer
from course_lib.transformer import Decoder, LlamaConfig

MODELS = Path(__file__).parent
FOLDER = MODELS / "petit_llm"
WEIGHTS, CONFIG, TOKENIZER, TRAINING = (
    "model.safetensors",
    "config.json",
    "tokenizer.json",
    "training.json",
)
COMMAND = "python -m course_experiments.base_model"
ROMANCIER = MODELS / "romancier"
ROMANCIER_WEIGHTS = ROMANCIER / "romancier.gguf"
SHAPE = LlamaConfig(
    vocab_size=1536, context_length=256, d_model=128, n_layers=2, n_heads=4, d_ff=256
)


def load_petit_llm(folder: Path = FOLDER) -> tuple[Decoder, Tokenizer]:
    """Rend le petit LLM livré, en simple précision et prêt à générer, et son découpage.

    FileNotFoundError si un fichier manque : le message donne la commande qui le refait.
    """
    return load_shipped_model(folder, "du petit LLM", COMMAND)


def load_romancier(path: Path = ROMANCIER_WEIGHTS) -> tuple[Decoder, Tokenizer]:
    """Rend le romancier livré, en simple précision et prêt à générer, et son découpage.

    32,5 millions de paramètres, entraînés par le cours sur 470 romans français : voir sa fiche,
    `models/romancier/README.md`. FileNotFoundError si le fichier manque.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"Le romancier manque : « {path} ». Il vient avec le dépôt du cours ; reprenez ce "
            "fichier là où vous avez trouvé le cours."
        )
    loaded = load_pretrained(path)
    return loaded.model, loaded.tokenizer


def load_shipped_model(folder: Path, whose: str, command: str) -> tuple[Decoder, Tokenizer]:
    """Rend un modèle livré, en simple précision et prêt à générer, et son découpage.

    FileNotFoundError si un fichier manque : le message dit `whose` et la commande qui le refait.
    """
    folder = Path(folder)
    for name in (WEIGHTS, CONFIG, TOKENIZER):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"Le fichier « {name} » {whose} manque dans « {folder.name} ». "
                f"Refaites-le (quelques minutes) : {command}"
            )
    loaded = load_pretrained(folder)
    return loaded.model, loaded.tokenizer


def load_training_record(folder: Path = FOLDER) -> dict:
    """Rend le journal de l’entraînement livré : réglages, courbe, mesures finales."""
    return json.loads((Path(folder) / TRAINING).read_text("utf-8"))


def load_assistants(folder: Path = MODELS) -> tuple[Decoder, Decoder, Tokenizer]:
    """Rend l’assistant, le petit assistant et leur découpage, prêts à écrire.

    FileNotFoundError si un fichier manque : le message donne la commande qui le refait.
    """
    command = "python -m course_experiments.assistants"
    teacher, tokenizer = load_shipped_model(folder / "assistant", "de l’assistant", command)
    student, _ = load_shipped_model(folder / "petit_assistant", "du petit assistant", command)
    return teacher, student, tokenizer
