"""Dire en français ce qui empêche une commande d’aboutir, avec le chemin et le remède."""

import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from course_lib.files import sentence
from course_lib.training.interruption import TrainingInterrupted, polite_stops

_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "invalid buffer size")


def explain(error: BaseException) -> str:
    """La phrase française d’une erreur : ce qui est arrivé, où, et que faire."""
    if isinstance(error, MemoryError) or any(words in str(error) for words in _MEMORY):
        return (
            "La mémoire de la machine ne suffit pas. Réduisez la taille des lots, le contexte ou "
            "le modèle, ou fermez d’autres programmes."
        )
    if not isinstance(error, OSError) or error.errno is None:
        return str(error)
    return sentence(error)


def run_command(action: Callable[[], int | None], resumed: str = "") -> int:
    """Exécute une commande ; rend son code, 2 pour une erreur, 130 pour une interruption.

    Un arrêt poli (SIGTERM) ou la fermeture du terminal interrompent comme Ctrl-C ; `resumed` dit
    alors comment continuer. Une faute du programme garde sa trace : elle est pour qui le répare.
    """
    try:
        with polite_stops():
            return action() or 0
    except KeyboardInterrupt as interruption:
        lost = isinstance(interruption, TrainingInterrupted) and not interruption.saved
        told = "" if lost else str(interruption)
        say(f"\n{told or f'Interrompu. {resumed}'.strip()}", error=True)
        return 130
    except (ValueError, OSError, FloatingPointError, MemoryError) as error:
        say(f"{_who()} : {explain(error)}", error=True)
        return 2
    except RuntimeError as error:
        if explain(error) == str(error):
            raise
        say(f"{_who()} : {explain(error)}", error=True)
        return 2


def say(text: str, error: bool = False, end: str = "\n") -> None:
    """Affiche une ligne ; si plus personne ne lit (terminal fermé), le travail continue sans."""
    name = "stderr" if error else "stdout"
    try:
        print(text, file=getattr(sys, name), flush=True, end=end)
    except OSError:
        setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115


@contextmanager
def french_warnings() -> Iterator[None]:
    """Un avertissement n’a besoin ni du nom de sa classe, ni de la ligne qui l’émet."""

    def show(message, category, filename, lineno, file=None, line=None):
        say(f"Avertissement : {message}", error=True)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def _who() -> str:
    rank = os.environ.get("RANK", "0")  # posé par torchrun
    return "Erreur" if rank == "0" else f"Erreur du processus {rank}"
