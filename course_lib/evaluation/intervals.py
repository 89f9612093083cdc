"""L’incertitude d’une proportion mesurée sur un nombre fini d’essais."""

import math


def wilson_interval(successes: int, trials: int, z: float = 1.96) -> tuple[float, float]:
    """Intervalle de confiance à 95 % d’une proportion (Wilson, 1927, doi:10.2307/2276774).

    Contrairement à « p ± 2 écarts-types », il reste entre 0 et 1 et garde une largeur quand on
    observe 0 % ou 100 %. ValueError si `successes` n’est pas entre 0 et `trials` ≥ 1.
    """
    if not 0 <= successes <= trials or trials < 1:
        raise ValueError(
            f"{successes} succès sur {trials} essais : il faut au moins un essai, et un nombre de "
            "succès entre 0 et le nombre d’essais."
        )
    ratio, spread = successes / trials, z * z / trials
    center = (ratio + spread / 2) / (1 + spread)
    half = z * math.sqrt(ratio * (1 - ratio) / trials + spread / (4 * trials)) / (1 + spread)
    return max(0.0, center - half), min(1.0, center + half)
