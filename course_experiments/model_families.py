"""N-gramme, réseau récurrent, Transformer : les mêmes histoires, le même budget de jetons.

    python -m course_experiments.model_families --tuning       réglages comparés (graine 0)
    python -m course_experiments.model_families --seeds 0 1 2  les modèles du chapitre 00

Les mesures vont dans `results/model_families.json`, réécrit après chaque modèle : une commande
interrompue reprend où elle en était. Les temps de calcul sont ceux d’un seul fil.
"""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn
from tqdm.auto import tqdm

from course_experiments.records import experiment_parser, measure_command, refuse_seeds
from course_lib.evaluation.story_task import (
    StoryTask,
    build_task,
    oracle_score,
    score_network,
    score_ngram,
    with_end,
)
from course_lib.files import write_json
from course_lib.ngram import KneserNeyModel
from course_lib.recurrent import RecurrentLM
from course_lib.training import TrainingConfig, train
from course_lib.transformer import Decoder, LlamaConfig, count_parameters, llama

RESULTS = Path(__file__).parent / "results" / "model_families.json"
N_TRAIN, N_TEST, BATCH_SIZE, N_POINTS = 9_600, 300, 8, 8
CONTEXT_LENGTH = 192


@dataclass(frozen=True)
class Setting:
    """Un modèle et ses réglages ; `past` limite le passé lu à chaque étage d’un Transformer."""

    name: str
    family: str  # "ngram", "lstm", "gru" ou "transformer"
    order: int = 0
    d_model: int = 0
    hidden_size: int = 0
    n_layers: int = 1
    n_heads: int = 0
    learning_rate: float = 0.0
    past: tuple[int, ...] = ()


def _transformer(name: str, d_model: int, learning_rate: float, n_heads: int = 4, past=()):
    sizes = {"d_model": d_model, "n_layers": 2, "n_heads": n_heads}
    return Setting(name, "transformer", **sizes, learning_rate=learning_rate, past=past)


def _recurrent(name: str, hidden_size: int, learning_rate: float, family: str = "lstm"):
    sizes = {"d_model": 64, "hidden_size": hidden_size}
    return Setting(name, family, **sizes, learning_rate=learning_rate)


# Tailles voisines : LSTM, GRU et Transformer ont tous trois entre 146 000 et 149 000 paramètres.
RATES = (4e-3, 1e-2, 2e-2)
TUNING = (
    *(_recurrent("LSTM", 128, rate) for rate in RATES),
    *(_recurrent("GRU", 152, rate, "gru") for rate in RATES),
    _recurrent("LSTM", 128, 4e-2),  # le meilleur taux étant le plus fort, on va au-delà
    _recurrent("GRU", 152, 4e-2, "gru"),
    _recurrent("GRU", 152, 8e-2, "gru"),
    _recurrent("GRU", 152, 16e-2, "gru"),
    *(_transformer("Transformer", 64, rate, 4) for rate in RATES),
    _transformer("Transformer", 64, 4e-3, 8),
)
SETTINGS = (
    Setting("3-gramme", "ngram", order=3),
    Setting("5-gramme", "ngram", order=5),
    Setting("7-gramme", "ngram", order=7),
    _recurrent("LSTM", 128, 2e-2),
    _transformer("Transformer", 64, 4e-3),
    _transformer("Transformer à 4 jetons", 64, 4e-3, past=(2, 1)),
    _transformer("petit Transformer", 32, 1e-2),
    _transformer("grand Transformer", 96, 4e-3),
    _recurrent("GRU", 152, 8e-2, "gru"),
)


def build_model(setting: Setting, vocab_size: int, seed: int) -> nn.Module:
    """Bâtit le réseau d’un réglage ; `seed` fixe ses poids de départ."""
    if setting.family == "transformer":
        sizes = (setting.d_model, setting.n_layers, setting.n_heads)
        return llama(LlamaConfig(vocab_size, CONTEXT_LENGTH, *sizes), seed)
    if setting.family not in ("lstm", "gru"):
        raise ValueError(
            f"family = {setting.family!r} n’est pas un réseau : lstm, gru ou transformer."
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return RecurrentLM(
            vocab_size, setting.d_model, setting.hidden_size, setting.n_layers, setting.family
        )


@contextmanager
def limited_context(model: Decoder, past: Sequence[int]) -> Iterator[None]:
    """Dans ce bloc, l’étage i ne lit que `past[i]` positions avant la sienne.

    Les étages s’enchaînent : le modèle voit 1 + Σ past jetons,
    comme un n-gramme d’ordre 2 + Σ past.
    """
    if not past:
        yield
        return
    if len(past) != len(model.blocks):
        raise ValueError(f"past = {past} : il faut un nombre par étage, soit {len(model.blocks)}.")

    def restrict(reach):
        def hook(module, args, kwargs):
            rank = torch.arange(args[0].shape[1])
            near = rank[:, None] - rank <= reach  # (T, T)
            mask = kwargs.get("mask")
            return args, {**kwargs, "mask": near if mask is None else mask & near}

        return hook

    hooks = [
        block.self_attention.register_forward_pre_hook(restrict(reach), with_kwargs=True)
        for block, reach in zip(model.blocks, past, strict=True)
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def train_network(
    setting: Setting,
    task: StoryTask,
    seed: int,
    *,
    n_threads: int = 1,
    progress: bool = True,
    n_points: int = N_POINTS,
) -> tuple[nn.Module, dict]:
    """Entraîne et mesure un réseau : une lecture des histoires, `BATCH_SIZE` par pas.

    La lecture est mesurée `N_POINTS` fois ; on s’arrête à la mesure `n_points`, le reste intact.
    """
    model = build_model(setting, task.tokenizer.vocab_size, seed)
    n_steps = len(task.rows) // BATCH_SIZE
    eval_every = max(1, n_steps // N_POINTS)
    config = TrainingConfig(
        n_steps,
        setting.learning_rate,
        eval_every=eval_every,
        seed=seed,
        n_threads=n_threads,
    )
    stop_at = n_points * eval_every if n_points < N_POINTS else None
    scores, measured = [], []  # les mesures, et leur durée, que l’entraînement n’a pas à payer

    def evaluate(model):
        start = time.process_time()
        scores.append(score_network(model, task))
        measured.append(time.process_time() - start)
        return {"kl": scores[-1].kl, **scores[-1].skills}

    start = time.process_time()
    with limited_context(model, setting.past):
        history = train(
            model,
            task.batches(BATCH_SIZE, seed),
            config,
            evaluate=evaluate,
            progress=progress,
            stop_at=stop_at,
        )
    seconds = time.process_time() - start - sum(measured)
    points = [r for r in history.records if r.metrics]
    curve = {"tokens": [r.tokens for r in points]}
    curve |= {name: [round(r.metrics[name], 4) for r in points] for name in points[0].metrics}
    size = count_parameters(model)
    return model, _result(setting, seed, size, seconds, scores[-1]) | {"curve": curve}


def count_ngrams(setting: Setting, task: StoryTask, seed: int) -> tuple[KneserNeyModel, dict]:
    """Compte et mesure un n-gramme ; sa taille est le nombre de n-grammes qu’il garde."""
    start = time.process_time()
    model = KneserNeyModel(setting.order, task.tokenizer.vocab_size, task.tokenizer.bos_id)
    model.fit(with_end(task.rows, task.tokenizer.eos_id))
    seconds = time.process_time() - start
    return model, _result(setting, seed, model.n_entries, seconds, score_ngram(model, task))


def run(setting: Setting, task: StoryTask, seed: int, **options) -> tuple[object, dict]:
    """Apprend et mesure le modèle d’un réglage : (modèle, mesures)."""
    if setting.family == "ngram":
        return count_ngrams(setting, task, seed)
    return train_network(setting, task, seed, **options)


def _result(setting: Setting, seed: int, size: int, seconds: float, score) -> dict:
    measures = {name: round(value, 4) for name, value in asdict(score).items() if name != "skills"}
    skills = {name: round(value, 4) for name, value in score.skills.items()}
    return {
        "setting": json.loads(json.dumps(asdict(setting))),
        "seed": seed,
        "size": size,
        "cpu_seconds": round(seconds, 1),
        **measures,
        "skills": skills,
    }


def load_results(path: Path = RESULTS) -> dict:
    """Relit les mesures livrées ; un fichier absent donne un relevé vide."""
    if not path.exists():
        return {"budget": {}, "libraries": {}, "oracle": {}, "tuning": [], "runs": []}
    return json.loads(path.read_text("utf-8"))


def _remaining(settings, seeds, done: list[dict]) -> list[tuple[Setting, int]]:
    """Les couples (réglage, graine) qui ne sont pas encore au relevé."""
    known = {(json.dumps(run["setting"]), run["seed"]) for run in done}
    pairs = [(setting, seed) for seed in seeds for setting in settings]
    return [(s, seed) for s, seed in pairs if (json.dumps(asdict(s)), seed) not in known]


def measure(settings, seeds, kind: str, split: str, path: Path, n_train: int, n_test: int) -> dict:
    """Fait ce qui manque au relevé `kind` (« tuning » ou « runs ») et l’écrit à mesure."""
    tasks: dict[int, StoryTask] = {}
    remaining = _remaining(settings, seeds, load_results(path)[kind])
    for setting, seed in tqdm(remaining, desc="Modèles"):
        if not _remaining([setting], [seed], load_results(path)[kind]):
            continue  # mesuré entre-temps : deux commandes peuvent se partager le travail
        if seed not in tasks:
            tasks[seed] = build_task(n_train, n_test, seed, split)
        task = tasks[seed]
        measured = run(setting, task, seed)[1]
        results = load_results(path)
        results[kind].append(measured)
        results["budget"] = {
            "stories": n_train,
            "held_out_stories": n_test,
            "batch_size": BATCH_SIZE,
            "passes": 1,
            "tokens": {str(s): t.n_tokens for s, t in tasks.items()}
            | results["budget"].get("tokens", {}),
            "vocab_size": task.tokenizer.vocab_size,
        }
        results["libraries"] = {name: version(name) for name in ("torch", "numpy")}
        if kind == "runs":
            results["oracle"] = {k: round(v, 4) for k, v in _oracle(task).items()}
        write_json(path, results)
    return load_results(path)


def _oracle(task: StoryTask) -> dict[str, float]:
    score = oracle_score(task)
    return {"nats": score.nats, "perplexity": score.perplexity}


def main(arguments: list[str] | None = None) -> int:
    parser = experiment_parser(
        RESULTS, "Compare n-grammes, LSTM et Transformers sur les mêmes micro-histoires."
    )
    parser.add_argument(
        "--tuning", action="store_true", help="compare les réglages sur le jeu de validation"
    )
    options = parser.parse_args(arguments)
    what = (SETTINGS, options.seeds, "runs", "test")
    if options.tuning:
        refuse_seeds(parser, options)
        what = (TUNING, [0], "tuning", "validation")
    return measure_command(options, lambda: measure(*what, options.output, N_TRAIN, N_TEST))


if __name__ == "__main__":
    raise SystemExit(main())
