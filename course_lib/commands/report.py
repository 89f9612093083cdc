"""Ce que la commande d’entraînement dit à son lecteur, et ce qu’elle lui laisse."""

import math
import sys
from pathlib import Path

from tqdm.auto import tqdm

from course_lib.commands.failures import say
from course_lib.commands.opening import next_command
from course_lib.commands.options import options_from
from course_lib.commands.prepared_text import PreparedText
from course_lib.files import atomic, write_json
from course_lib.generation import SamplingConfig, generate
from course_lib.parallel import DEFAULT_STRATEGY, STRATEGIES
from course_lib.pretrained.folders.tokenizers import gguf_tokenizer_metadata
from course_lib.pretrained.saving import save_beside
from course_lib.training.devices import find_device
from course_lib.training.history import History, Record
from course_lib.training.losses import evaluate_loss
from course_lib.transformer import count_parameters
from course_lib.typography import format_number, format_percent

_LONG = 500_000  # jetons : au-delà, la mesure finale s’annonce


def announce(options, text: PreparedText, model, config, output: Path, n_workers: int) -> None:
    """Ce qui va être appris, par quel modèle, et où."""
    kinds = {
        "char": "caractères",
        "bpe": "morceaux de mots",
        "word": "mots",
        "model": "découpage du modèle de départ",
    }
    size, asked = text.tokenizer.vocab_size, options.vocab_size
    short = ""
    if asked is not None and size < asked:
        short = f" : le texte n’en donne pas {count(asked)}"
    say(
        f"Texte : {options.corpus}, {count(len(text.training.ids))} jetons à apprendre "
        f"et {count(len(text.validation.ids) - 1)} réservés à la validation "
        f"({kinds[text.kind]}, vocabulaire de {count(size)}{short}).\n"
        f"Modèle : {count(count_parameters(model))} paramètres. Dossier : {output}."
    )
    source = options_from(options)
    if source is not None:
        say(f"Départ : {source}, continué par fenêtres de {count(options.context_length)} jetons.")
    _announce_export(options, text)
    rows = text.training.rows_per_step
    if rows < options.batch_size:
        say(
            f"Le texte ne compte que {rows} fenêtres de {options.context_length} jetons : les lots "
            f"en ont {rows} au lieu de {count(options.batch_size)}, et les pas sont plus nombreux "
            f"d’autant ({count(config.n_steps)})."
        )
    passes = config.n_steps * text.training.tokens_per_step / len(text.training.ids)
    if passes >= 20:
        say(f"Le texte sera relu {count(passes)} fois : il risque d’être appris par cœur.")
    device = find_device(options.device).type
    if device != "cpu":
        say(f"Appareil : {device}.")
    if n_workers > 1:
        strategy = STRATEGIES[options.parallel or DEFAULT_STRATEGY]
        say(f"Processus : {n_workers}, {strategy}.")


def print_record(record: Record) -> None:
    """Une évaluation, pendant l’entraînement."""
    with tqdm.external_write_mode():  # la barre s’efface le temps d’une ligne
        say(
            f"pas {count(record.step)}, {count(record.tokens)} jetons : "
            f"perte {format_number(record.loss, 4)}, "
            f"validation {format_number(record.metrics['validation_loss'], 4)}"
        )


def final_loss(model, text: PreparedText) -> float:
    """La perte sur toute la partie réservée ; ce qui est long se voit avancer."""
    n_tokens = len(text.validation.ids) - 1
    if n_tokens >= _LONG:
        say(f"Mesure finale, sur les {count(n_tokens)} jetons réservés…")
    return evaluate_loss(model, _Watched(text.validation))


class _Watched:
    """Une source dont on suit la lecture."""

    def __init__(self, source):
        self.source = source

    def in_order(self):
        n_windows = math.ceil((len(self.source.ids) - 1) / self.source.context_length)
        yield from tqdm(
            self.source.in_order(),
            total=math.ceil(n_windows / self.source.batch_size),
            desc="Mesure finale",
            disable=not sys.stderr.isatty(),
            leave=False,
            bar_format="{desc} {percentage:3.0f} % |{bar}| {elapsed} passé, {remaining} restant",
        )


def save_model(output: Path, model, text: PreparedText, history: History, loss) -> None:
    """Le modèle appris (un dossier Hugging Face), son journal, sa courbe, sa mesure finale."""
    save_beside(model, text.tokenizer, output)
    history.save(output / "history.json")
    _save_plot(history, output / "history.png")
    measures = {"validation_loss": loss, "bits_per_character": bits_per_character(text, loss)}
    write_json(output / "training.json", {"tokenizer": text.kind} | measures)


def _save_plot(history: History, path: Path) -> None:
    """La courbe de la perte, si matplotlib est là."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        say("Sans matplotlib, la courbe n’est pas tracée ; les nombres sont dans history.json.")
        return
    figure = Figure(figsize=(7, 4), layout="constrained")
    history.plot(figure.subplots())
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)


def _announce_export(options, text: PreparedText) -> None:
    """Dit tout de suite si ce découpage interdira llama.cpp : après, il serait trop tard."""
    try:
        gguf_tokenizer_metadata(text.tokenizer)
    except ValueError:
        remedy = "" if text.kind == "model" else " Pour llama.cpp, choisissez --tokenizer bpe."
        say(
            "Ce découpage ne s’écrit pas en GGUF : transformers lira le modèle, llama.cpp non."
            + remedy
        )


def report(options, text: PreparedText, model, history: History, loss: float, output) -> None:
    """La mesure finale et un texte inventé."""
    say(
        f"\nSur les {count(text.n_validation_characters)} derniers caractères, jamais appris :\n"
        f"  {format_number(loss, 4)} nats par jeton, "
        f"{format_number(bits_per_character(text, loss), 4)} bits par caractère.\n"
        f"Vitesse : {count(history.tokens_per_second)} jetons par seconde."
    )
    chance = math.log(text.tokenizer.vocab_size)
    if loss >= chance:
        say(
            "Le modèle n’a rien appris d’utile : deviner au hasard coûte "
            f"{format_number(chance, 4)} nats par jeton. "
            "Réduisez --learning-rate, ou lisez plus de jetons (--tokens)."
        )
    if text.unknown_share:
        say(
            f"{format_percent(text.unknown_share, 1)} de ces jetons sont hors du vocabulaire : "
            "deviner « inconnu » ne dit pas lequel, la mesure est trop flatteuse d’autant."
        )
    prompt = text.validation.ids[: options.context_length // 2 + 1]
    (new,) = generate(
        model,
        [prompt.tolist()],
        options.sample_length,
        sampling=SamplingConfig(options.temperature),
        seed=options.seed,
    )
    say(
        "\nSuite inventée à partir des premiers mots de la partie réservée :\n\n"
        f"{text.tokenizer.decode(new.ids, skip_special_tokens=True)}\n\nTout est dans {output}.\n"
        f"Pour le faire écrire : {next_command('write', str(output), '--start', '…')}"
    )


def bits_per_character(text: PreparedText, loss: float) -> float:
    """La perte en bits par caractère : elle ne dépend plus du découpage."""
    n_tokens = len(text.validation.ids) - 1
    return loss * n_tokens / text.n_validation_characters / math.log(2)


def count(value: float) -> str:
    """Un nombre entier à la française."""
    return format_number(value, 0)
