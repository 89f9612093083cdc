"""`python -m course_lib train --corpus FICHIER` : entraîner un modèle sur son texte."""

import sys
from contextlib import ExitStack
from pathlib import Path

import torch

from course_lib.commands import report
from course_lib.commands.failures import french_warnings, run_command, say
from course_lib.commands.folder_lock import FolderLock
from course_lib.commands.options import (
    check_kind,
    check_options,
    decisive_settings,
    divergence_remedy,
    name_options,
    output_folder,
    parse_options,
    training_config,
)
from course_lib.commands.prepared_text import (
    PreparedText,
    TextSettings,
    check_length,
    default_kind,
    is_prepared,
    prepare_text,
)
from course_lib.commands.run_folder import RunFolder
from course_lib.commands.starting import KEPT, Source, begin, open_source
from course_lib.commands.text_pieces import STREAMED, TextFile
from course_lib.parallel import open_workers
from course_lib.training.interruption import TrainingDiverged
from course_lib.training.loop import train
from course_lib.training.losses import evaluate_loss
from course_lib.typography import format_number


def main(arguments: list[str] | None = None) -> int:
    """Exécute la commande ; renvoie 0, 2 (entrée inutilisable) ou 130 (interrompue)."""
    options = parse_options(arguments)
    with french_warnings():
        return run_command(lambda: _run(options), "Relancez la même commande pour continuer.")


def _run(options) -> None:
    try:
        check_options(options)
        with open_workers(options.parallel, options.device) as workers, ExitStack() as locks:
            _train(options, workers, locks)
    except (ValueError, FloatingPointError) as error:
        if isinstance(error, UnicodeError) or name_options(str(error)) == str(error):
            raise
        raise type(error)(*_renamed(error)) from error


def _renamed(error: Exception) -> tuple:
    """Les arguments de la même erreur, où les réglages portent le nom de leur option."""
    return tuple(name_options(a) if isinstance(a, str) else a for a in error.args)


def _train(options, workers, locks: ExitStack) -> None:
    path = Path(options.corpus).expanduser()
    if workers.is_main and path.is_file() and path.stat().st_size >= STREAMED:
        size = format_number(path.stat().st_size / 1e6, 0)
        say(f"Lecture de « {path} », {size} Mo…")
    source = open_source(options)
    file = TextFile(path, options.encoding)
    check_length(file, options.context_length)
    kind = KEPT if source else options.tokenizer or default_kind(file)
    check_kind(options, kind)
    run = RunFolder(
        output_folder(options),
        decisive_settings(options, kind),
        file.sha256,
        divergence_remedy(options),
    )
    workers.on_main(lambda: _take(run, locks))
    text = _prepare(options, file, kind, source, run, workers)
    config = training_config(options, text.training.tokens_per_step)
    start = begin(options, source, text.tokenizer.vocab_size, kind)
    model = start.model
    torch.set_num_threads(options.threads)
    if workers.is_main:
        report.announce(options, text, model, config, run.path, workers.n_workers)
    try:
        history = train(
            model,
            text.training,
            config,
            evaluate=lambda m: {"validation_loss": evaluate_loss(m, text.validation_sample)},
            checkpoint_dir=run.checkpoints,
            architecture=start.identity,
            progress=sys.stderr.isatty(),
            on_evaluation=report.print_record,
            on_resume=lambda step: _resume(run, step, config.n_steps),
            workers=workers,
        )
    except TrainingDiverged as divergence:
        raise FloatingPointError(_note_divergence(divergence, run, workers)) from divergence
    model = workers.whole_model(model, start.make)
    if workers.is_main:
        loss = report.final_loss(model, text)
        report.save_model(run.path, model, text, history, loss)
        report.report(options, text, model, history, loss, run.path)


def _take(run: RunFolder, locks: ExitStack) -> None:
    """Prend le dossier pour nous seuls, et vérifie qu’il garde bien cet entraînement-ci."""
    run.path.mkdir(parents=True, exist_ok=True)
    locks.enter_context(FolderLock(run.path, f"Ou écrivez ailleurs : {run.elsewhere}."))
    for message in run.claim():
        say(message)


def _prepare(
    options, file: TextFile, kind: str, source: Source | None, run: RunFolder, workers
) -> PreparedText:
    """Le processus principal découpe le texte ; les autres le relisent, de son fichier."""
    digest = source.digest if source else None
    settings = TextSettings(kind, options.vocab_size, options.encoding, digest)
    folder = run.path / "prepared"

    def prepare() -> PreparedText:
        return prepare_text(
            file,
            settings,
            folder,
            options.context_length,
            options.batch_size,
            options.seed,
            progress=workers.is_main and sys.stderr.isatty(),
            tokenizer=source.tokenizer if source else None,
        )

    def first() -> None:
        if file.is_long and not is_prepared(file, settings, folder):
            say("Découpage du texte, une fois pour toutes…")
        prepare()
        for notice in file.notices:  # lues avec le texte
            say(notice)

    workers.on_main(first)
    texts = workers.gather(file.sha256)  # sur une autre machine, le texte est un autre fichier
    if len(set(texts)) > 1:
        raise ValueError(
            f"« {options.corpus} » n’est pas le même texte sur toutes les machines : recopiez-le."
        )
    return prepare()


def _resume(run: RunFolder, step: int, n_steps: int) -> None:
    run.adopt()
    place = f"{report.count(step)} (sur {report.count(n_steps)})"
    if step == n_steps:
        say(f"Entraînement déjà fini, au pas {place} : on refait seulement la mesure finale.")
    else:
        say(f"Reprise au pas {place}.")


def _note_divergence(divergence: TrainingDiverged, run: RunFolder, workers) -> str:
    workers.on_main(lambda: run.note_divergence(divergence.step))
    return (
        f"La perte n’est plus un nombre fini au pas {report.count(divergence.step)} : "
        f"l’entraînement a divergé. {run.remedy} Ce dossier l’accepte : rien n’y sera effacé."
    )


if __name__ == "__main__":
    sys.exit(main())
