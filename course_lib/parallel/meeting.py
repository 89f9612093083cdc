"""Se retrouver après un accident, sans écrire aux morts.

Les processus se donnent leurs adresses par un tableau commun, que `torchrun` tient pour eux. Quand
il relance une équipe, le tableau garde les adresses des disparus : les nouveaux venus leur
écriraient en vain. Chaque équipe se choisit donc un nom neuf et range ses adresses sous ce nom.
"""

import time
import uuid

from torch.distributed import PrefixStore, Store

_PAUSE = 0.02  # seconde


def fresh_board(store: Store, rank: int, n_workers: int) -> Store:
    """La partie du tableau que seuls liront les `n_workers` processus présents.

    Le premier choisit le nom de l’équipe. Chacun des autres se présente sous un nom unique, et la
    réponse est rangée sous ce nom : elle ne peut venir que d’un vivant.
    """
    me = uuid.uuid4().hex
    team = _welcome(store, me, n_workers) if rank == 0 else _introduce(store, me, rank)
    return PrefixStore(f"team/{team}", store)


def _introduce(store: Store, me: str, rank: int) -> str:
    store.set(f"hello/{rank}", me)
    team = store.get(f"answer/{me}").decode()  # attend la réponse
    store.set(f"present/{team}/{rank}", "")
    return team


def _welcome(store: Store, team: str, n_workers: int) -> str:
    absent = set(range(1, n_workers))
    while absent:
        for rank in sorted(absent):
            if store.check([f"present/{team}/{rank}"]):
                absent.remove(rank)
            elif store.check([f"hello/{rank}"]):  # peut-être d’un mort, qui ne lira pas
                store.set(f"answer/{store.get(f'hello/{rank}').decode()}", team)
        time.sleep(_PAUSE if absent else 0)
    return team
