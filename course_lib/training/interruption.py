"""Ctrl-C pendant un entraînement : finir le pas commencé, enregistrer, puis s’arrêter."""

import signal
import threading


class TrainingInterrupted(KeyboardInterrupt):
    """L’entraînement a été interrompu à la demande ; `history` garde les relevés déjà faits."""

    def __init__(self, step: int, checkpoint_dir, history):
        if checkpoint_dir is None:
            saved = "Sans checkpoint_dir, il n’a pas pu être enregistré."
        else:
            saved = f"Relancez-le à l’identique pour le reprendre depuis « {checkpoint_dir} »."
        super().__init__(f"Entraînement interrompu après le pas {step}. {saved}")
        self.step, self.history = step, history


class DeferredInterrupt:
    """Contexte où Ctrl-C (SIGINT) et l’arrêt poli (SIGTERM) attendent la fin du pas en cours.

    Interrompre au milieu d’un pas laisserait des poids à moitié mis à jour. Un second Ctrl-C
    arrête tout de suite. Hors du fil principal, où Python n’offre pas les signaux, rien ne change.
    """

    def __init__(self):
        self.requested = False
        self._previous = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._request)
        return self

    def __exit__(self, *exception):
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _request(self, number, frame):
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
