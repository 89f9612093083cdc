"""Entraîne le petit LLM et écrit ses fichiers.

    python -m course_experiments.base_model [--stories 48000] [--seed 0] [--output dossier]

L’entraînement s’interrompt sans perte : la même commande le reprend au dernier point de reprise.
"""

import math
import shutil
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import torch

from course_lib.arguments import FrenchArgumentParser, natural_int, positive_int
from course_lib.commands.failures import run_command
from course_lib.corpora import generate_stories
from course_lib.evaluation.story_task import StoryTask, build_task, oracle_score, score_network
from course_lib.files import write_json
from course_lib.models.shipped import FOLDER, SHAPE, TRAINING, WEIGHTS, load_petit_llm
from course_lib.pretrained.saving import save_beside
from course_lib.tokenization import BPETokenizer
from course_lib.training import TrainingConfig, train
from course_lib.transformer import Decoder, count_parameters, llama
from course_lib.typography import format_percent

N_STORIES, N_CURVE, N_TEST, BATCH_SIZE = 48_000, 100, 1_000, 8
N_TOKENIZER_STORIES = 3_000
LEARNING_RATE = 2e-3


def train_tokenizer() -> BPETokenizer:
    """Apprend le découpage : des morceaux d’octets, donc aucun mot inconnu."""
    stories = generate_stories(N_TOKENIZER_STORIES, "train")
    return BPETokenizer.train((story.text for story in stories), SHAPE.vocab_size)


def pretrain(
    task: StoryTask, n_steps: int, seed: int, checkpoint_dir: Path | None = None
) -> tuple[Decoder, dict]:
    """Entraîne le modèle de zéro ; rend (modèle, journal)."""
    model = llama(SHAPE, seed)
    config = TrainingConfig(
        n_steps,
        LEARNING_RATE,
        eval_every=max(1, n_steps // 16),
        checkpoint_every=500,
        seed=seed,
        n_threads=1,
    )

    def evaluate(model: Decoder) -> dict[str, float]:
        score = score_network(model, task)
        return {"kl": score.kl, **score.skills}

    start = time.process_time()
    history = train(
        model,
        task.batches(BATCH_SIZE, seed),
        config,
        evaluate=evaluate,
        checkpoint_dir=checkpoint_dir,
        architecture=SHAPE,
    )
    curve = [
        {
            "step": record.step,
            "tokens": record.tokens,
            "loss": round(record.loss, 4),
            **{name: round(value, 4) for name, value in record.metrics.items()},
        }
        for record in history.records
        if record.metrics
    ]
    return model, {
        "training": asdict(config) | {"batch_size": BATCH_SIZE},
        "tokens": history.records[-1].tokens,
        "cpu_seconds": round(time.process_time() - start),
        "curve": curve,
    }


def measure(model: Decoder, tokenizer: BPETokenizer) -> dict:
    """Distance du modèle à la loi des histoires et part des sondes réussies, sur le test."""
    task = build_task(1, N_TEST, 0, "test", tokenizer)
    score, oracle = score_network(model, task), oracle_score(task)
    return {
        "stories": N_TEST,
        "entropy": round(oracle.nats, 4),
        "kl": round(score.kl, 4),
        "kl_share": round(score.kl / oracle.nats, 5),
        "perplexity": round(score.perplexity, 4),
        "oracle_perplexity": round(oracle.perplexity, 4),
        "skills": {name: round(value, 4) for name, value in score.skills.items()},
    }


def main(arguments: list[str] | None = None) -> int:
    parser = FrenchArgumentParser(
        prog="python -m course_experiments.base_model",
        description="Entraîne le petit LLM sur les micro-histoires et écrit ses fichiers.",
    )
    parser.add_argument(
        "--stories", type=positive_int, default=N_STORIES, help=f"histoires lues ({N_STORIES})"
    )
    parser.add_argument("--seed", type=natural_int, default=0, help="graine (0)")
    parser.add_argument("--output", type=Path, default=FOLDER, help="dossier des fichiers")
    parser.add_argument("--force", action="store_true", help="remplace un modèle déjà écrit")
    options = parser.parse_args(arguments)
    return run_command(
        lambda: build(options.stories, options.seed, options.output, options.force),
        "La même commande reprend au dernier point de reprise.",
    )


def build(n_stories: int, seed: int, output: Path, force: bool = False) -> None:
    """Entraîne le petit LLM et écrit ses fichiers ; un modèle déjà écrit n’est refait que forcé."""
    if (output / WEIGHTS).exists() and not force:
        raise ValueError(
            f"« {output} » contient déjà un modèle. Pour le remplacer : --force ; pour le garder : "
            "--output vers un autre dossier."
        )
    output.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer()
    # La courbe se mesure sur la validation ; le jeu de test ne sert qu’à la fin.
    task = build_task(n_stories, N_CURVE, seed, "validation", tokenizer)
    checkpoints = output / "checkpoints"
    model, record = pretrain(task, math.ceil(n_stories / BATCH_SIZE), seed, checkpoints)
    save_beside(model, tokenizer, output, dtype="float16")
    model, tokenizer = load_petit_llm(output)  # ce que les lecteurs chargeront
    libraries = {name: version(name) for name in ("torch", "numpy")}
    results = measure(model, tokenizer)
    summary = {"parameters": count_parameters(model), "stories": n_stories, "test": results}
    write_json(output / TRAINING, summary | record | {"libraries": libraries})
    shutil.rmtree(checkpoints)  # l’entraînement est fini : plus rien à reprendre
    share = format_percent(results["kl_share"], 1)
    print(f"Distance à la vérité\u00a0: {share} de l’entropie d’une histoire.")


if __name__ == "__main__":
    torch.set_num_threads(1)
    raise SystemExit(main())
