"""Huit tailles du même Transformer, deux budgets de lectures : ce que les paramètres achètent.

    python -m course_experiments.size_sweep --tuning                 taux comparés (graine 0)
    python -m course_experiments.size_sweep --seeds 0 1 2            16 000 histoires
    python -m course_experiments.size_sweep --seeds 0 1 2 --budget long    48 000 histoires

La largeur change, de 8 à 128, et avec elle le nombre de têtes et le taux d’apprentissage, choisi
pour chacune sur le jeu de validation, au budget court : profondeur, données, nombre de pas et
taille des lots sont ceux de tous. Les mesures vont dans `results/size_sweep.json`, réécrit après
chaque modèle : une commande interrompue reprend où elle en était. Les temps de calcul sont ceux
d’un seul fil.
"""

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from course_experiments import model_families
from course_experiments.experiment import Experiment
from course_experiments.model_families import BATCH_SIZE, ORACLE, Setting
from course_lib.arguments import FrenchArgumentParser
from course_lib.evaluation.story_task import StoryTask

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


def next_trial(d_model: int, scores: dict[float, float]) -> Setting | None:
    """Le taux à essayer encore si le meilleur est au bord de ceux qu’on a vus ; None sinon.

    `scores` : la divergence de chaque taux déjà essayé.
    """
    best = min(scores, key=scores.get)
    if len(scores) >= MAX_TRIALS or min(scores) < best < max(scores):
        return None
    return setting_for(d_model, 2 * best if best == max(scores) else best / 2)


def trial_scores(runs: dict, d_model: int) -> dict[float, float]:
    """{taux: divergence} des essais d’une largeur."""
    trials = [r["0"] for name, r in runs.items() if name.startswith(f"largeur {d_model} taux ")]
    return {trial["setting"]["learning_rate"]: trial["kl"] for trial in trials}


def trials_wanted(runs: dict, widths: Sequence[int] = WIDTHS) -> list[str]:
    """Les essais à faire, d’après ceux qui sont faits : « largeur 64 taux 0.004 »…"""
    wanted = first_trials(widths)
    for width in widths:
        scores = trial_scores(runs, width)
        if {s.learning_rate for s in first_trials([width])} <= set(scores):
            wanted += filter(None, [next_trial(width, scores)])
    return [f"{setting.name} taux {setting.learning_rate:g}" for setting in wanted]


def run_names(budget: str, widths: Sequence[int] | None = None) -> list[str]:
    """Les noms d’un budget au relevé : « largeur 64 court »…"""
    widths = widths or (LONG_WIDTHS if budget == "long" else WIDTHS)
    return [f"largeur {width} {budget}" for width in widths]


@dataclass(frozen=True)
class Sweep:
    """Histoires lues de chaque budget, histoires de la mesure, taille des lots."""

    stories: dict[str, int] = field(default_factory=lambda: BUDGETS)
    held_out_stories: int = N_TEST
    batch_size: int = BATCH_SIZE


def measure(name: str, seed: int, sweep: Sweep) -> dict:
    """Une largeur à un budget ; un essai de taux, sur la validation ; l’oracle."""

    def task(budget: str, split: str = "test") -> StoryTask:
        sizes = (sweep.stories[budget], sweep.held_out_stories)
        return model_families.task_of(*sizes, seed, split)

    if name == ORACLE:
        return model_families.oracle(task("court"))
    _, width, kind, *rate = name.split()
    if kind == "taux":
        setting, stories = setting_for(int(width), float(rate[0])), task("court", "validation")
    else:
        setting, stories = setting_for(int(width), rate_for(int(width), kind)), task(kind)
    return model_families.run(setting, stories, seed)[1]


def add_options(parser: FrenchArgumentParser) -> None:
    """Les largeurs et le budget."""
    add = parser.add_argument
    add("--widths", type=int, nargs="+", choices=WIDTHS, help="largeurs (toutes celles du budget)")
    add("--budget", choices=tuple(BUDGETS), default="court", help="lectures (court)")


def adapt(experiment: Experiment, options: Namespace) -> Experiment:
    """L’expérience aux largeurs et au budget demandés ; les taux se comparent au budget court."""
    if options.tuning and options.budget != "court":
        raise ValueError("--tuning compare les taux au budget court : ôtez --budget.")
    return replace(
        experiment,
        names=run_names(options.budget, options.widths),
        tuning=lambda runs: trials_wanted(runs, options.widths or WIDTHS),
    )


EXPERIMENT = Experiment(
    "size_sweep",
    "Entraîne huit tailles du même Transformer sur les mêmes micro-histoires.",
    Sweep(),
    run_names("court") + run_names("long"),
    measure,
    once=[ORACLE],
    tuning=trials_wanted,
    add_options=add_options,
    adapt=adapt,
)
load_results = EXPERIMENT.load


if __name__ == "__main__":
    raise SystemExit(EXPERIMENT.main())
