"""`python -m course_lib.training --corpus FICHIER` : entraîner un modèle sur son texte."""

import math
import sys
from dataclasses import asdict
from pathlib import Path

import torch
from tqdm.auto import tqdm

from course_lib.parallel import DEFAULT_STRATEGY, STRATEGIES, open_workers
from course_lib.training.arguments import (
    FrenchArgumentParser,
    natural_float,
    natural_int,
    positive_float,
    positive_int,
)
from course_lib.training.checkpoint import save_weights
from course_lib.training.history import History, Record, write_json
from course_lib.training.interruption import TrainingInterrupted
from course_lib.training.loop import train
from course_lib.training.losses import evaluate_loss
from course_lib.training.optimization import TrainingConfig
from course_lib.training.prepared_text import PreparedText, prepare_text
from course_lib.training.sampling import sample_ids
from course_lib.transformer import LlamaConfig, count_parameters, llama
from course_lib.typography import format_number, format_percent


def build_parser() -> FrenchArgumentParser:
    """Les options de la commande."""
    parser = FrenchArgumentParser(
        prog="python -m course_lib.training",
        description="Entraîne un modèle de langue (un Transformer de forme Llama) sur un texte. "
        "La même commande reprend un entraînement interrompu. Lancée par torchrun, elle répartit "
        "le travail entre plusieurs processus.",
    )
    add = parser.add_argument
    add("--corpus", required=True, metavar="FICHIER", help="le texte à apprendre")
    add("--output", metavar="DOSSIER", help="où écrire (défaut : runs/<nom du texte>)")
    add(
        "--tokenizer",
        choices=("char", "bpe", "word"),
        help="découpage en caractères, morceaux de mots ou mots "
        "(défaut : char, et bpe pour un très long texte)",
    )
    add("--vocab-size", type=positive_int, metavar="N", help="taille du vocabulaire (bpe, word)")
    for name, default, what in (
        ("tokens", 4_000_000, "nombre de jetons à lire en tout"),
        ("context-length", 128, "longueur du contexte, en jetons"),
        ("n-layers", 3, "nombre de couches"),
        ("d-model", 128, "dimension du modèle"),
        ("d-ff", 352, "dimension cachée des réseaux positionnels"),
        ("n-heads", 8, "nombre de têtes d’attention"),
        ("batch-size", 8, "fenêtres de texte par pas"),
        ("threads", 1, "fils de calcul"),
        ("sample-length", 400, "longueur du texte inventé, en jetons"),
    ):
        help_text = f"{what} (défaut : {format_number(default, 0)})"
        add(f"--{name}", type=positive_int, default=default, metavar="N", help=help_text)
    add("--seed", type=natural_int, default=0, metavar="N", help="graine du hasard (défaut : 0)")
    for name, kind, default, what in (
        ("learning-rate", positive_float, 4e-3, "taux d’apprentissage maximal"),
        ("weight-decay", natural_float, 0.1, "décroissance des poids"),
        ("temperature", natural_float, 0.8, "audace du texte inventé, 0 pour aucun hasard"),
    ):
        help_text = f"{what} (défaut : {format_number(default)})"
        add(f"--{name}", type=kind, default=default, metavar="X", help=help_text)
    add(
        "--parallel",
        choices=tuple(STRATEGIES),
        help="sous torchrun, ce que les processus se partagent : les données (ddp, par défaut), "
        "aussi le modèle (fsdp), ou chaque couche (tensor)",
    )
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Exécute la commande ; renvoie 0, 2 (entrée inutilisable) ou 130 (interrompue)."""
    options = build_parser().parse_args(arguments)
    try:
        with open_workers(options.parallel) as workers:
            _run(options, workers)
    except TrainingInterrupted as interruption:
        print(f"\n{interruption}", file=sys.stderr)
        return 130
    except KeyboardInterrupt:
        print("\nInterrompu.", file=sys.stderr)
        return 130
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"Erreur : {error}", file=sys.stderr)
        return 2
    return 0


def _run(options, workers) -> None:
    text = prepare_text(
        options.corpus,
        options.tokenizer,
        options.vocab_size,
        options.context_length,
        options.batch_size,
        options.seed,
    )
    output = Path(options.output or Path("runs") / Path(options.corpus).stem)
    if workers.is_main:
        output.mkdir(parents=True, exist_ok=True)
    architecture = LlamaConfig(
        vocab_size=text.tokenizer.vocab_size,
        context_length=options.context_length,
        d_model=options.d_model,
        n_layers=options.n_layers,
        n_heads=options.n_heads,
        d_ff=options.d_ff,
    )
    model = llama(architecture, seed=options.seed)
    torch.set_num_threads(options.threads)
    if workers.is_main:
        _announce(options, text, model, output, workers.n_workers)
    history = train(
        model,
        text.training,
        _training_config(options),
        evaluate=lambda m: {"validation_loss": evaluate_loss(m, text.validation_sample)},
        checkpoint_dir=output / "checkpoints",
        architecture={"tokenizer": text.kind, **asdict(architecture)},
        progress=sys.stderr.isatty(),
        on_evaluation=_print_record,
        workers=workers,
    )
    model = workers.whole_model(model, lambda: llama(architecture))
    if workers.is_main:
        loss = evaluate_loss(model, text.validation)
        _save(output, model, text, architecture, history, loss)
        _report(options, text, model, history, loss, output)


def _training_config(options) -> TrainingConfig:
    n_steps = math.ceil(options.tokens / (options.batch_size * options.context_length))
    return TrainingConfig(
        n_steps=n_steps,
        learning_rate=options.learning_rate,
        warmup_steps=min(200, n_steps // 10),
        weight_decay=options.weight_decay,
        log_every=min(20, max(1, n_steps // 16)),
        eval_every=max(1, n_steps // 8),
        checkpoint_every=max(1, min(500, n_steps // 16)),
        seed=options.seed,
        n_threads=options.threads,
    )


def _announce(options, text: PreparedText, model, output: Path, n_workers: int) -> None:
    kinds = {"char": "caractères", "bpe": "morceaux de mots", "word": "mots"}
    print(
        f"Texte : {options.corpus}, {_count(len(text.training.ids))} jetons à apprendre "
        f"et {_count(len(text.validation.ids) - 1)} réservés à la validation "
        f"({kinds[text.kind]}, vocabulaire de {_count(text.tokenizer.vocab_size)}).\n"
        f"Modèle : {_count(count_parameters(model))} paramètres. Dossier : {output}.",
        flush=True,
    )
    if n_workers > 1:
        strategy = STRATEGIES[options.parallel or DEFAULT_STRATEGY]
        print(f"Processus : {n_workers}, {strategy}.", flush=True)


def _print_record(record: Record) -> None:
    tqdm.write(
        f"pas {_count(record.step)}, {_count(record.tokens)} jetons : "
        f"perte {format_number(record.loss, 4)}, "
        f"validation {format_number(record.metrics['validation_loss'], 4)}",
        file=sys.stdout,
    )
    sys.stdout.flush()


def _bits_per_character(text: PreparedText, loss: float) -> float:
    n_tokens = len(text.validation.ids) - 1
    return loss * n_tokens / text.n_validation_characters / math.log(2)


def _save(output: Path, model, text: PreparedText, architecture, history: History, loss) -> None:
    save_weights(model, output / "model.safetensors")
    text.tokenizer.save(output / "tokenizer.json")
    history.save(output / "history.json")
    config = {
        "architecture": "llama",
        "tokenizer": text.kind,
        **asdict(architecture),
        "validation_loss": loss,
        "bits_per_character": _bits_per_character(text, loss),
    }
    write_json(output / "config.json", config)


def _report(options, text: PreparedText, model, history: History, loss: float, output) -> None:
    print(
        f"\nSur les {_count(text.n_validation_characters)} derniers caractères, jamais appris :\n"
        f"  {format_number(loss, 4)} nats par jeton, "
        f"{format_number(_bits_per_character(text, loss), 4)} bits par caractère.\n"
        f"Vitesse : {_count(history.tokens_per_second)} jetons par seconde."
    )
    if text.unknown_share:
        print(
            f"{format_percent(text.unknown_share, 1)} de ces jetons sont hors du vocabulaire : "
            "deviner « inconnu » ne dit pas lequel, la mesure est trop flatteuse d’autant."
        )
    prompt = text.validation.ids[: options.context_length // 2 + 1]
    new = sample_ids(model, prompt, options.sample_length, options.temperature, options.seed)
    print(
        "\nSuite inventée à partir des premiers mots de la partie réservée :\n\n"
        f"{text.tokenizer.decode(new, skip_special_tokens=True)}\n\nTout est dans {output}."
    )


def _count(value: float) -> str:
    return format_number(value, 0)
