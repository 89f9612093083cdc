"""Compter les paramètres, de deux façons qui doivent s’accorder.

Par formule : quelques produits de tailles. En bâtissant le modèle sans mémoire (`build_on_meta`) :
toutes les formes y sont.
"""

from course_lib.scaling.anatomy import Stack, anatomy

PART_LABELS = {
    "embeddings": "table de plongement",
    "positions": "positions apprises",
    "attention": "attention",
    "feed_forward": "réseaux",
    "experts": "experts",
    "router": "routeurs",
    "norms": "normes",
    "head": "tête de sortie",
}


def parameter_breakdown(config: object) -> dict[str, int]:
    """Nombre de paramètres de chaque partie, par formule ; leur somme est le total du modèle.

    Les clés sont celles de `PART_LABELS`, toujours toutes présentes. Des poids liés ne comptent
    qu’une fois, avec la table de plongement. TypeError si l’architecture est inconnue.
    """
    model = anatomy(config)
    parts = dict.fromkeys(PART_LABELS, 0)
    parts["embeddings"] = model.embeddings
    parts["positions"] = model.positions
    parts["norms"] = model.embedding_norm
    parts["head"] = model.head_parameters
    for stack in model.stacks:
        for part, count in _stack_breakdown(stack).items():
            parts[part] += count
    return parts


def _stack_breakdown(stack: Stack) -> dict[str, int]:
    attention = stack.attention_matrices + stack.attention_biases
    network_biases = stack.d_ff + stack.d_model if stack.bias else 0
    n_attentions = 2 if stack.cross else 1
    n_networks = max(stack.n_experts, 1)
    network = n_networks * (stack.network_matrices + network_biases)
    norms = stack.n_layers * (n_attentions + 1) + stack.final_norm
    head_norms = stack.n_layers * 2 * stack.head_dim if stack.qk_norm else 0
    return {
        "attention": stack.n_layers * n_attentions * attention,
        "experts" if stack.n_experts else "feed_forward": stack.n_layers * network,
        "router": stack.n_layers * stack.d_model * stack.n_experts,
        "norms": norms * stack.norm_size + head_norms,
    }


def count_by_formula(config: object) -> int:
    """Nombre total de paramètres, par formule."""
    return sum(parameter_breakdown(config).values())


def active_parameters(config: object) -> int:
    """Paramètres qui servent pour un jeton : tous, sauf les experts non choisis."""
    idle = sum(
        stack.n_layers * (stack.n_experts - stack.n_active) * stack.network_matrices
        for stack in anatomy(config).stacks
        if stack.n_experts
    )
    return count_by_formula(config) - idle
