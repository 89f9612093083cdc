"""Partir de l’enseignant plutôt que du hasard : un élève fait de quelques-uns de ses blocs.

Dans un flux résiduel, chaque bloc ajoute sa correction à ce qui passe : en retirer un abîme le
modèle sans le détruire, et l’entraînement répare le reste. Sources : Sanh et al. 2019,
§3 (un bloc sur deux) ; Men et al. 2024 (les blocs profonds comptent peu).
"""

import copy
from collections.abc import Sequence

from torch import nn

from course_lib.transformer import Decoder


def student_from_teacher(teacher: Decoder, layers: Sequence[int]) -> Decoder:
    """Un décodeur neuf, fait des blocs `layers` de l’enseignant, dans l’ordre.

    Embeddings, norme finale et tête sont copiés aussi, et restent liés s’ils l’étaient ;
    l’enseignant n’est pas touché. Tous les poids s’entraînent. C’est un décodeur ordinaire : il
    s’enregistre et s’écrit comme les autres. ValueError si `layers` est vide, n’est pas croissant,
    ou cite un bloc qui n’existe pas ; TypeError si l’enseignant n’est pas un décodeur.
    """
    if not isinstance(teacher, Decoder):
        raise TypeError(f"Un {type(teacher).__name__} n’est pas un décodeur : donnez un Decoder.")
    layers, n_layers = list(layers), len(teacher.blocks)
    if not layers or layers != sorted(set(layers)):
        raise ValueError(
            f"layers = {layers} : il faut au moins un bloc, chacun une fois, par ordre croissant."
        )
    if not 0 <= layers[0] <= layers[-1] < n_layers:
        raise ValueError(
            f"layers = {layers} : l’enseignant a {n_layers} blocs, numérotés de 0 à {n_layers - 1}."
        )
    copies: dict[int, object] = {}
    kept = nn.ModuleList(copy.deepcopy(teacher.blocks[i], copies) for i in layers)
    copies[id(teacher.blocks)] = kept  # les blocs laissés de côté ne sont pas copiés
    student = copy.deepcopy(teacher, copies)
    return student.train(teacher.training).requires_grad_(True)
