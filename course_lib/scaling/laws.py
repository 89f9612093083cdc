"""Ajuster une loi de puissance, et dire ce que les mesures permettent d’en savoir.

y = a x^−b, ou y = c + a x^−b avec un plancher c. L’ajustement se fait sur les logarithmes : un
écart de 1 % compte autant en haut qu’en bas. Les intervalles viennent de la covariance des
moindres carrés et de la loi de Student.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from course_lib.extras import needed_by

with needed_by("scaling"):
    from scipy.optimize import least_squares
    from scipy.special import stdtrit  # scipy.stats, qui l’appelle, met une seconde à se charger

FLAT = "Les mesures ne distinguent pas une pente de zéro : l’exposant n’est pas identifiable. "
LOOSE_FLOOR = "Le plancher n’est pas identifiable : d’autres, très différents, conviennent aussi. "
REMEDY = "Mesurez plus de tailles, plus éloignées, avec plus de graines."


@dataclass(frozen=True)
class PowerLaw:
    """Une loi ajustée. Intervalles (bas, haut) au niveau `level`.

    `identifiable` : l’exposant, et le plancher s’il y en a un, sont connus à mieux que leur propre
    taille ; sinon `message` dit ce qui manque. `spread` : écart-type du logarithme des résidus.
    """

    scale: float
    exponent: float
    floor: float
    exponent_interval: tuple[float, float]
    floor_interval: tuple[float, float] | None
    spread: float
    level: float
    identifiable: bool
    message: str
    x_range: tuple[float, float]
    _parameters: np.ndarray = field(repr=False)
    _covariance: np.ndarray = field(repr=False)
    _quantile: float = field(repr=False)

    def predict(self, x: float | Sequence[float]) -> np.ndarray:
        """Colonnes estimation, bas, haut de la *moyenne* attendue : tableau (n, 3).

        Hors de `x_range`, l’intervalle suppose que la loi se prolonge, ce que rien ne prouve.
        """
        x = np.atleast_1d(np.asarray(x, dtype=float))
        if not (x > 0).all():
            raise ValueError("Une loi de puissance ne se lit qu’en des x strictement positifs.")
        logs = np.log(x)
        center = _log_law(self._parameters, logs)
        slopes = _jacobian(self._parameters, logs)  # (n, paramètres)
        variance = np.einsum("ij,jk,ik->i", slopes, self._covariance, slopes)
        half = self._quantile * np.sqrt(np.maximum(variance, 0.0))
        return np.exp(np.stack((center, center - half, center + half), axis=1))


def fit_power_law(
    x: Sequence[float], y: Sequence[float], floor: bool = False, *, level: float = 0.95
) -> PowerLaw:
    """Ajuste y = a x^−b (+ c si `floor`) et juge si les mesures suffisent.

    Plusieurs mesures au même x (graines) sont bienvenues. ValueError : nombres non positifs,
    longueurs inégales, moins de valeurs de x distinctes qu’il n’y a de paramètres, plus un.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    n_parameters = 3 if floor else 2
    _check_data(x, y, n_parameters, level)
    logs, targets = np.log(x), np.log(y)
    best = _fit(logs, targets, y.min(), floor)
    freedom = len(x) - n_parameters
    spread = float(np.sqrt((best.fun**2).sum() / freedom))
    # Un pseudo-inverse : une direction que rien ne contraint reçoit une variance énorme.
    information = best.jac.T @ best.jac
    covariance = spread**2 * np.linalg.inv(information + 1e-12 * np.eye(n_parameters))
    quantile = float(stdtrit(freedom, (1 + level) / 2))
    halves = (quantile * np.sqrt(np.diag(covariance))).tolist()
    exponent = float(best.x[1])
    exponent_interval = (exponent - halves[1], exponent + halves[1])
    bottom = float(np.exp(best.x[2])) if floor else 0.0
    bottom_interval = None
    if floor:
        reach = min(halves[2], 50.0)  # e^50 suffit à dire « n’importe quoi »
        bottom_interval = (bottom * math.exp(-reach), bottom * math.exp(reach))
    message = _judge(exponent_interval, bottom_interval)
    return PowerLaw(
        float(np.exp(best.x[0])),
        exponent,
        bottom,
        exponent_interval,
        bottom_interval,
        spread,
        level,
        not message,
        message,
        (float(x.min()), float(x.max())),
        best.x,
        covariance,
        quantile,
    )


def _check_data(x: np.ndarray, y: np.ndarray, n_parameters: int, level: float) -> None:
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"x {x.shape} et y {y.shape} : il faut deux listes de même longueur.")
    if not (np.isfinite(x).all() and np.isfinite(y).all() and (x > 0).all() and (y > 0).all()):
        raise ValueError(
            "Une loi de puissance se lit sur des logarithmes : tous les x et les y doivent être "
            "finis et strictement positifs. Retirez les autres."
        )
    n_distinct = len(np.unique(x))
    if n_distinct <= n_parameters:
        raise ValueError(
            f"{n_distinct} valeurs de x distinctes pour {n_parameters} paramètres : il en faut au "
            f"moins {n_parameters + 1}. Mesurez d’autres tailles, ou retirez le plancher."
        )
    if not 0 < level < 1:
        raise ValueError(f"level = {level} : il faut un niveau entre 0 et 1, comme 0.95.")


def _log_law(parameters: np.ndarray, logs: np.ndarray) -> np.ndarray:
    line = parameters[0] - parameters[1] * logs
    return line if len(parameters) == 2 else np.logaddexp(line, parameters[2])


def _jacobian(parameters: np.ndarray, logs: np.ndarray) -> np.ndarray:
    """Dérivées du logarithme de la loi par log a, b, et log c : (n, paramètres)."""
    line = parameters[0] - parameters[1] * logs
    share = np.exp(line - _log_law(parameters, logs))  # part de a x^−b dans y
    columns = [share, -share * logs]
    if len(parameters) == 3:
        columns.append(1 - share)
    return np.stack(columns, axis=1)


def _fit(logs: np.ndarray, targets: np.ndarray, lowest: float, floor: bool):
    """Le meilleur de plusieurs départs : avec un plancher, le problème a des creux trompeurs."""
    starts = []
    for fraction in (0.05, 0.5, 0.9, 0.99) if floor else (0.0,):
        above = np.log(np.maximum(np.exp(targets) - fraction * lowest, 1e-9 * lowest))
        slope, intercept = np.polyfit(logs, above, 1)
        start = [intercept, max(-slope, 1e-3) if floor else -slope]
        starts.append([*start, np.log(fraction * lowest)] if floor else start)
    lower, upper = ([-np.inf, 0.0, -np.inf], np.inf) if floor else (-np.inf, np.inf)
    fits = (
        least_squares(
            lambda p: _log_law(p, logs) - targets,
            start,
            jac=lambda p: _jacobian(p, logs),
            bounds=(lower, upper),
            x_scale="jac",
        )
        for start in starts
    )
    return min(fits, key=lambda fit: fit.cost)


def _judge(exponent: tuple[float, float], floor: tuple[float, float] | None) -> str:
    """Message vide si tout est connu à mieux que sa propre taille."""
    low, high = exponent
    message = FLAT if low <= 0 <= high else ""
    if floor is not None and not floor[1] <= 4 * floor[0]:  # à un facteur 2 près, dans chaque sens
        message += LOOSE_FLOOR
    return message + REMEDY if message else ""
