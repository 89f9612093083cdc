"""Huit tailles du même Transformer, les mêmes histoires : ce que les paramètres achètent.

    python -m course_lib.experiments.size_sweep --seeds 0 1 2

Seule la largeur change, de 8 à 128 : profondeur, données, nombre de pas et taille des lots sont
ceux de tous. Les mesures vont dans `results/size_sweep.json`, réécrit après chaque modèle : une
commande interrompue reprend où elle en était. Les temps de calcul sont ceux d’un seul fil.
"""

from pathlib import Path

from course_lib.experiments.model_families import Setting, measure
from course_lib.training.arguments import FrenchArgumentParser, natural_int

RESULTS = Path(__file__).parent / "results" / "size_sweep.json"
WIDTHS = (8, 16, 24, 32, 48, 64, 96, 128)
N_TRAIN, N_TEST = 16_000, 300
MAX_HEADS, MIN_HEAD_DIM = 4, 8


def learning_rate_for(d_model: int) -> float:
    """Taux d’apprentissage d’une largeur : 4e-3 à 64, en raison inverse de d_model, 1e-2 au plus.

    Un réseau étroit supporte, et demande, de plus grands pas.
    """
    return min(1e-2, 4e-3 * 64 / d_model)


def setting_for(d_model: int) -> Setting:
    """Le réglage d’une largeur ; les têtes ont au moins huit dimensions."""
    return Setting(
        name=f"largeur {d_model}",
        family="transformer",
        d_model=d_model,
        n_layers=2,
        n_heads=max(1, min(MAX_HEADS, d_model // MIN_HEAD_DIM)),
        learning_rate=round(learning_rate_for(d_model), 6),
    )


def main(arguments: list[str] | None = None) -> int:
    parser = FrenchArgumentParser(
        prog="python -m course_lib.experiments.size_sweep",
        description="Entraîne huit tailles du même Transformer sur les mêmes micro-histoires.",
    )
    parser.add_argument(
        "--seeds", type=natural_int, nargs="+", default=[0, 1, 2], help="graines (0 1 2)"
    )
    parser.add_argument("--output", type=Path, default=RESULTS, help="fichier des mesures")
    options = parser.parse_args(arguments)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    settings = [setting_for(width) for width in WIDTHS]
    measure(settings, options.seeds, "runs", "test", options.output, N_TRAIN, N_TEST)
    print(f"Mesures écrites dans {options.output.name}.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
