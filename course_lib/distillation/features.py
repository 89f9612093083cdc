"""Imiter aussi le dedans : les vecteurs cachés et les cartes d’attention de l’enseignant.

    élève      bloc 0        bloc 1                 perte = base
               │             │                            + poids × écart des vecteurs
    enseignant bloc 1        bloc 3                       + poids × écart des attentions

Quand les largeurs diffèrent, une projection apprise porte les vecteurs de l’élève dans l’espace de
l’enseignant ; elle s’entraîne avec lui et disparaît ensuite. Sources : Romero et al. 2015
(FitNets) ; Jiao et al. 2020 (TinyBERT) ; Sanh et al. 2019 (DistilBERT), pour le cosinus.
Formes : B phrases, T jetons, D = d_model, H têtes, N positions gardées.
"""

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.distillation.recorded_features import Features, recorded_features
from course_lib.distillation.soft_targets import check_pair
from course_lib.training.data import IGNORE
from course_lib.training.devices import device_of
from course_lib.training.losses import Loss, language_model_loss, no_target_loss
from course_lib.transformer import Decoder, evaluating
from course_lib.transformer.precision import widened


def even_layer_map(n_student: int, n_teacher: int) -> dict[int, int]:
    """Quel bloc de l’enseignant imite chaque bloc de l’élève : régulièrement, jusqu’au dernier.

    even_layer_map(2, 6) → {0: 2, 1: 5}. Source : Jiao et al. 2020, « uniforme ». ValueError
    si l’élève n’a aucun bloc, ou plus que l’enseignant.
    """
    if not 1 <= n_student <= n_teacher:
        raise ValueError(
            f"n_student = {n_student} et n_teacher = {n_teacher} : il faut au moins un bloc à "
            "l’élève, et pas plus qu’à l’enseignant."
        )
    return {i: (i + 1) * n_teacher // n_student - 1 for i in range(n_student)}


class HiddenStateLoss(nn.Module):
    """Écart entre les vecteurs cachés de blocs mis en regard, en moyenne sur ces blocs.

    `layer_map` : bloc de l’élève → bloc de l’enseignant. Si `d_student` ≠ `d_teacher`, chaque bloc
    a sa projection (d_student → d_teacher), tirée de `seed`. `cosine` : 1 − cosinus au lieu du
    carré de l’écart ; la direction compte alors, et non la longueur.
    """

    def __init__(
        self,
        layer_map: Mapping[int, int],
        d_student: int,
        d_teacher: int,
        cosine: bool = False,
        seed: int = 0,
    ):
        super().__init__()
        if not layer_map:
            raise ValueError("layer_map est vide : mettez au moins un bloc en regard d’un autre.")
        self.layer_map, self.cosine = dict(layer_map), cosine
        self.projections = nn.ModuleList()
        draw = torch.Generator().manual_seed(seed)
        for _ in layer_map:
            if d_student == d_teacher:
                self.projections.append(nn.Identity())
                continue
            projection = nn.Linear(d_student, d_teacher, bias=False)
            nn.init.normal_(projection.weight, std=1 / math.sqrt(d_student), generator=draw)
            self.projections.append(projection)

    def forward(
        self, student: list[Tensor], teacher: list[Tensor], mask: Tensor | None = None
    ) -> Tensor:
        """Vecteurs de chaque bloc, (B, T, D) ; `mask` (B, T) : True aux positions qui comptent.

        ValueError si `layer_map` cite un bloc qui n’existe pas.
        """
        check_layers(self.layer_map, len(student), len(teacher))
        gaps = []
        for projection, (ours, theirs) in zip(
            self.projections, self.layer_map.items(), strict=True
        ):
            h, goal = widened(projection(student[ours])), widened(teacher[theirs])
            _check_shapes("Les vecteurs cachés", "ceux", h, goal)
            if mask is not None:
                h, goal = h[mask], goal[mask]  # (B, T, D) → (N, D)
            if len(h) == 0:  # aucune position : aucun écart
                gaps.append(no_target_loss(h))
            elif self.cosine:
                gaps.append(1 - F.cosine_similarity(h, goal, dim=-1).mean())
            else:
                gaps.append(F.mse_loss(h, goal))
        return torch.stack(gaps).mean()


def attention_transfer(
    student: Tensor, teacher: Tensor, kind: str = "mse", mask: Tensor | None = None
) -> Tensor:
    """Écart entre deux cartes d’attention (B, H, T, T), en moyenne sur les requêtes et les têtes.

    `kind` : « mse », le carré de l’écart moyen par clé, ou « kl », KL(enseignant ‖ élève) en nats.
    Deux modèles qui n’ont pas le même nombre de têtes se comparent par leurs têtes moyennes.
    `mask` (B, T) : True aux requêtes qui comptent. Source : Jiao et al. 2020, qui comparent les
    scores d’avant softmax. ValueError si `kind` est inconnu, si les formes ne s’accordent pas.
    """
    if kind not in ("mse", "kl"):
        raise ValueError(f"kind = {kind!r} est inconnu : choisissez « mse » ou « kl ».")
    if student.shape[1] != teacher.shape[1]:
        student, teacher = (maps.mean(dim=1, keepdim=True) for maps in (student, teacher))
    student, teacher = widened(student), widened(teacher)
    _check_shapes("Les cartes", "celles", student, teacher)
    if mask is not None:  # (B, H, T, T) → (N, H, T)
        student, teacher = (maps.transpose(1, 2)[mask] for maps in (student, teacher))
        if len(student) == 0:  # aucune requête : aucun écart
            return no_target_loss(student)
    if kind == "mse":
        return F.mse_loss(student, teacher)
    # Une clé interdite pèse 0 des deux côtés : bornée, elle n’apporte rien, ni valeur ni gradient.
    smallest = torch.finfo(student.dtype).tiny
    log_ratio = teacher.clamp(min=smallest).log() - student.clamp(min=smallest).log()
    return (teacher * log_ratio).sum(dim=-1).mean()


class FeatureStudent(nn.Module):
    """L’élève et les projections de `hidden_loss`, pour que `train` les entraîne ensemble.

    Les pertes le lisent comme l’élève lui-même. À la fin, on ne garde que `.student`.
    """

    def __init__(self, student: Decoder, hidden_loss: HiddenStateLoss):
        super().__init__()
        self.student, self.hidden_loss = student, hidden_loss
        self.train(student.training)

    @property
    def blocks(self) -> nn.ModuleList:
        return self.student.blocks

    @property
    def embedding(self) -> nn.Module:
        return self.student.embedding

    @property
    def head(self) -> nn.Module:
        return self.student.head

    def hidden(self, *args, **kwargs) -> Tensor:
        """Les vecteurs de sortie de l’élève."""
        return self.student.hidden(*args, **kwargs)

    def forward(self, *args, **kwargs) -> Tensor:
        """Les scores de l’élève."""
        return self.student(*args, **kwargs)

    def fingerprint(self) -> dict[str, object]:
        """Les réglages de l’écart, pour refuser une reprise avec d’autres."""
        return {"layer_map": self.hidden_loss.layer_map, "cosine": self.hidden_loss.cosine}


class FeatureLoss:
    """La perte de `train` sur un `FeatureStudent` : `base`, plus l’écart des vecteurs cachés.

    `base` : une perte de l’élève, l’entropie croisée par défaut ; un `SoftTargetLoss` ou un
    `AttentionLoss` du même enseignant ne le consulte alors qu’une fois. Les positions sans cible ne
    comptent pas. ValueError si `weight`, le poids de l’écart, est négatif, ou si les vocabulaires
    diffèrent ; TypeError si le modèle n’est pas un `FeatureStudent`.
    """

    def __init__(self, teacher: Decoder, base: Loss = language_model_loss, weight: float = 1.0):
        check_weight(weight)
        self.teacher, self.base, self.weight = teacher, base, weight

    def __call__(self, model: FeatureStudent, batch: tuple[Tensor, ...]) -> tuple[Tensor, int]:
        """Lot (entrées, cibles, …) → (perte moyenne, nombre de jetons)."""
        if not isinstance(model, FeatureStudent):
            raise TypeError(
                f"FeatureLoss entraîne un FeatureStudent, et reçoit un {type(model).__name__} : "
                "donnez à train FeatureStudent(élève, HiddenStateLoss(…))."
            )
        (loss, n_tokens), ours, theirs = _compare(self.base, model, self.teacher, batch)
        gap = model.hidden_loss(ours.hidden, theirs.hidden, batch[1] != IGNORE)
        return loss + self.weight * gap, n_tokens


class AttentionLoss:
    """La perte de `train` sur un élève : `base`, plus l’écart des attentions.

    L’élève apprend ainsi où l’enseignant regarde. `layer_map` : bloc de l’élève → bloc de
    l’enseignant ; `kind` : voir `attention_transfer` ; `base`, `weight` : voir `FeatureLoss`.
    ValueError si `layer_map` cite un bloc qui n’existe pas, ou si les vocabulaires diffèrent.
    """

    def __init__(
        self,
        teacher: Decoder,
        layer_map: Mapping[int, int],
        base: Loss = language_model_loss,
        weight: float = 1.0,
        kind: str = "kl",
    ):
        check_weight(weight)
        self.teacher, self.layer_map, self.base = teacher, dict(layer_map), base
        self.weight, self.kind = weight, kind

    def __call__(self, student: Decoder, batch: tuple[Tensor, ...]) -> tuple[Tensor, int]:
        """Lot (entrées, cibles, …) → (perte moyenne, nombre de jetons)."""
        check_layers(self.layer_map, len(student.blocks), len(self.teacher.blocks))
        (loss, n_tokens), ours, theirs = _compare(self.base, student, self.teacher, batch, True)
        gaps = [
            attention_transfer(
                ours.attention[i], theirs.attention[j], self.kind, batch[1] != IGNORE
            )
            for i, j in self.layer_map.items()
        ]
        return loss + self.weight * torch.stack(gaps).mean(), n_tokens


def _compare(
    base: Loss, student: Decoder, teacher: Decoder, batch: tuple[Tensor, ...], attention=False
) -> tuple[tuple[Tensor, int], Features, Features]:
    """La perte `base` de l’élève, et ce que les deux modèles ont calculé en chemin."""
    check_pair(student.student if isinstance(student, FeatureStudent) else student, teacher)
    with (
        recorded_features(student, attention) as ours,
        recorded_features(teacher, attention) as theirs,
    ):
        found = base(student, batch)
        if not theirs.hidden:  # `base` n’a pas consulté l’enseignant
            with evaluating(teacher), torch.no_grad():
                teacher.hidden(batch[0].to(device_of(teacher)))
    return found, ours, theirs.to(batch[0].device)


def _check_shapes(what: str, those: str, student: Tensor, teacher: Tensor) -> None:
    if student.shape != teacher.shape:
        raise ValueError(
            f"{what} de l’élève ont la forme {tuple(student.shape)} et {those} de l’enseignant "
            f"{tuple(teacher.shape)} : donnez-leur le même texte, et à HiddenStateLoss leurs "
            "vraies largeurs."
        )


def check_weight(weight: float) -> None:
    """ValueError si un écart ne peut peser ce poids."""
    if not (math.isfinite(weight) and weight >= 0.0):
        raise ValueError(f"weight = {weight} : il faut un nombre positif ou nul.")


def check_layers(layer_map: Mapping[int, int], n_student: int, n_teacher: int) -> None:
    """ValueError si un bloc cité n’existe pas."""
    for ours, theirs in layer_map.items():
        if not (0 <= ours < n_student and 0 <= theirs < n_teacher):
            raise ValueError(
                f"layer_map met le bloc {ours} de l’élève en regard du bloc {theirs} de "
                f"l’enseignant : ils ont {n_student} et {n_teacher} blocs, numérotés depuis 0."
            )
