"""Arrondir un modèle entier, étage après étage, en lisant quelques textes.

Chaque matrice est arrondie (`gptq`) d’après ce qu’elle reçoit *dans le modèle déjà arrondi* ; les
entrées y sont un peu faussées par les étages d’avant. La cible en tient compte. Si x est l’entrée
dans le modèle d’origine et x̂ dans le modèle arrondi, on veut Q·x̂ proche de W·x : W est d’abord
remplacée par la matrice qui le fait le mieux,

    W' = W + (Σ (W·x − W·x̂ + r − r̂) x̂ᵀ) (Σ x̂ x̂ᵀ + λI)⁻¹

où r et r̂, les flux, ne comptent que pour les matrices dont le produit s’y ajoute : elles
rattrapent aussi leur écart. Les embeddings, quand la tête leur est liée, servent deux fois ; leur
moment H est la somme de deux : celui des entrées de la tête, et celui des gradients qui
reviennent au vecteur lu, et qui disent ce que coûte une erreur sur lui.

Sources : Frantar et al. 2022 (GPTQ) ; Li et al. 2025 (GPTAQ) pour la cible corrigée.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from course_lib.distillation.progress import teacher_bar
from course_lib.pretrained.gguf.packing import Packed
from course_lib.rounding.gptq import RoundedMatrix, round_matrix
from course_lib.rounding.grids import find_grid
from course_lib.rounding.stages import STAGES, Stage, block_inputs
from course_lib.transformer import Decoder, LlamaConfig, evaluating
from course_lib.transformer.plain import plain_model
from course_lib.transformer.recognition import config_of

EMBEDDING, HEAD = "embedding.tokens.weight", "head.weight"
CORRECTION_DAMPING = 0.05
FISHER_TOKENS = 4096


@dataclass
class RoundedModel:
    """Un modèle aux poids arrondis, et le détail de chaque matrice, sous son nom."""

    model: Decoder
    matrices: dict[str, RoundedMatrix]

    def packed(self) -> dict[str, Packed]:
        """Ce que `save_gguf(…, rounded=…)` écrit."""
        return {name: matrix.packed() for name, matrix in self.matrices.items()}


def round_model(
    model: Decoder,
    texts: Tensor,
    kinds: str | Mapping[str, str],
    *,
    batch_size: int = 4,
    progress: bool = True,
) -> RoundedModel:
    """Arrondit les matrices d’un modèle de type Llama ; rend une copie, le modèle reste intact.

    `texts` (n, T) : des identifiants, quelques dizaines de textes de quelques centaines de jetons,
    du genre que le modèle lira. `kinds` : le format de toutes les matrices, ou {nom du poids:
    format} (« Q8_0 », « Q4_K », « IQ4_XS », « Q3_K ») ; une matrice sans nom n’est pas arrondie.
    ValueError si le modèle n’est pas de type Llama, si un nom ou un format est inconnu, si une
    largeur ne se découpe pas en blocs, ou si les textes ne vont pas.
    """
    kinds = chosen_kinds(model, kinds)
    check_texts(model, texts)
    model = plain_model(model)
    rounded, matrices = copy.deepcopy(model), {}
    batches = texts.split(batch_size)
    n_steps = len(batches) * len(model.blocks) * (len(STAGES) + 1)
    with (
        evaluating(model),
        evaluating(rounded),
        teacher_bar("Arrondi calibré", n_steps, progress) as bar,
    ):
        if EMBEDDING in kinds:
            moment = embedding_moment(model, batches)
            _replace(rounded, EMBEDDING, moment, kinds, matrices)
        with torch.no_grad():
            _round_blocks(model, rounded, batches, kinds, matrices, bar)
            if HEAD in kinds:
                _replace(rounded, HEAD, _head_moment(rounded, batches), kinds, matrices)
    return RoundedModel(rounded, matrices)


def chosen_kinds(model: Decoder, kinds: str | Mapping[str, str]) -> dict[str, str]:
    """{nom du poids: format}, vérifié ; ValueError si cela ne va pas au modèle."""
    if not isinstance(config_of(model), LlamaConfig):
        raise ValueError("L’arrondi calibré lit les modèles de type Llama ; celui-ci est un GPT-2.")
    shapes = {name: p.shape for name, p in model.named_parameters() if p.ndim == 2}
    kinds = dict.fromkeys(shapes, kinds) if isinstance(kinds, str) else dict(kinds)
    for name, kind in kinds.items():
        if name not in shapes:
            raise ValueError(
                f"Le modèle n’a pas de matrice « {name} ». Les siennes : {', '.join(shapes)}."
            )
        grid, width = find_grid(kind), shapes[name][1]
        if width % grid.block:
            raise ValueError(
                f"« {name} » a {width} colonnes : {kind} range ses nombres par blocs de "
                f"{grid.block}. Prenez Q8_0 (blocs de 32), ou laissez-la."
            )
    return kinds


def check_texts(model: Decoder, texts: Tensor) -> None:
    """ValueError si ce ne sont pas des identifiants que le modèle peut lire."""
    limit = model.embedding.context_length
    if texts.ndim != 2 or texts.dtype != torch.long or not 0 < texts.shape[1] <= limit:
        raise ValueError(
            f"texts est de type {texts.dtype} et de forme {tuple(texts.shape)} : il faut des "
            f"identifiants (textes, jetons), torch.long, de 1 à {limit} jetons par texte."
        )


def embedding_moment(model: Decoder, batches: Sequence[Tensor]) -> Tensor:
    """H (D, D) des embeddings : gradients du vecteur lu, et entrées de la tête liée, par jeton.

    Le gradient est celui de la surprise d’un jeton tiré selon le modèle lui-même : son moment est
    l’information de Fisher, la courbure de la divergence entre le modèle et sa copie arrondie. Il
    coûte cher ; quelques milliers de jetons (`FISHER_TOKENS`) y suffisent.
    """
    generator, moment, n_tokens = torch.Generator().manual_seed(0), 0, 0
    for batch in batches:
        read = model.embedding.tokens(batch).detach().requires_grad_()
        (gradient,) = torch.autograd.grad(drawn_surprise(model, read, generator), read)
        moment, n_tokens = moment + _moment(gradient.flatten(0, 1)), n_tokens + batch.numel()
        if n_tokens >= FISHER_TOKENS:
            break
    moment = moment / n_tokens
    if model.head.weight is model.embedding.tokens.weight:
        moment = moment + _head_moment(model, batches)
    return moment


def drawn_surprise(model: Decoder, x: Tensor, generator: torch.Generator) -> Tensor:
    """La surprise, sommée, de jetons tirés selon le modèle, d’après les vecteurs lus (B, T, D)."""
    rope = model.rope(torch.arange(x.shape[1]))
    for block in model.blocks:
        x = block(x, is_causal=True, rope=rope)
    logits = model.head(model.norm(x)).flatten(0, 1)
    drawn = torch.multinomial(logits.detach().softmax(-1), 1, generator=generator)[:, 0]
    return nn.functional.cross_entropy(logits, drawn, reduction="sum")


def _moment(x: Tensor, y: Tensor | None = None) -> Tensor:
    return (x if y is None else y).T @ x


@torch.no_grad()
def _head_moment(model: Decoder, batches: Sequence[Tensor]) -> Tensor:
    """Σ x xᵀ des entrées de la tête, par jeton."""
    total = sum(_moment(model.hidden(batch).flatten(0, 1)) for batch in batches)
    return total / sum(batch.numel() for batch in batches)


def _replace(
    model: Decoder,
    name: str,
    moment: Tensor,
    kinds: Mapping[str, str],
    matrices: dict[str, RoundedMatrix],
    target: Tensor | None = None,
) -> None:
    """Arrondit un poids du modèle, sur place ; `target` : ce qu’il devrait être, lui par défaut."""
    weight = model.get_parameter(name)
    matrices[name] = round_matrix(
        weight.data if target is None else target, moment, find_grid(kinds[name])
    )
    weight.data.copy_(matrices[name].values())


def _round_blocks(
    model: Decoder,
    rounded: Decoder,
    batches: Sequence[Tensor],
    kinds: Mapping[str, str],
    matrices: dict[str, RoundedMatrix],
    bar,
) -> None:
    rope = model.rope(torch.arange(batches[0].shape[1]))
    true = [model.embedding.tokens(batch) for batch in batches]  # le flux, lot par lot
    ours = [rounded.embedding.tokens(batch) for batch in batches]
    names = {name for stage in STAGES for name in (stage.norm, stage.layers[0])}
    for index, (block, copied) in enumerate(zip(model.blocks, rounded.blocks, strict=True)):
        wanted = [block_inputs(block, x, rope, names) for x in true]
        for stage in STAGES:
            moments = _Moments()
            for x, (inputs, _) in zip(ours, wanted, strict=True):
                names_here = (stage.norm, stage.layers[0])
                found, _ = block_inputs(copied, x, rope, names_here, last=stage.layers[0])
                moments.add(stage, inputs, found)
                bar.update()
            for layer in stage.layers:
                name = f"blocks.{index}.{layer}.weight"
                if name in kinds:
                    target = moments.target(copied.get_submodule(layer).weight, stage.adds)
                    _replace(rounded, name, moments.ours, kinds, matrices, target)
        true = [output for _, output in wanted]
        ours = [copied(x, is_causal=True, rope=rope) for x in ours]
        bar.update(len(batches))


class _Moments:
    """Ce qu’il faut savoir des entrées d’une sous-couche, cumulé lot par lot."""

    def __init__(self):
        self.ours = self.shift = self.stream = 0

    def add(self, stage: Stage, true: Mapping[str, Tensor], ours: Mapping[str, Tensor]) -> None:
        """Σ x̂ x̂ᵀ, Σ (x − x̂) x̂ᵀ, et Σ (r − r̂) x̂ᵀ."""
        name = stage.layers[0]
        x = ours[name]
        self.ours = self.ours + _moment(x)
        self.shift = self.shift + _moment(x, true[name] - x)
        if stage.adds:
            self.stream = self.stream + _moment(x, true[stage.norm] - ours[stage.norm])

    def target(self, weight: Tensor, adds: bool) -> Tensor:
        """W', la matrice dont les produits avec x̂ approchent le mieux W·x (+ r − r̂)."""
        missing = weight @ self.shift + (self.stream if adds else 0)
        ridge = CORRECTION_DAMPING * self.ours.diagonal().mean()
        damped = self.ours + ridge * torch.eye(len(self.ours))
        return weight + torch.linalg.solve(damped, missing, left=False)
