"""Distiller sur ses propres textes : l’élève écrit, l’enseignant juge chaque mot.

Un élève qui n’a lu que de bons textes ne sait pas quoi faire après sa première erreur, et il en
fait. Ici, à chaque pas, il écrit lui-même le lot ; l’enseignant dit, à chaque position, ce qu’il
aurait écrit. Rien de neuf dans la boucle : ces lots vont avec la perte habituelle.

    data = OnPolicyBatches(élève, histoires, fraction=0.5, max_new_tokens=100)
    loss = SoftTargetLoss(enseignant, divergence="reverse")
    train(élève, data, config, loss=loss)

Le gradient ne traverse pas le tirage des mots : l’élève améliore ses réponses à ce qu’il a écrit,
il n’apprend pas à écrire des débuts plus faciles. Source : Agarwal et al. 2024 (GKD), algorithme 1.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from course_lib.finetuning import AnswerExamples
from course_lib.generation import SamplingConfig, generate


class OnPolicyBatches:
    """Des lots (entrées, cibles), (B, T), écrits par l’élève ou tirés d’une source.

    `student` : le modèle même que l’on donne à `train`, lu tel qu’il est au pas demandé.
    `fraction` : probabilité qu’un lot soit de lui ; sinon, il vient de `source`.
    `prompts` : les amorces qu’il prolonge, tirées au sort ; par défaut, le seul jeton de début.
    Les cibles valent −100 sur l’amorce : seuls comptent les jetons écrits. Gardez alpha = 1 dans
    `SoftTargetLoss` : ces cibles-là ne sont pas de vrais jetons.
    Le lot ne dépend que de la graine, du pas et des poids de l’élève. ValueError si un réglage est
    impossible.
    """

    def __init__(
        self,
        student: nn.Module,
        source=None,
        *,
        max_new_tokens: int,
        fraction: float = 1.0,
        batch_size: int = 8,
        prompts: Sequence[Sequence[int]] | None = None,
        temperature: float = 1.0,
        seed: int = 0,
        bos_id: int = 1,
        eos_id: int = 2,
        pad_id: int = 0,
    ):
        if not 0.0 <= fraction <= 1.0:
            raise ValueError(
                f"fraction = {fraction} : c’est la probabilité qu’un lot soit de l’élève, dans "
                "[0, 1]."
            )
        if fraction < 1.0 and source is None:
            raise ValueError(
                f"fraction = {fraction} : d’où viennent les autres lots ? Donnez source, ou "
                "laissez fraction = 1."
            )
        if batch_size < 1:
            raise ValueError(f"batch_size = {batch_size} : il faut au moins un texte par pas.")
        self.student, self.source, self.fraction = student, source, fraction
        self.prompts = [list(prompt) for prompt in (prompts or [[bos_id]])]
        self.max_new_tokens, self.batch_size = max_new_tokens, batch_size
        self.sampling = SamplingConfig(temperature)
        self.seed, self.eos_id, self.pad_id = seed, eos_id, pad_id

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Le lot du pas, écrit à l’instant par l’élève ou tiré de la source."""
        draw = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        if torch.rand((), generator=draw) >= self.fraction:
            return self.source.batch(step)
        chosen = torch.randint(len(self.prompts), (self.batch_size,), generator=draw).tolist()
        writing_seed = int(torch.randint(2**62, (), generator=draw))
        return self._write([self.prompts[i] for i in chosen], writing_seed)

    def in_order(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Les lots de la source, dans l’ordre : c’est sur eux que l’on évalue."""
        if self.source is None:
            raise ValueError("Ces lots n’ont pas de source : évaluez sur d’autres données.")
        return self.source.in_order()

    def fingerprint(self) -> dict[str, object]:
        """Ce qui distingue ces données, l’élève mis à part."""
        return {
            "on_policy": self.fraction,
            "prompts": self.prompts,
            "max_new_tokens": self.max_new_tokens,
            "temperature": self.sampling.temperature,
            "batch": self.batch_size,
            "seed": self.seed,
            "source": None if self.source is None else self.source.fingerprint(),
        }

    def _write(self, prompts: list[list[int]], seed: int) -> tuple[Tensor, Tensor]:
        written = generate(
            self.student,
            prompts,
            self.max_new_tokens,
            sampling=self.sampling,
            stop_ids=(self.eos_id,),
            seed=seed,
            when_full="stop",  # un texte doit tenir dans le contexte : il sera relu d’un coup
        )
        pairs = [(prompt, text.ids) for prompt, text in zip(prompts, written, strict=True)]
        return next(AnswerExamples(pairs, len(pairs), pad_id=self.pad_id).in_order())
