"""AdamW ou Muon : le même petit modèle, le même texte, et ce que chacun en a appris.

    python -m course_experiments.optimizers --corpus moliere.txt          ce que le cours livre
    python -m course_experiments.optimizers --corpus moliere.txt --millions 15 --seeds 0

Le modèle est celui que `python -m course_lib train` entraîne par défaut, lettre par lettre, sur un
recueil de Molière ; les derniers 10 % du texte sont réservés, et la perte y est mesurée. Le texte
n’est pas livré : on en donne le fichier, dont l’empreinte est dans le relevé. Le taux d’AdamW est
celui de la commande ; celui de Muon a été choisi entre deux, à la graine 0 et à un million de
caractères, sur cette même partie réservée. Les mesures vont dans `results/optimizers.json` ; une
commande interrompue reprend où elle en était.
"""

import time
from argparse import Namespace
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import partial

from course_experiments.experiment import Experiment
from course_lib.arguments import FrenchArgumentParser
from course_lib.commands.characters import array_encoder, train_characters
from course_lib.commands.prepared_text import VALIDATION_SHARE
from course_lib.commands.text_pieces import TextFile
from course_lib.training import TokenStream, TrainingConfig, evaluate_loss, train
from course_lib.transformer import LlamaConfig, count_parameters, llama

MOLIERE = "9589b888061b947f572349272728147e6de1c34887a1298c92563e7cb1f10d28"
MILLION = 1_000_000


@dataclass(frozen=True)
class Plan:
    """Ce que toutes les mesures partagent ; `text` : l’empreinte SHA-256 du texte lu.

    `max_warmup` : la montée du taux dure un dixième des pas, et pas plus. `eval_every` : caractères
    lus entre deux mesures de la perte réservée ; la dernière est à la fin.
    """

    text: str = MOLIERE
    context_length: int = 128
    batch_size: int = 8
    n_layers: int = 3
    d_model: int = 128
    n_heads: int = 8
    d_ff: int = 352
    max_warmup: int = 200
    eval_every: int = MILLION


@dataclass(frozen=True)
class Learner:
    """Un optimiseur et ses réglages ; `rate` : le taux d’AdamW, `ratio` : ce que Muon en fait."""

    optimizer: str
    rate: float
    ratio: float = 1.0
    weight_decay: float = 0.1
    dropout: float = 0.0


LEARNERS = {"muon": Learner("muon", 4e-3, 2.0), "adamw": Learner("adamw", 4e-3)}
BUDGETS = (1, 4, 15)  # millions de caractères lus ; le relevé livré a le premier


@dataclass(frozen=True)
class Corpus:
    """Un texte numéroté lettre par lettre : la partie apprise, et celle qui est réservée."""

    vocab_size: int
    training: TokenStream
    held_out: TokenStream


def read_corpus(file: TextFile, plan: Plan, seed: int) -> Corpus:
    """Le texte tel que la commande d’entraînement le prépare ; les derniers 10 % sont réservés."""
    text = "".join(file.pieces())
    tokenizer = train_characters([text])
    ids = array_encoder(tokenizer)(text)
    cut = round(len(ids) * (1 - VALIDATION_SHARE))
    length, size = plan.context_length, plan.batch_size
    # Le dernier caractère appris sert de contexte au premier des réservés.
    return Corpus(
        tokenizer.vocab_size,
        TokenStream(ids[:cut], length, size, seed),
        TokenStream(ids[cut - 1 :], length, 4 * size),
    )


def learn(learner: Learner, n_tokens: int, corpus: Corpus, seed: int, plan: Plan) -> dict:
    """Un entraînement : perte réservée, perte apprise à la fin, temps de calcul, courbe."""
    shape = LlamaConfig(
        corpus.vocab_size,
        plan.context_length,
        plan.d_model,
        plan.n_layers,
        plan.n_heads,
        d_ff=plan.d_ff,
        dropout=learner.dropout,
    )
    model = llama(shape, seed)
    per_step = corpus.training.tokens_per_step
    n_steps = -(-n_tokens // per_step)
    config = TrainingConfig(
        n_steps,
        learner.rate,
        warmup_steps=min(plan.max_warmup, n_steps // 10),
        weight_decay=learner.weight_decay,
        log_every=-(-n_steps // 16),
        eval_every=-(-plan.eval_every // per_step),
        seed=seed,
        n_threads=1,
        optimizer=learner.optimizer,
        muon_rate_ratio=learner.ratio,
    )
    start = time.process_time()
    history = train(
        model,
        corpus.training,
        config,
        evaluate=lambda trained: {"validation_loss": evaluate_loss(trained, corpus.held_out)},
    )
    last = history.records[-1]
    return {
        "learner": asdict(learner),
        "parameters": count_parameters(model),
        "steps": n_steps,
        "tokens": last.tokens,
        "validation_loss": last.metrics["validation_loss"],
        "training_loss": last.loss,
        "cpu_seconds": round(time.process_time() - start),  # les évaluations comprises
        "curve": [
            {"tokens": record.tokens, "training_loss": record.loss, **record.metrics}
            for record in history.records
            if record.metrics
        ],
    }


def learner_of(name: str) -> tuple[Learner, int]:
    """Le réglage d’un nom du relevé, et les caractères à lire : « muon 4 M »."""
    kind, millions, _ = name.split()
    return LEARNERS[kind], int(millions) * MILLION


def measure(file: TextFile, name: str, seed: int, plan: Plan) -> dict:
    """Une mesure : un réglage, un nombre de caractères lus, une graine."""
    learner, n_tokens = learner_of(name)
    return learn(learner, n_tokens, read_corpus(file, plan, seed), seed, plan)


def run_names(budgets: Iterable[int]) -> list[str]:
    """« muon 1 M », « adamw 1 M »…"""
    return [f"{learner} {budget} M" for budget in budgets for learner in LEARNERS]


def add_options(parser: FrenchArgumentParser) -> None:
    """Le texte et les budgets."""
    add = parser.add_argument
    add("--corpus", required=True, metavar="FICHIER", help="le texte à apprendre")
    usual, help_text = list(BUDGETS[:1]), f"millions de caractères lus ({BUDGETS[0]})"
    add("--millions", type=int, nargs="+", choices=BUDGETS, default=usual, help=help_text)


def adapt(experiment: Experiment, options: Namespace) -> Experiment:
    """L’expérience sur ce texte, aux budgets demandés."""
    file = TextFile(options.corpus)
    return replace(
        experiment,
        settings=replace(experiment.settings, text=file.sha256),
        names=run_names(options.millions),
        measure=partial(measure, file),
    )


EXPERIMENT = Experiment(
    "optimizers",
    "Compare AdamW et Muon sur un texte, à plusieurs budgets de lecture.",
    Plan(),
    run_names(BUDGETS[:1]),
    measure,  # celle du texte qu’`adapt` ouvre
    add_options=add_options,
    adapt=adapt,
)
load_results = EXPERIMENT.load


if __name__ == "__main__":
    raise SystemExit(EXPERIMENT.main())
