"""Ce qui arrête un entraînement : Ctrl-C, un arrêt poli, un terminal fermé, une divergence.

Interrompu, il finit le pas commencé, enregistre, puis s’arrête.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# SIGTERM : l’arrêt poli ; SIGHUP : le terminal se ferme (Windows n’a pas ce signal).
_POLITE = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


class TrainingDiverged(FloatingPointError):
    """La perte n’est plus un nombre fini ; `step` est le premier pas où elle ne l’est pas."""

    def __init__(self, step: int, message: str):
        super().__init__(message)
        self.step = step

    def __reduce__(self):  # un processus de l’équipe la transmet aux autres
        return type(self), (self.step, str(self))


class TrainingInterrupted(KeyboardInterrupt):
    """L’entraînement a été interrompu à la demande ; `history` garde les relevés déjà faits."""

    def __init__(self, step: int, checkpoint_dir, history):
        if checkpoint_dir is None:
            saved = "Sans checkpoint_dir, il n’a pas pu être enregistré."
        else:
            saved = f"Relancez-le à l’identique pour le reprendre depuis « {checkpoint_dir} »."
        super().__init__(f"Entraînement interrompu après le pas {step}. {saved}")
        self._arguments = step, checkpoint_dir, history
        self.step, self.history, self.saved = step, history, checkpoint_dir is not None

    def __reduce__(self):
        return type(self), self._arguments


class DeferredInterrupt:
    """Contexte où Ctrl-C, l’arrêt poli et la fermeture du terminal attendent la fin du pas.

    Interrompre au milieu d’un pas laisserait des poids à moitié mis à jour. Un second Ctrl-C
    arrête tout de suite. Hors du fil principal, où Python n’offre pas les signaux, rien ne change.
    """

    def __init__(self):
        self.requested = False
        self._previous = {}

    def __enter__(self):
        self._previous = _install(self._request, (signal.SIGINT, *_POLITE))
        return self

    def __exit__(self, *exception):
        _restore(self._previous)

    def _request(self, number, frame):
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True


@contextmanager
def polite_stops() -> Iterator[None]:
    """Contexte où l’arrêt poli et la fermeture du terminal interrompent comme Ctrl-C."""

    def interrupt(number, frame):
        raise KeyboardInterrupt

    previous = _install(interrupt, _POLITE)
    try:
        yield
    finally:
        _restore(previous)


def _install(handler, numbers) -> dict:
    """Pose `handler`, rend les réactions d’avant ; un signal ignoré (`nohup`) le reste."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    kept = [n for n in numbers if n == signal.SIGINT or signal.getsignal(n) != signal.SIG_IGN]
    return {number: signal.signal(number, handler) for number in kept}


def _restore(previous: dict) -> None:
    for number, handler in previous.items():
        signal.signal(number, handler)
