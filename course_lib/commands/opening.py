"""Ouvrir le modèle que nomme une commande : un dossier, un GGUF, ou un modèle livré ou publié."""

import shlex
from pathlib import Path

import torch

from course_lib.models import MODELS
from course_lib.pretrained.folders.locating import shipped_model
from course_lib.pretrained.loading import Pretrained, load_pretrained
from course_lib.pretrained.store import smollm2_path
from course_lib.training.devices import DEVICES, find_device
from course_lib.transformer import Decoder

SHIPPED = ("petit_llm", "assistant", "petit_assistant", "romancier")
PUBLISHED = {"smollm2": smollm2_path}
NAMES = (*SHIPPED, *PUBLISHED)
MODEL_HELP = f"un dossier, un fichier GGUF, ou l’un de ces noms : {', '.join(NAMES)}"


def add_model(parser, default: str) -> None:
    """L’argument MODÈLE d’une commande, et l’appareil où le mettre."""
    parser.add_argument(
        "model", nargs="?", default=default, metavar="MODÈLE",
        help=f"{MODEL_HELP} (défaut : {default})",
    )  # fmt: skip
    add_device(parser)


def add_device(parser) -> None:
    """L’option --device."""
    parser.add_argument(
        "--device",
        choices=DEVICES,
        default="auto",
        help="où calculer ; auto : une carte graphique s’il y en a une, sinon le processeur",
    )


def open_model(name: str, device: str = "auto", context_length: int | None = None) -> Pretrained:
    """Charge un décodeur et le met sur l’appareil ; un nom l’emporte sur un dossier homonyme.

    FileNotFoundError si rien ne porte ce nom ; ValueError si ce n’est pas un modèle qui écrit, ou
    si l’appareil manque.
    """
    chosen = chosen_device(device)
    loaded = load_pretrained(_place(name), context_length)
    if not isinstance(loaded.model, Decoder):
        raise ValueError(
            f"« {name} » est un encodeur ({loaded.family}) : il lit et n’écrit pas. Donnez un "
            f"modèle de langue, par exemple {NAMES[0]}."
        )
    loaded.model.to(chosen)
    return loaded


def chosen_device(name: str) -> torch.device:
    """L’appareil demandé. ValueError s’il n’y en a pas sur cette machine."""
    try:
        return find_device(name)
    except ValueError:
        raise ValueError(
            f"--device {name} : PyTorch ne trouve pas cet appareil ici. Prenez --device cpu, ou "
            "laissez --device auto choisir."
        ) from None


def start_ids(tokenizer) -> list[int]:
    """Les jetons que le modèle a appris à lire avant tout texte ; aucun, s’il n’en a pas appris."""
    return list(tokenizer.frame[0]) if tokenizer.bos_id is None else [tokenizer.bos_id]


def next_command(command: str, *arguments: str) -> str:
    """Une commande à recopier."""
    return shlex.join(["python", "-m", "course_lib", command, *arguments])


def _place(name: str) -> Path:
    if name in SHIPPED:
        return shipped_model(name) or MODELS / name
    if name in PUBLISHED:
        return PUBLISHED[name]()
    path = Path(name).expanduser()
    if not path.exists() and not path.is_symlink() and not set(name) & set("/\\."):
        raise FileNotFoundError(
            f"Aucun modèle « {name} » : ni dossier, ni fichier de ce nom dans « {Path.cwd()} ». "
            f"Les modèles du cours : {', '.join(NAMES)} ; les vôtres sont dans le dossier qu’a "
            "annoncé l’entraînement (runs/…)."
        )
    return path
