"""`python -m course_experiments.pronoun` : toutes les graines, puis un petit fichier JSON.

Le traducteur de la graine 0 est rangé à côté du relevé.
"""

from argparse import Namespace
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from course_experiments.experiment import Experiment
from course_experiments.halved_weights import save_halved
from course_experiments.pronoun import causality, decoding, models
from course_experiments.pronoun.models import Recipe
from course_experiments.pronoun.task import TEST_SEED, WEIGHTS, vocabulary
from course_lib.arguments import FrenchArgumentParser
from course_lib.corpora import famous_pair, generate_pairs, minimal_pairs
from course_lib.transformer import count_parameters

EVAL_EVERY = 50


@dataclass(frozen=True)
class Settings:
    """La recette de chaque modèle, les phrases et les paires de la mesure."""

    recipes: dict[str, Recipe] = field(default_factory=lambda: models.RECIPES)
    test_sentences: int = 300
    minimal_pairs: int = 200


def measure_translator(seed: int, settings: Settings, weights: Path | None = None) -> dict:
    """Entraîne un traducteur et l'interroge : traductions, têtes, greffes, lectures coupées.

    Celui de la graine 0 est gardé dans `weights`.
    """
    recipe = settings.recipes["translator"]
    model, history = models.train_translator(seed, recipe, eval_every=EVAL_EVERY)
    if seed == 0 and weights is not None:
        save_halved(model, weights)
    words, pairs = vocabulary(), minimal_pairs(settings.minimal_pairs, seed=TEST_SEED)
    return {
        "parameters": count_parameters(model),
        "curve": _curve(history),
        "scores": _translation_scores(model, settings),
        "famous": decoding.greedy_translate(model, [p.english for p in famous_pair()], words),
        "famous_preferences": causality.famous_preferences(model, famous_pair(), words),
        "switching_heads": causality.switching_heads(model, pairs, words).tolist(),
        "attention_contrast": causality.attention_contrast(model, pairs, words).tolist(),
        "answers": 2 * len(pairs),
        "errors": causality.translator_interventions(model, pairs, words),
    }


def measure_gloss(seed: int, settings: Settings) -> dict:
    """Entraîne un encodeur à la glose et l'interroge : Δ, lectures coupées."""
    model, _ = models.train_gloss_encoder(seed, settings.recipes["gloss"])
    words, pairs = vocabulary(), minimal_pairs(settings.minimal_pairs, seed=TEST_SEED)
    scores = {
        "seen": decoding.gloss_scores(model, _test_pairs("train", 1, settings), words),
        "held_out": decoding.gloss_scores(model, _test_pairs("held_out", 1, settings), words),
    }
    return {
        "parameters": count_parameters(model),
        "scores": scores,
        "famous": decoding.gloss_words(model, [p.english for p in famous_pair()], words),
        "switching_heads": causality.switching_heads(model, pairs, words).tolist(),
        "attention_contrast": causality.attention_contrast(model, pairs, words).tolist(),
        "contrast_map": causality.contrast_map(model, famous_pair(), words).tolist(),
        "answers": 2 * len(pairs),
        "errors": causality.gloss_interventions(model, pairs, words),
    }


def measure_recurrent(name: str, seed: int, settings: Settings) -> dict:
    """Entraîne un traducteur récurrent sur les phrases du traducteur."""
    attention, recipe = name == "gru_attention", settings.recipes[name]
    model, history = models.train_recurrent(attention, seed, recipe, eval_every=EVAL_EVERY)
    return {
        "parameters": count_parameters(model),
        "curve": _curve(history),
        "scores": _translation_scores(model, settings),
    }


def _translation_scores(model, settings: Settings) -> dict:
    words = vocabulary()
    tests = {
        "seen_1": ("train", 1),
        "held_out_1": ("held_out", 1),
        "held_out_2": ("held_out", 2),
        "held_out_3": ("held_out", 3),
    }
    return {
        name: decoding.translation_scores(model, _test_pairs(*test, settings), words)
        for name, test in tests.items()
    }


def _test_pairs(split: str, n_clauses: int, settings: Settings) -> list:
    n_pairs = settings.test_sentences
    return generate_pairs(n_pairs, split=split, n_clauses=n_clauses, seed=TEST_SEED)


def _curve(history) -> dict[str, list]:
    records = [record for record in history.records if record.metrics]
    names = ("pronoun", "other_words")
    return {"steps": [record.step for record in records]} | {
        name: [record.metrics[name] for record in records] for name in names
    }


def measure(name: str, seed: int, settings: Settings, weights: Path | None = None) -> dict:
    """Entraîne et interroge un modèle."""
    if name == "translator":
        return measure_translator(seed, settings, weights)
    if name == "gloss":
        return measure_gloss(seed, settings)
    return measure_recurrent(name, seed, settings)


def add_options(parser: FrenchArgumentParser) -> None:
    """Les modèles."""
    names = list(models.RECIPES)
    parser.add_argument(
        "--models", nargs="+", choices=names, default=names, help="modèles à entraîner"
    )


def adapt(experiment: Experiment, options: Namespace) -> Experiment:
    """Les modèles demandés ; les poids vont à côté du relevé."""
    weights = options.output.parent / WEIGHTS.parent.name / WEIGHTS.name
    return replace(
        experiment,
        names=options.models,
        measure=partial(measure, weights=weights),
        products={"translator": weights},
    )


EXPERIMENT = Experiment(
    "pronoun",
    "Entraîne et interroge les modèles du chapitre « Le Transformer ».",
    Settings(),
    list(models.RECIPES),
    measure,
    seeds=range(5),
    add_options=add_options,
    adapt=adapt,
)


if __name__ == "__main__":
    raise SystemExit(EXPERIMENT.main())
