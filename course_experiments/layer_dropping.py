"""Retirer des étages à un vrai modèle, puis le laisser réapprendre de lui-même : SmolLM2.

    python -m course_experiments.layer_dropping --no-training     quelques minutes
    python -m course_experiments.layer_dropping --layers 24       une nuit, sur deux fils

1. L’enseignant, SmolLM2 et ses 30 étages, écrit de courts textes anglais. Les derniers sont mis de
   côté pour la mesure.
2. Combien coûtent 1, 3, 6, 15 étages retirés sans rien réapprendre ?
3. L’élève garde `--layers` étages (voir `kept_layers`) et apprend les probabilités de l’enseignant,
   jeton par jeton, sur les textes que celui-ci a écrits : il n’y a pas d’autres données.

Tout se reprend : Ctrl-C ou `--minutes` arrêtent proprement, la même commande continue. Les textes
et les points de reprise (1,4 Go chacun, les deux derniers sont gardés) vont dans `--work`, que l’on
peut effacer ensuite. Les mesures vont dans `results/layer_dropping.json`.
"""

import math
import time
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import torch

from course_experiments.experiment import Experiment
from course_experiments.written_texts import Writing, WrittenText, write_texts
from course_lib.arguments import FrenchArgumentParser, positive_float, positive_int
from course_lib.corpora.sentences.parallel_texts import PARALLEL_TEXTS
from course_lib.distillation import SoftTargetLoss, forward_kl, student_from_teacher
from course_lib.evaluation.compression import compress
from course_lib.finetuning import AnswerExamples
from course_lib.generation.readers import reading
from course_lib.pretrained import load_pretrained
from course_lib.pretrained.store import smollm2_path
from course_lib.tokenization import Tokenizer
from course_lib.training import IGNORE, OneProcess, TrainingConfig, train
from course_lib.training.cross_entropy import mean_cross_entropy
from course_lib.transformer import Decoder, count_parameters

WORK = Path("runs") / "layer_dropping"
CONTEXT_LENGTH = 256
START = 0  # <|endoftext|>, ce que le modèle a vu entre deux documents
DROPPED = (0, 1, 3, 6, 15)  # sans entraînement ; 0 : l’enseignant, qui sert de repère
FIRST, LAST = 2, 1  # étages gardés d’office, au début et à la fin


@dataclass(frozen=True)
class Protocol:
    """Textes et entraînement. Les `n_held_out` derniers textes servent à mesurer.

    `row_length` : jetons lus par ligne, amorce comprise. `eval_every` : en pas.
    """

    n_texts: int = 400
    n_held_out: int = 40
    writing: Writing = field(default_factory=Writing)
    n_steps: int = 400
    batch_size: int = 8
    row_length: int = 96
    learning_rate: float = 3e-4
    eval_every: int = 50

    def __post_init__(self):
        if self.n_texts <= self.n_held_out:
            raise ValueError(
                f"n_texts = {self.n_texts} : les {self.n_held_out} derniers servent à mesurer, il "
                f"en faut au moins {self.n_held_out + 1}."
            )


class Deadline(OneProcess):
    """Le temps accordé à la commande, en minutes : passé ce temps, elle s’arrête proprement."""

    def __init__(self, minutes: float | None = None):
        self.end = math.inf if minutes is None else time.monotonic() + 60 * minutes

    def agree(self, flag: bool) -> bool:
        """Entre deux pas : vrai s’il faut s’arrêter."""
        return flag or time.monotonic() > self.end

    def check(self) -> None:
        """Entre deux mesures : KeyboardInterrupt s’il faut s’arrêter."""
        if self.agree(False):
            raise KeyboardInterrupt("Temps écoulé. Relancez la même commande pour continuer.")


class Exam:
    """Les textes mis de côté, et ce que l’enseignant en pense : ses vecteurs de sortie, gardés.

    Sa tête les change en probabilités à chaque mesure : ils sont 85 fois plus légers qu’elles.
    """

    def __init__(self, teacher: Decoder, tokenizer: Tokenizer, data: AnswerExamples):
        self.teacher, self.tokenizer = teacher, tokenizer
        self.batches = [(inputs, targets, targets != IGNORE) for inputs, targets in data.in_order()]
        with reading(teacher):
            self.advice = [teacher.hidden(inputs)[kept] for inputs, _, kept in self.batches]

    def measure(self, student: Decoder) -> dict[str, float]:
        """Perplexité, KL (nats par jeton) et part des premiers choix communs, sur ces textes ;
        bits par octet des textes anglais du cours, que l’enseignant n’a pas écrits.
        """
        totals, n_tokens = torch.zeros(3, dtype=torch.float64), 0
        with reading(student), reading(self.teacher):
            for (inputs, targets, kept), hidden in zip(self.batches, self.advice, strict=True):
                logits = student.head(student.hidden(inputs)[kept])  # (N, V)
                advice = self.teacher.head(hidden)
                means = (
                    mean_cross_entropy(logits, targets[kept]),
                    forward_kl(logits, advice),
                    (logits.argmax(-1) == advice.argmax(-1)).float().mean(),
                )
                totals += torch.stack(means) * len(logits)
                n_tokens += len(logits)
        loss, kl, agreement = (totals / n_tokens).tolist()
        english = [pair.english for pair in PARALLEL_TEXTS]
        bits = compress(student, self.tokenizer, english, START).bits_per_byte
        names = ("perplexity", "kl", "agreement", "bits_per_byte")
        return dict(zip(names, (math.exp(loss), kl, agreement, bits), strict=True))


def kept_layers(n_layers: int, n_kept: int) -> list[int]:
    """Les étages gardés : les deux premiers, le dernier, et des trous régulièrement espacés.

    Les bouts font un travail à part : les premiers étages mettent les jetons en contexte, le
    dernier prépare la lecture par la tête. Ceux du milieu se ressemblent davantage.
    ValueError si `n_kept` est impossible.
    """
    if not FIRST + LAST <= n_kept <= n_layers:
        raise ValueError(
            f"layers = {n_kept} : sur {n_layers} étages, gardez-en de {FIRST + LAST} à {n_layers}."
        )
    middle, n_dropped = n_layers - FIRST - LAST, n_layers - n_kept
    holes = {FIRST + (2 * i + 1) * middle // (2 * n_dropped) for i in range(n_dropped)}
    return [layer for layer in range(n_layers) if layer not in holes]


def load_teacher() -> tuple[Decoder, Tokenizer, tuple[int, ...]]:
    """SmolLM2, son tokeniseur, et les jetons qui finissent un texte."""
    smollm = load_pretrained(smollm2_path(), CONTEXT_LENGTH)
    smollm.model.requires_grad_(False)
    return smollm.model, smollm.tokenizer, tuple({START, *smollm.eos_ids})


def as_examples(texts: Sequence[WrittenText], protocol: Protocol, seed: int) -> AnswerExamples:
    """Des textes coupés à `row_length` jetons : l’amorce se lit, le reste s’apprend."""
    length = protocol.row_length + 1  # le dernier jeton se prédit, il ne se lit pas
    rows = [(text.prompt, text.new[: max(1, length - len(text.prompt))]) for text in texts]
    return AnswerExamples(rows, protocol.batch_size, seed)


def run_untrained(exam: Exam, n_dropped: int) -> dict:
    """Ce que vaut l’enseignant, privé de `n_dropped` étages."""
    n_layers = len(exam.teacher.blocks)
    layers = kept_layers(n_layers, n_layers - n_dropped)
    student = student_from_teacher(exam.teacher, layers)
    return {"layers": layers, "parameters": count_parameters(student)} | exam.measure(student)


def run_trained(
    exam: Exam,
    lessons: AnswerExamples,
    layers: list[int],
    protocol: Protocol,
    folder: Path,
    clock: Deadline,
) -> dict:
    """L’élève, entraîné sur les probabilités de l’enseignant ; reprend où il en était."""
    student = student_from_teacher(exam.teacher, layers)
    config = TrainingConfig(
        protocol.n_steps,
        protocol.learning_rate,
        seed=lessons.seed,
        eval_every=protocol.eval_every,
        checkpoint_every=protocol.eval_every,
    )
    history = train(
        student,
        lessons,
        config,
        loss=SoftTargetLoss(exam.teacher),
        evaluate=exam.measure,
        checkpoint_dir=folder,
        architecture={"layers": layers},
        workers=clock,
    )
    curve = [{"step": r.step, "loss": r.loss, **r.metrics} for r in history.records if r.metrics]
    size = {"layers": layers, "parameters": count_parameters(student)}
    return size | {"seconds": history.seconds, "curve": curve} | curve[-1]


class Workshop:
    """L’enseignant, le dossier où l’on garde textes et points de reprise, et le temps accordé."""

    def __init__(self, protocol: Protocol, folder: Path, clock: Deadline):
        self.teacher, self.tokenizer, self.stop_ids = load_teacher()
        self.protocol, self.folder, self.clock = protocol, folder, clock
        self.n_layers = len(self.teacher.blocks)
        self.exam = cache(self._exam)  # une fois par graine

    def names(self, n_kept: int | None) -> list[str]:
        """Ce qu’il y a à mesurer ; `n_kept` None : sans entraînement."""
        if n_kept is not None:
            kept_layers(self.n_layers, n_kept)  # ValueError si c’est impossible
        dropped = {n for n in DROPPED if n <= self.n_layers - FIRST - LAST}
        dropped |= set() if n_kept is None else {self.n_layers - n_kept}
        names = [f"sans entraînement {n}" for n in sorted(dropped)]
        return names if n_kept is None else [*names, f"{n_kept} étages"]

    def examples(self, seed: int, start: int, stop: int) -> AnswerExamples:
        """Les textes de l’enseignant, de `start` à `stop` exclu ; ceux qui manquent sont écrits."""
        writing, path = replace(self.protocol.writing, seed=seed), f"textes_{seed}.jsonl"
        wanted, teacher = range(start, stop), (self.teacher, self.tokenizer, self.stop_ids)
        texts = write_texts(self.folder / path, wanted, writing, *teacher, self.clock.check)
        return as_examples([texts[index] for index in wanted], self.protocol, seed)

    def _exam(self, seed: int) -> Exam:
        n_texts, n_held_out = self.protocol.n_texts, self.protocol.n_held_out
        asked = self.examples(seed, n_texts - n_held_out, n_texts)
        return Exam(self.teacher, self.tokenizer, asked)

    def measure(self, name: str, seed: int, protocol: Protocol) -> dict:
        """« sans entraînement 6 » ou « 24 étages » ; s’arrête si le temps est écoulé."""
        exam = self.exam(seed)
        self.clock.check()
        if name.startswith("sans"):
            return run_untrained(exam, int(name.split()[-1]))
        n_kept = int(name.split()[0])
        lessons = self.examples(seed, 0, protocol.n_texts - protocol.n_held_out)
        folder = self.folder / f"eleve_{n_kept}_{seed}"
        layers = kept_layers(self.n_layers, n_kept)
        return run_trained(exam, lessons, layers, protocol, folder, self.clock)


def add_options(parser: FrenchArgumentParser) -> None:
    """L’élève, les textes, le temps et le dossier."""
    add = parser.add_argument
    add("--layers", type=positive_int, default=24, help="étages de l’élève entraîné, sur 30 (24)")
    add("--texts", type=positive_int, help="textes écrits (400)")
    add("--steps", type=positive_int, help="pas d’entraînement (400)")
    add("--no-training", action="store_true", help="mesure sans rien réapprendre, puis s’arrête")
    add("--minutes", type=positive_float, help="temps accordé ; la même commande continue ensuite")
    add("--threads", type=positive_int, default=2, help="fils de calcul (2)")
    add("--work", type=Path, default=WORK, help=f"textes et points de reprise ({WORK})")


def adapt(experiment: Experiment, options: Namespace) -> Experiment:
    """L’expérience au protocole et à l’élève demandés."""
    usual = experiment.settings
    n_texts, n_steps = options.texts or usual.n_texts, options.steps or usual.n_steps
    protocol = replace(usual, n_texts=n_texts, n_steps=n_steps)
    workshop = Workshop(protocol, options.work, Deadline(options.minutes))
    return replace(
        experiment,
        settings=protocol,
        names=workshop.names(None if options.no_training else options.layers),
        measure=workshop.measure,
        n_threads=options.threads,
    )


EXPERIMENT = Experiment(
    "layer_dropping",
    "Retire des étages à SmolLM2, puis le laisse réapprendre de lui-même.",
    Protocol(),
    [*(f"sans entraînement {n}" for n in DROPPED), "24 étages"],
    Workshop.measure,  # celui que `adapt` ouvre
    seeds=[0],
    add_options=add_options,
    adapt=adapt,
)
load_results = EXPERIMENT.load


if __name__ == "__main__":
    raise SystemExit(EXPERIMENT.main())
