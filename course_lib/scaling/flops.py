"""Compter les opérations : ce que coûte un jeton lu, puis appris.

Convention : une multiplication suivie d’une addition fait deux opérations, et seuls les produits de
matrices comptent, comme dans le compteur de PyTorch. Par défaut les scores d’attention sont comptés
en entier, ceux que le masque efface compris ; `skip_masked` ne compte que ceux qui servent. Le
retour coûte deux fois l’aller : un produit pour l’entrée, un autre pour les poids.
"""

from course_lib.scaling.anatomy import Stack, anatomy
from course_lib.scaling.parameters import active_parameters, count_by_formula


def forward_flops(
    config: object,
    context_length: int | None = None,
    *,
    batch_size: int = 1,
    source_length: int | None = None,
    skip_masked: bool = False,
) -> int | float:
    """Opérations d’un passage avant sur `batch_size` textes de `context_length` jetons.

    Sans longueur, celle du contexte du modèle. `source_length` : jetons lus par l’encodeur d’un
    encodeur-décodeur (par défaut, autant). ValueError pour une longueur hors du contexte.
    """
    model = anatomy(config)
    length = _check_length("context_length", context_length, model.context_length)
    source = _check_length("source_length", source_length or length, model.context_length)
    if batch_size < 1:
        raise ValueError(f"batch_size = {batch_size} : il faut au moins un texte.")
    total = 2 * length * model.head_matrices
    if model.encoder is not None:
        read = source if model.decoder is not None else length
        total += _stack_flops(model.encoder, read, read, skip_masked)
    if model.decoder is not None:
        total += _stack_flops(model.decoder, length, source, skip_masked)
    return batch_size * total


def _check_length(name: str, length: int | None, maximum: int) -> int:
    length = maximum if length is None else length
    if not 1 <= length <= maximum:
        raise ValueError(
            f"{name} = {length} : il faut entre 1 et {maximum} jetons, le contexte du modèle. "
            "Raccourcissez le texte, ou agrandissez context_length dans la configuration."
        )
    return length


def _stack_flops(stack: Stack, length: int, source: int, skip_masked: bool) -> int | float:
    """Opérations d’une pile : matrices, puis scores q·k et sommes pondérées des valeurs."""
    # Sous le masque causal, la position t lit t clés : (T + 1) / 2 en moyenne.
    read = (length + 1) / 2 if skip_masked and stack.causal else length
    width = stack.n_heads * stack.head_dim
    networks = stack.networks_read * stack.network_matrices + stack.d_model * stack.n_experts
    per_block = 2 * length * (stack.attention_matrices + networks) + 4 * length * read * width
    if stack.cross:
        keys = 2 * stack.d_model * stack.n_kv_heads * stack.head_dim
        queries = stack.attention_matrices - keys
        per_block += 2 * (length * queries + source * keys) + 4 * length * source * width
    return stack.n_layers * per_block


def training_flops(config: object, context_length: int | None = None, **options) -> int | float:
    """Opérations d’un aller-retour : trois fois `forward_flops`, mêmes arguments."""
    return 3 * forward_flops(config, context_length, **options)


def forward_flops_per_token(
    config: object, context_length: int | None = None, *, skip_masked: bool = False
) -> float:
    """Opérations par jeton lu, en moyenne sur un texte de `context_length` jetons.

    Un encodeur-décodeur lit autant de jetons de source que de cible : le total se partage.
    """
    model = anatomy(config)
    length = _check_length("context_length", context_length, model.context_length)
    tokens = length * len(model.stacks)
    return forward_flops(config, length, skip_masked=skip_masked) / tokens


def training_flops_per_token(
    config: object, context_length: int | None = None, *, skip_masked: bool = False
) -> float:
    """Opérations par jeton appris : trois fois celles de l’aller."""
    return 3 * forward_flops_per_token(config, context_length, skip_masked=skip_masked)


def approximate_flops_per_token(config: object) -> dict[str, int]:
    """Les règles de trois : 2 N à l’aller, 6 N à l’apprentissage (Kaplan et al. 2020, §2.1).

    N : paramètres actifs pour un jeton, tables de plongement comprises comme chez Hoffmann et al.
    2022. Un jeton n’y traverse qu’une pile sur deux si le modèle est un encodeur-décodeur.
    """
    active = active_parameters(config) // len(anatomy(config).stacks)
    total = count_by_formula(config)
    return {"parameters": total, "active": active, "forward": 2 * active, "training": 6 * active}
