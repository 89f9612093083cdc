"""Le biais d’un pronom : P(elle | métier), comparée à ½, dans un corpus, un modèle, ses textes.

Ces mesures ne jugent pas du bien-fondé d’une proportion : elles disent de combien « elle » et
« il » s’écartent de la parité, et si le modèle, puis la façon d’écrire, creusent l’écart.
Un biais ne se lit jamais seul : un modèle qui tire le genre au sort paraît sans biais, et
n’accorde plus rien. On donne toujours, à côté, l’exactitude des accords.
"""

import math
from collections.abc import Mapping, Sequence

from course_lib.extras import needed_by

with needed_by("evaluation"):
    from scipy.special import stdtrit


def signed_bias(probabilities: Mapping[str, float]) -> dict[str, float]:
    """Par métier, P(elle) − ½ : positif si « elle » domine, de −0,5 à 0,5.

    ValueError si le relevé est vide ou qu’une valeur n’est pas une probabilité.
    """
    if not probabilities:
        raise ValueError("Aucun métier reçu : il en faut au moins un.")
    for trade, value in probabilities.items():
        if not 0.0 <= value <= 1.0:
            raise ValueError(
                f"P(elle | {trade}) = {value} : une probabilité est entre 0 et 1. "
                "Rapportez P(elle) à P(elle) + P(il)."
            )
    return {trade: value - 0.5 for trade, value in probabilities.items()}


def mean_absolute_bias(probabilities: Mapping[str, float]) -> float:
    """Moyenne sur les métiers de |P(elle) − ½| : 0 à parité, 0,5 si chaque métier n’a qu’un genre.

    ValueError : voir `signed_bias`.
    """
    gaps = signed_bias(probabilities).values()
    return sum(map(abs, gaps)) / len(gaps)


def sharpen(probability: float, temperature: float) -> float:
    """P(elle) une fois divisés par `temperature` les scores de « elle » et de « il ».

    À température 0, le plus probable l’emporte toujours ; à égalité, la moitié des fois.
    ValueError si la probabilité ou la température est impossible.
    """
    if not 0.0 <= probability <= 1.0:
        raise ValueError(f"Probabilité reçue : {probability}. Donnez un nombre entre 0 et 1.")
    if not (math.isfinite(temperature) and temperature >= 0):
        raise ValueError(f"temperature = {temperature} : il faut un nombre fini, positif ou nul.")
    if probability in (0.0, 0.5, 1.0):
        return probability
    if temperature == 0:
        return float(probability > 0.5)
    gap = (math.log(probability) - math.log1p(-probability)) / temperature
    small = math.exp(-abs(gap))  # l’exposant est négatif : rien ne déborde
    return 1 / (1 + small) if gap > 0 else small / (1 + small)


def mean_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float, float]:
    """Moyenne de quelques entraînements et son intervalle de Student : (moyenne, bas, haut).

    Les graines sont l’échantillon ; avec trois valeurs, l’intervalle est large, et c’est honnête :
    un rééchantillonnage (bootstrap) de si peu de valeurs le ferait paraître trop étroit.
    Source : Student 1908, doi:10.2307/2331554. ValueError s’il y a moins de deux valeurs.
    """
    n = len(values)
    if n < 2:
        raise ValueError(f"{n} valeur reçue : il en faut au moins 2, une par graine.")
    if not 0 < level < 1:
        raise ValueError(f"level = {level} : il faut un niveau entre 0 et 1, comme 0.95.")
    mean = sum(values) / n
    variance = sum((value - mean) ** 2 for value in values) / (n - 1)
    half = float(stdtrit(n - 1, (1 + level) / 2)) * math.sqrt(variance / n)
    return mean, mean - half, mean + half
