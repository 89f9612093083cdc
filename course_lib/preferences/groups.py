"""Des textes que le modèle vient d’écrire, par groupes, et la note qu’un juge leur donne.

    data = RewardedTexts(modèle, note, débuts, max_new_tokens=120)
    train(modèle, data, config, loss=GRPOLoss(référence, beta=0.02))

La note est une fonction ordinaire : texte en jetons → nombre. C’est elle, et elle seule, que le
modèle apprend à satisfaire.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from course_lib.finetuning.examples import AnswerExamples
from course_lib.generation import SamplingConfig, generate
from course_lib.preferences.policy import group_advantages

Reward = Callable[[Sequence[int], Sequence[int]], float]  # (amorce, suite) → note


class RewardedTexts:
    """Des lots (entrées, cibles, avantages) écrits par le modèle et notés.

    `model` : celui même que l’on donne à `train`, lu tel qu’il est au pas demandé. `reward` reçoit
    les ids de l’amorce et ceux de la suite, jeton de fin compris s’il a été écrit. Un lot compte
    `n_groups` amorces, chacune prolongée `group_size` fois à la température 1. Le lot ne dépend que
    de la graine, du pas et des poids ; `last_rewards` garde les notes du dernier, (G, K).
    ValueError si un réglage est impossible, ou si une note n’est pas un nombre fini.
    """

    def __init__(
        self,
        model: nn.Module,
        reward: Reward,
        prompts: Sequence[Sequence[int]],
        *,
        max_new_tokens: int,
        n_groups: int = 4,
        group_size: int = 8,
        seed: int = 0,
        eos_id: int = 2,
        pad_id: int = 0,
    ):
        if not prompts:
            raise ValueError("Aucune amorce : il en faut au moins une à prolonger.")
        for name, value, least in (("n_groups", n_groups, 1), ("group_size", group_size, 2)):
            if value < least:
                raise ValueError(f"{name} = {value} : il faut au moins {least}.")
        self.model, self.reward = model, reward
        self.prompts = [list(prompt) for prompt in prompts]
        self.max_new_tokens, self.n_groups, self.group_size = max_new_tokens, n_groups, group_size
        self.seed, self.eos_id, self.pad_id = seed, eos_id, pad_id
        self.last_rewards: Tensor | None = None

    def batch(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Le lot du pas, écrit et noté à l’instant."""
        draw = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        chosen = torch.randint(len(self.prompts), (self.n_groups,), generator=draw).tolist()
        prompts = [self.prompts[i] for i in chosen for _ in range(self.group_size)]
        written = generate(
            self.model,
            prompts,
            self.max_new_tokens,
            sampling=SamplingConfig(),
            stop_ids=(self.eos_id,),
            seed=int(torch.randint(2**62, (), generator=draw)),
            when_full="stop",  # un texte doit tenir dans le contexte : il sera relu d’un coup
        )
        texts = [(prompt, text.ids) for prompt, text in zip(prompts, written, strict=True)]
        rewards = torch.tensor([self._note(*text) for text in texts])
        self.last_rewards = rewards.view(self.n_groups, self.group_size)
        advantages = group_advantages(self.last_rewards).flatten()
        examples = AnswerExamples(texts, len(texts), pad_id=self.pad_id)
        return (*next(examples.in_order()), advantages)

    def _note(self, prompt: Sequence[int], ids: Sequence[int]) -> float:
        note = float(self.reward(prompt, ids))
        if not abs(note) < float("inf"):
            raise ValueError(f"Une note vaut {note} : le juge doit rendre un nombre fini.")
        return note

    def in_order(self) -> Iterator[tuple[Tensor, ...]]:
        """ValueError : ces textes n’existent pas avant d’être écrits."""
        raise ValueError("Ces lots s’écrivent au fil de l’entraînement : mesurez autre chose.")

    def fingerprint(self) -> dict[str, object]:
        """Ce qui distingue ces données, le modèle mis à part."""
        return {
            "source": type(self).__name__,
            "reward": getattr(self.reward, "__qualname__", type(self.reward).__name__),
            "prompts": self.prompts,
            "max_new_tokens": self.max_new_tokens,
            "n_groups": self.n_groups,
            "group_size": self.group_size,
            "seed": self.seed,
        }
