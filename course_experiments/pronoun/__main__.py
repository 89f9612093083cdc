"""`python -m course_experiments.pronoun` : toutes les graines, puis un petit fichier JSON.

Le fichier est récrit d'un seul geste après chaque entraînement. Relancée, la commande saute ce qui
y est déjà, à réglages égaux.
"""

import copy
import json
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch

from course_experiments.pronoun import causality, decoding, models
from course_experiments.pronoun.task import RESULTS, TEST_SEED, WEIGHTS, vocabulary
from course_lib.arguments import FrenchArgumentParser, natural_int
from course_lib.commands.failures import run_command
from course_lib.corpora import famous_pair, generate_pairs, minimal_pairs
from course_lib.files import write_json
from course_lib.training import save_weights
from course_lib.transformer import count_parameters

EVAL_EVERY = 50
N_TEST, N_PAIRS = 300, 200


def measure_translator(seed: int, output: Path) -> dict:
    """Entraîne un traducteur et l'interroge : traductions, têtes, greffes, lectures coupées.

    Celui de la première graine est rangé à côté du relevé.
    """
    model, history = models.train_translator(seed, eval_every=EVAL_EVERY)
    if seed == 0:
        _weights(output).parent.mkdir(exist_ok=True)
        save_weights(copy.deepcopy(model).half(), _weights(output))
    words, pairs = vocabulary(), minimal_pairs(N_PAIRS, seed=TEST_SEED)
    return {
        "parameters": count_parameters(model),
        "curve": _curve(history),
        "scores": _translation_scores(model),
        "famous": decoding.greedy_translate(model, [p.english for p in famous_pair()], words),
        "famous_preferences": _rounded(causality.famous_preferences(model, famous_pair(), words)),
        "switching_heads": _rounded(causality.switching_heads(model, pairs, words)),
        "attention_contrast": _rounded(causality.attention_contrast(model, pairs, words)),
        "answers": 2 * N_PAIRS,
        "errors": causality.translator_interventions(model, pairs, words),
    }


def measure_gloss(seed: int, output: Path) -> dict:
    """Entraîne un encodeur à la glose et l'interroge : Δ, lectures coupées."""
    model, _ = models.train_gloss_encoder(seed)
    words, pairs = vocabulary(), minimal_pairs(N_PAIRS, seed=TEST_SEED)
    scores = {
        "seen": decoding.gloss_scores(model, _test_pairs("train", 1), words),
        "held_out": decoding.gloss_scores(model, _test_pairs("held_out", 1), words),
    }
    return {
        "parameters": count_parameters(model),
        "scores": scores,
        "famous": decoding.gloss_words(model, [p.english for p in famous_pair()], words),
        "switching_heads": _rounded(causality.switching_heads(model, pairs, words)),
        "attention_contrast": _rounded(causality.attention_contrast(model, pairs, words)),
        "contrast_map": _rounded(causality.contrast_map(model, famous_pair(), words)),
        "answers": 2 * N_PAIRS,
        "errors": causality.gloss_interventions(model, pairs, words),
    }


def measure_recurrent(attention: bool) -> Callable[[int, Path], dict]:
    """Entraîne un traducteur récurrent sur les phrases du traducteur."""

    def measure(seed: int, output: Path) -> dict:
        model, history = models.train_recurrent(attention, seed, eval_every=EVAL_EVERY)
        return {
            "parameters": count_parameters(model),
            "curve": _curve(history),
            "scores": _translation_scores(model),
        }

    return measure


JOBS = {
    "gloss": measure_gloss,
    "translator": measure_translator,
    "gru_attention": measure_recurrent(attention=True),
    "gru": measure_recurrent(attention=False),
}


def _translation_scores(model) -> dict:
    words = vocabulary()
    tests = {
        "seen_1": ("train", 1),
        "held_out_1": ("held_out", 1),
        "held_out_2": ("held_out", 2),
        "held_out_3": ("held_out", 3),
    }
    return {
        name: decoding.translation_scores(model, _test_pairs(*test), words)
        for name, test in tests.items()
    }


def _test_pairs(split: str, n_clauses: int) -> list:
    return generate_pairs(N_TEST, split=split, n_clauses=n_clauses, seed=TEST_SEED)


def _curve(history) -> dict[str, list]:
    records = [record for record in history.records if record.metrics]
    names = ("pronoun", "other_words")
    return {"steps": [record.step for record in records]} | {
        name: _rounded([record.metrics[name] for record in records]) for name in names
    }


def _rounded(values, digits: int = 4) -> list:
    values = values.tolist() if hasattr(values, "tolist") else values
    return [_rounded(v, digits) if isinstance(v, list) else round(v, digits) for v in values]


def settings(name: str) -> dict:
    """Tout ce dont les mesures d'un modèle dépendent : à réglages égaux, on complète le fichier."""
    content = {
        "recipe": asdict(models.RECIPES[name]),
        "test_sentences": N_TEST,
        "minimal_pairs": N_PAIRS,
        "torch": torch.__version__.split("+")[0],
        "python": ".".join(platform.python_version_tuple()[:2]),
    }
    return json.loads(json.dumps(content))  # sous la forme où le JSON la rendra


def _run(name: str, seed: int, output: Path) -> None:
    """Ajoute une graine au fichier ; passe si elle y est déjà, poids compris."""
    lacks_weights = name == "translator" and seed == 0 and not _weights(output).is_file()
    if str(seed) in _entry(output, name)[1]["seeds"] and not lacks_weights:
        print(f"{name}, graine {seed} : déjà fait.")
        return
    print(f"{name}, graine {seed}…", flush=True)
    measures = JOBS[name](seed, output)
    # Relu maintenant : une autre commande a pu y ajouter ses graines pendant l'entraînement.
    results, entry = _entry(output, name)
    entry["seeds"][str(seed)] = measures
    write_json(output, {**results, name: entry})


def _weights(output: Path) -> Path:
    """Où vont les poids du traducteur de la première graine."""
    return output.parent / WEIGHTS.parent.name / WEIGHTS.name


def _entry(output: Path, name: str) -> tuple[dict, dict]:
    """Le contenu du fichier, et la part du modèle `name`, vide si les réglages ont changé."""
    results = json.loads(output.read_text(encoding="utf-8")) if output.exists() else {}
    entry = results.get(name)
    if entry is None or entry["settings"] != settings(name):
        entry = {"settings": settings(name), "seeds": {}}
    return results, entry


def main(arguments: list[str] | None = None) -> int:
    """Point d'entrée de la commande."""
    parser = FrenchArgumentParser(
        prog="python -m course_experiments.pronoun",
        description="Entraîne et interroge les modèles du chapitre « Le Transformer ».",
    )
    parser.add_argument(
        "--models", nargs="+", choices=list(JOBS), default=list(JOBS), help="modèles à entraîner"
    )
    parser.add_argument(
        "--seeds", nargs="+", type=natural_int, default=[0, 1, 2, 3, 4], help="graines (0 à 4)"
    )
    parser.add_argument("--output", type=Path, default=RESULTS, help="fichier JSON des résultats")
    options = parser.parse_args(arguments)

    def work() -> None:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        for name in options.models:
            for seed in dict.fromkeys(options.seeds):
                _run(name, seed, options.output)

    return run_command(work, "Les graines finies sont écrites ; la même commande fait le reste.")


if __name__ == "__main__":
    sys.exit(main())
