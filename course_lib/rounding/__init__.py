"""L’arrondi calibré : un modèle en trois ou quatre bits par poids, dans un fichier que tous lisent.

rounding_costs, share_kinds   où mettre les bits : un format pour chaque matrice
round_model                   arrondir en lisant quelques textes (GPTQ)
GRIDS                         les formats où l’on sait arrondir
"""

from course_lib.rounding.calibration import RoundedModel, round_model
from course_lib.rounding.gptq import RoundedMatrix, round_matrix
from course_lib.rounding.grids import GRIDS
from course_lib.rounding.sensitivity import round_to_nearest, rounding_costs, share_kinds

__all__ = [
    "GRIDS",
    "RoundedMatrix",
    "RoundedModel",
    "round_matrix",
    "round_model",
    "round_to_nearest",
    "rounding_costs",
    "share_kinds",
]
