"""La boucle d’entraînement, une pour tous les modèles du cours.

lot du pas → perte → gradients → écrêtage → optimiseur → (relevé · évaluation · point de reprise)
"""

import math
import time
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from functools import partial

import torch
from torch import nn
from tqdm.auto import tqdm

from course_lib.training.checkpoint import (
    CheckpointStore,
    named_tensors,
    optimizer_tensors,
    restore,
)
from course_lib.training.compilation import compiled_blocks, uncompiled
from course_lib.training.data import BatchSource
from course_lib.training.devices import (
    autocast,
    device_of,
    find_device,
    split,
    to_device,
)
from course_lib.training.history import History, Record
from course_lib.training.identity import run_identity
from course_lib.training.interruption import (
    DeferredInterrupt,
    TrainingDiverged,
    TrainingInterrupted,
)
from course_lib.training.losses import Loss, check_some_targets, language_model_loss
from course_lib.training.optimization import TrainingConfig, learning_rate_at
from course_lib.training.randomness import (
    deterministic,
    forked_generators,
    restore_states,
    seed_generators,
    written_states,
)
from course_lib.training.workers import OneProcess
from course_lib.transformer.modes import evaluating
from course_lib.typography import format_number


def train(
    model: nn.Module,
    data: BatchSource,
    config: TrainingConfig,
    *,
    loss: Loss = language_model_loss,
    evaluate: Callable[[nn.Module], dict[str, float]] | None = None,
    checkpoint_dir=None,
    architecture=None,
    progress: bool = True,
    on_evaluation: Callable[[Record], None] | None = None,
    on_resume: Callable[[int], None] | None = None,
    workers: OneProcess | None = None,
    stop_at: int | None = None,
) -> History:
    """Entraîne `model` sur `data` et renvoie le journal ; le modèle finit en mode évaluation.

    `evaluate(model)` renvoie un dictionnaire de mesures, relevées tous les `eval_every` pas et à la
    fin. Avec `checkpoint_dir`, l’entraînement reprend de lui-même là où il s’était arrêté : mêmes
    poids, au bit près, que sans interruption. `architecture` (dataclass ou dictionnaire) est
    comparée à celle du point de reprise, comme la perte et ses réglages ; `on_resume(pas)` est
    appelée s’il y en a un. `workers` (voir `course_lib.parallel`) répartit le travail entre
    plusieurs processus. Avec `stop_at`, on ne fait que les premiers pas : ceux, au bit près, de
    l’entraînement entier. Un lot sans cible ne change rien. Le modèle, entraîné sur
    `config.device`, y reste. ValueError si le point de reprise est d’un autre entraînement, si
    aucun lot n’a de cible ou si l’appareil manque, TrainingDiverged (une FloatingPointError)
    si la perte ou une mesure nommée « … loss » n’est plus un nombre fini, TrainingInterrupted (un
    KeyboardInterrupt) après Ctrl-C, une fois le point de reprise écrit.
    """
    workers = workers or OneProcess()
    if config.device is not None:
        model.to(find_device(config.device))
    seed = workers.seed(config.seed)
    with _reproducible(config, device_of(model), seed), ExitStack() as compiled:
        run = _Run(model, data, config, loss, evaluate, on_evaluation, workers, stop_at)
        if checkpoint_dir is not None:
            run.attach(CheckpointStore(checkpoint_dir), architecture)
            if run.step and on_resume is not None and workers.is_main:
                on_resume(run.step)
        if config.compile:
            compiled.enter_context(compiled_blocks(model))
        model.train()
        with (
            _progress_bar(run, progress and workers.is_main) as bar,
            DeferredInterrupt() as interrupt,
        ):
            while run.step < run.stop:
                run.advance()
                run.observe(bar)
                if workers.agree(interrupt.requested):
                    run.save_before_stopping()
                    raise TrainingInterrupted(run.step, checkpoint_dir, run.history)
    model.eval()
    return run.history


class _Run:
    """L’état d’un entraînement en cours."""

    def __init__(self, model, data, config, loss, evaluate, on_evaluation, workers, stop_at):
        self.model, self.data, self.config, self.loss = model, data, config, loss
        self.evaluate, self.on_evaluation, self.workers = evaluate, on_evaluation, workers
        self.device = device_of(model)
        workers.prepare(model)
        self.optimizer = workers.build_optimizer(model, config)
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.step, self.tokens, self.history = 0, 0, History()
        self.stop = min(config.n_steps, stop_at or config.n_steps)
        self.store, self.identity, self._saved_step = None, {}, None
        self._losses, self._weights = [], []
        self._clock = time.perf_counter()

    def attach(self, store: CheckpointStore, architecture) -> None:
        """Relie l’entraînement à son dossier et restaure le dernier point de reprise."""
        self.store, workers = store, self.workers
        self.identity = run_identity(self.model, self.data, self.config, architecture, self.loss)
        latest = workers.on_main(lambda: store.read_latest(self.identity))
        if latest is not None:
            state, weights, moments = latest
            restore(self.model, self.optimizer, weights, moments, workers.place)
            self.step, self.tokens = state["step"], state["tokens"]
            self.history = History.from_json(state["history"])
            draws = state["rng"].split()
            if workers.rank < len(draws):  # un processus venu en renfort garde sa propre graine
                restore_states(self.device, draws[workers.rank])

    def advance(self) -> None:
        """Un pas : la perte n’est lue qu’au relevé, pour ne pas attendre le calcul à chaque pas."""
        rate = learning_rate_at(self.config, self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get("rate_ratio", 1.0)  # Muon peut avoir le sien
        self.optimizer.zero_grad(set_to_none=True)
        batch = self.workers.batch(self.data, self.step)
        parts = [partial(self._share, part) for part in split(batch, self.config.accumulate)]
        loss, n_tokens = self.workers.backward(parts, self.parameters)
        if n_tokens:  # un lot sans aucune cible ne change pas les poids
            self.workers.clip(self.parameters, self.config.max_grad_norm)
            self.optimizer.step()
        self._losses.append(loss)
        self._weights.append(n_tokens)
        self.step, self.tokens = self.step + 1, self.tokens + n_tokens

    def _share(self, part: tuple) -> tuple[torch.Tensor, int]:
        """La perte d’un morceau du lot, sur l’appareil du modèle."""
        with autocast(self.device, self.config.dtype):
            return self.loss(self.model, to_device(part, self.model))

    def observe(self, bar) -> None:
        """Ce qui se fait entre deux pas : relevé, évaluation, point de reprise."""
        last = self.step == self.stop
        evaluating = last or _due(self.step, self.config.eval_every)
        saving = last or _due(self.step, self.config.checkpoint_every)
        if evaluating or saving or _due(self.step, self.config.log_every):
            self._record(evaluating)
            bar.set_postfix_str(self._summary(), refresh=False)
        bar.update()
        if saving and self.store is not None:
            self._save()

    def save_before_stopping(self) -> None:
        """Relève et enregistre le pas qui vient de finir, s’il ne l’est pas déjà."""
        if self._losses:
            self._record(evaluating=False)
        if self.store is not None and self._saved_step != self.step:
            self._save()

    def _record(self, evaluating: bool) -> None:
        mean = self._mean_loss()
        self._losses, self._weights = [], []
        if mean is None:  # rien n’a encore été appris : on attend la première cible
            return
        metrics = self._measure() if evaluating and self.evaluate is not None else {}
        if any(name.endswith("loss") and not math.isfinite(v) for name, v in metrics.items()):
            raise TrainingDiverged(self.step, self._divergence(self.step))  # avant d’enregistrer
        rate = learning_rate_at(self.config, self.step - 1)
        record = Record(self.step, self.tokens, mean, rate, metrics)
        self.history.records.append(record)
        now = time.perf_counter()
        self.history.seconds, self._clock = self.history.seconds + now - self._clock, now
        if metrics and self.on_evaluation is not None and self.workers.is_main:
            self.on_evaluation(record)

    def _mean_loss(self) -> float | None:
        """La perte moyenne depuis le relevé précédent ; la sienne, si nul lot n’a eu de cible.

        None si aucun n’en a eu depuis le départ ; ValueError s’il ne reste plus de pas.
        """
        losses, weights = torch.stack(self._losses).cpu().double(), torch.tensor(self._weights)
        losses = losses.where(weights > 0, 0.0)
        if not weights.any():
            if self.step == self.stop:
                check_some_targets(self.tokens)
            return self.history.records[-1].loss if self.history.records else None
        mean = float((losses * weights).sum() / weights.sum())
        if not math.isfinite(mean):
            first = self.step - len(losses) + 1 + int((~losses.isfinite()).nonzero()[0])
            raise TrainingDiverged(first, self._divergence(first))
        return mean

    def _measure(self) -> dict[str, float]:
        """Évalue sans rien déranger : ni les tirages du dropout, ni le chronomètre."""
        start = time.perf_counter()
        with (
            evaluating(self.model),
            forked_generators(self.device),
            uncompiled(self.config.compile),
            torch.no_grad(),
        ):
            metrics = {name: float(value) for name, value in self.evaluate(self.model).items()}
        self._clock += time.perf_counter() - start
        return metrics

    def _divergence(self, step: int) -> str:
        kept = ""
        if self.store is not None and self.store.steps():
            kept = (
                f" Le point de reprise du pas {self.store.steps()[-1]} est intact ; d’autres "
                f"réglages demandent un autre dossier que « {self.store.folder} »."
            )
        return (
            f"La perte n’est plus un nombre fini au pas {step} : l’entraînement a divergé. "
            f"Réduisez learning_rate (ici {self.config.learning_rate:g}) "
            f"ou allongez warmup_steps (ici {self.config.warmup_steps}).{kept}"
        )

    def _save(self) -> None:
        """Chacun apporte ses morceaux et l’état de son hasard ; un seul processus écrit."""
        workers, self._saved_step = self.workers, self.step
        draw = written_states(self.device)
        state = {
            "tokens": self.tokens,
            "rng": " ".join(workers.gather(draw)),
            "identity": self.identity,
            "schedule": {"next_learning_rate": learning_rate_at(self.config, self.step)},
            "history": self.history.to_json(),
        }
        weights, moments = (
            {name: workers.whole(tensor) for name, tensor in tensors.items()}
            for tensors in (
                named_tensors(self.model),
                optimizer_tensors(self.model, self.optimizer),
            )
        )
        if workers.is_main:
            self.store.save(self.step, weights, moments, state)

    def _summary(self) -> str:
        if not self.history.records:
            return "aucune cible pour l’instant"
        loss = format_number(self.history.records[-1].loss, 3)
        return f"perte {loss}, {format_number(self.history.tokens_per_second, 0)} jetons/s"


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


@contextmanager
def _reproducible(config: TrainingConfig, device: torch.device, seed: int):
    """Graine et fils de calcul de l’entraînement, rendus à leur état d’avant en sortant."""
    before = torch.get_num_threads()
    with forked_generators(device), deterministic(device):
        seed_generators(device, seed)
        torch.set_num_threads(config.n_threads or before)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def _progress_bar(run: _Run, enabled: bool):
    return tqdm(
        total=run.stop,
        initial=run.step,
        desc="Entraînement",
        disable=not enabled,
        leave=False,
        mininterval=0.5,
        bar_format="{desc} {percentage:3.0f} % |{bar}| pas {n_fmt}/{total_fmt}, "
        "{elapsed} passé, {remaining} restant{postfix}",
    )
