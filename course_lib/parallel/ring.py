"""L’anneau : additionner un même tableau entre n processus, en ne parlant qu’à son voisin.

Chacun coupe son tableau en n morceaux. À chaque tour, il en envoie un au suivant. Pendant n − 1
tours, le suivant l’additionne au sien ; pendant n − 1 autres, il le recopie (Patarasuk et Yuan
2009, doi:10.1016/j.jpdc.2008.09.002). Tout se passe ici dans un seul processus, pour être vu : les
vrais échanges sont ceux de `torch.distributed`.
"""

from collections.abc import Iterator


def ring_turns(parts: list[list[float]]) -> Iterator[list[int]]:
    """Additionne sur place les n morceaux de n processus ; rend, tour après tour, qui envoie quoi.

    `parts[p][m]` : le morceau m du processus p. Chaque tour rend, pour chaque processus, le rang du
    morceau qu’il vient d’envoyer au suivant. ValueError s’il n’y a pas n morceaux partout.
    """
    n = len(parts)
    if any(len(part) != n for part in parts):
        raise ValueError(
            f"{n} processus, mais des tableaux de {sorted({len(part) for part in parts})} "
            f"morceaux : coupez chacun en {n}."
        )
    for turn in range(2 * (n - 1)):
        sent = [(process - turn) % n for process in range(n)]
        moving = [parts[process][sent[process]] for process in range(n)]
        for process in range(n):
            receiver, piece = (process + 1) % n, sent[process]
            own = parts[receiver][piece] if turn < n - 1 else 0  # ensuite, on recopie
            parts[receiver][piece] = own + moving[process]
        yield sent
