"""Huit tailles du même Transformer, deux budgets de lectures : ce que les paramètres achètent.

    python -m course_experiments.size_sweep --tuning                 taux comparés (graine 0)
    python -m course_experiments.size_sweep --seeds 0 1 2            16 000 histoires
    python -m course_experiments.size_sweep --seeds 0 1 2 --budget long    48 000 histoires

La largeur change, de 8 à 128, et avec elle le nombre de têtes et le taux d’apprentissage, choisi
pour chacune sur le jeu de validation, au budget court : profondeur, données, nombre de pas et
taille des lots sont ceux de tous. Les mesures vont dans `results/size_sweep_*.json`, réécrits après
chaque modèle : une commande interrompue reprend où elle en était. Les temps de calcul sont ceux
d’un seul fil.
"""

from collections.abc import Sequence
from pathlib import Path

from course_experiments import model_families
from course_experiments.model_families import Setting
from course_experiments.records import add_output, measure_command, refuse_seeds
from course_lib.arguments import FrenchArgumentParser, natural_int

FOLDER = Path(__file__).parent / "results"
BUDGETS = {"court": 16_000, "long": 48_000}  # histoires lues, une fois chacune
N_TEST = 300
WIDTHS = (8, 16, 24, 32, 48, 64, 96, 128)
LONG_WIDTHS = (8, 16, 24, 32, 64, 128)  # trois fois plus de calcul : six largeurs
MAX_HEADS, MIN_HEAD_DIM = 4, 8
RULE_RATE, RULE_WIDTH, MAX_RATE = 4e-3, 64, 1e-2
FACTORS = (0.5, 1.0, 2.0)
MAX_TRIALS = 6
# Le meilleur taux de chaque largeur, sur le jeu de validation ; un test relit les essais livrés.
BEST_RATES = {
    8: 0.02,
    16: 0.02,
    24: 0.01,
    32: 0.008,
    48: 0.005333,
    64: 0.004,
    96: 0.010666,
    128: 0.002,
}


def central_rate(d_model: int) -> float:
    """Taux autour duquel on cherche : 4e-3 à 64, en raison inverse de d_model, 1e-2 au plus.

    Un réseau étroit supporte, et demande, de plus grands pas.
    """
    return min(MAX_RATE, RULE_RATE * RULE_WIDTH / d_model)


def rate_for(d_model: int, budget: str = "court") -> float:
    """Le taux d’une largeur : le meilleur essayé au budget court, moitié moindre au budget long.

    Un apprentissage plus long supporte de plus petits pas. La plus grande largeur, dont le taux est
    déjà le plus petit, garde le sien.
    """
    best = BEST_RATES[d_model]
    return best / 2 if budget == "long" and best > min(BEST_RATES.values()) else best


def setting_for(d_model: int, learning_rate: float | None = None) -> Setting:
    """Le réglage d’une largeur, au taux donné ou à celui du budget court ; têtes d’au moins 8."""
    return Setting(
        name=f"largeur {d_model}",
        family="transformer",
        d_model=d_model,
        n_layers=2,
        n_heads=max(1, min(MAX_HEADS, d_model // MIN_HEAD_DIM)),
        learning_rate=round(learning_rate or rate_for(d_model), 6),
    )


def first_trials(widths: Sequence[int]) -> list[Setting]:
    """Trois taux par largeur : celui de la règle, sa moitié, son double."""
    return [setting_for(w, factor * central_rate(w)) for w in widths for factor in FACTORS]


def next_trial(d_model: int, trials: list[dict]) -> Setting | None:
    """Le taux à essayer encore si le meilleur est au bord de ceux qu’on a vus ; None sinon."""
    scores = {
        trial["setting"]["learning_rate"]: trial["kl"]
        for trial in trials
        if trial["setting"]["d_model"] == d_model
    }
    best = min(scores, key=scores.get)
    if len(scores) >= MAX_TRIALS or min(scores) < best < max(scores):
        return None
    return setting_for(d_model, 2 * best if best == max(scores) else best / 2)


def results_path(budget: str) -> Path:
    """Le fichier des mesures d’un budget. ValueError si son nom est inconnu."""
    if budget not in BUDGETS:
        raise ValueError(f"Budget inconnu : {budget!r}. Choisissez parmi {', '.join(BUDGETS)}.")
    return FOLDER / f"size_sweep_{budget}.json"


def load_results(budget: str = "court") -> dict:
    """Relit les mesures livrées : « runs » et, au budget court, les essais de taux (« tuning »)."""
    return model_families.load_results(results_path(budget))


def main(arguments: list[str] | None = None) -> int:
    parser = FrenchArgumentParser(
        prog="python -m course_experiments.size_sweep",
        description="Entraîne huit tailles du même Transformer sur les mêmes micro-histoires.",
    )
    parser.add_argument(
        "--seeds", type=natural_int, nargs="+", default=[0, 1, 2], help="graines (0 1 2)"
    )
    parser.add_argument(
        "--widths", type=int, nargs="+", choices=WIDTHS, help="largeurs (toutes celles du budget)"
    )
    parser.add_argument(
        "--budget", choices=tuple(BUDGETS), default="court", help="lectures (court)"
    )
    parser.add_argument(
        "--tuning", action="store_true", help="compare des taux sur le jeu de validation"
    )
    add_output(parser, None)
    options = parser.parse_args(arguments)
    widths = options.widths or (LONG_WIDTHS if options.budget == "long" else WIDTHS)
    options.output = options.output or results_path(options.budget)
    budget = (options.output, BUDGETS[options.budget], N_TEST)

    if options.tuning:
        refuse_seeds(parser, options)

    def work() -> None:
        if not options.tuning:
            settings = [setting_for(width, rate_for(width, options.budget)) for width in widths]
            model_families.measure(settings, options.seeds, "runs", "test", *budget)
            return
        settings = first_trials(widths)
        while settings:
            done = model_families.measure(settings, [0], "tuning", "validation", *budget)
            settings = [s for width in widths if (s := next_trial(width, done["tuning"]))]

    return measure_command(options, work)


if __name__ == "__main__":
    raise SystemExit(main())
