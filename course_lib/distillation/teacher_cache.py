"""Le cache de l’enseignant : ses log-probabilités, calculées une fois, relues à chaque passage.

Un grand enseignant coûte plus cher que l’élève ; ses réponses, elles, ne changent pas. On les écrit
dans un seul fichier safetensors, en demi-précision :

    rows        (R, 16)     l’empreinte de chaque ligne de données
    offsets     (R + 1,)    la ligne i occupe les positions offsets[i] à offsets[i + 1]
    log_probs   (P, V)      ou (P, K + 1) si l’on ne garde que K jetons par position
    indices     (P, K)      leurs identifiants, du plus probable au moins probable

Avec `top_k`, la dernière colonne est le logarithme de la probabilité de tous les autres jetons
réunis, que l’on partage entre eux à parts égales. L’oublier (et ramener les K à une somme de 1)
interdirait les autres jetons : KL(enseignant ‖ cache) serait infinie, comme la divergence inverse
d’un élève qui en écrit un ; ici elle ne dépasse jamais leur probabilité × log(V − K).
Formes : R lignes, P positions qui ont une cible, V vocabulaire, K jetons gardés.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from course_lib.distillation.progress import teacher_bar
from course_lib.distillation.soft_targets import teacher_logits
from course_lib.distillation.streamed_file import streamed_file
from course_lib.finetuning import weight_fingerprint
from course_lib.training.data import IGNORE
from course_lib.training.devices import learned_rows

KIND = "course_lib teacher cache 1"
KEY_BYTES = 16


def write_teacher_cache(
    path: str | Path,
    teacher: nn.Module,
    source,
    top_k: int | None = None,
    dtype: torch.dtype = torch.float16,
    progress: bool = True,
) -> "TeacherCache":
    """Écrit les réponses de l’enseignant à toutes les lignes de `source.in_order()`, et les ouvre.

    `source` : des lots (entrées, cibles) de lignes séparées (`SequenceBatches`, `AnswerExamples`).
    `top_k` : nombre de jetons gardés par position, tous par défaut. Le fichier n’apparaît qu’une
    fois complet ; s’il existe déjà, du même enseignant et des mêmes données, il est rouvert sans
    rien recalculer. ValueError s’il est d’ailleurs, ou si un réglage est impossible.
    """
    path, vocab_size = Path(path), teacher.embedding.tokens.num_embeddings
    top_k = _check_settings(top_k, dtype, vocab_size)
    if path.exists():
        cache = TeacherCache.open(path, teacher, source)
        _check_same_settings(cache, top_k, dtype)
        return cache
    keys, counts = _read_rows(source)
    offsets = torch.tensor([0, *counts]).cumsum(0)  # (R + 1,)
    n_positions = int(offsets[-1])
    if n_positions == 0:
        raise ValueError("Aucune position n’a de cible dans ces données : rien à demander.")
    n_columns = vocab_size if top_k is None else top_k + 1
    layout = {
        "offsets": (torch.int64, (len(counts) + 1,)),
        "log_probs": (dtype, (n_positions, n_columns)),
        "rows": (torch.uint8, (len(counts), KEY_BYTES)),
    }
    if top_k is not None:
        id_type = torch.int16 if vocab_size <= 2**15 else torch.int32
        layout["indices"] = (id_type, (n_positions, top_k))
    metadata = {
        "kind": KIND,
        "teacher": weight_fingerprint(teacher, skip=""),
        "vocab_size": str(vocab_size),
        "top_k": json.dumps(top_k),
    }
    with (
        streamed_file(path, layout, metadata) as file,
        teacher_bar("Réponses de l’enseignant", n_positions, progress) as bar,
    ):
        file.append("offsets", offsets)
        file.append("rows", torch.frombuffer(bytearray(b"".join(keys)), dtype=torch.uint8))
        for inputs, targets in source.in_order():
            logits = teacher_logits(teacher, inputs, learned_rows(targets)[1])  # (N, V)
            for name, rows in _compress(logits.log_softmax(dim=-1), top_k).items():
                file.append(name, rows)
            bar.update(len(logits))
    return TeacherCache.open(path)


class TeacherCache:
    """Un cache ouvert : on n’en lit que les lignes demandées. Voir `TeacherCache.open`."""

    def __init__(self, path: Path, file, metadata: dict[str, str]):
        self.path, self.teacher = path, metadata["teacher"]
        self.vocab_size, self.top_k = int(metadata["vocab_size"]), json.loads(metadata["top_k"])
        self._file = file
        self._offsets = file.get_tensor("offsets").tolist()
        self.keys = [bytes(key) for key in file.get_tensor("rows").numpy()]
        self.dtype = file.get_slice("log_probs")[:1].dtype

    @classmethod
    def open(
        cls, path: str | Path, teacher: nn.Module | None = None, source=None
    ) -> "TeacherCache":
        """Ouvre un cache, et vérifie qu’il est de cet enseignant et de ces données si on les donne.

        Ni l’ordre des lots ni leur taille ne comptent : seules les lignes sont comparées.
        FileNotFoundError si le fichier manque ; ValueError s’il est tronqué, d’un autre enseignant
        ou d’autres données.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(
                f"Aucun cache à l’adresse « {path} » : écrivez-le avec write_teacher_cache."
            )
        try:
            file = safe_open(path, "pt")
            metadata = file.metadata() or {}
        except SafetensorError as error:
            raise ValueError(
                f"Le cache « {path} » est tronqué ou abîmé ({error}) : effacez-le et écrivez-le à "
                "nouveau."
            ) from None
        if metadata.get("kind") != KIND:
            raise ValueError(
                f"« {path} » n’est pas un cache d’enseignant : choisissez un autre nom."
            )
        cache = cls(path, file, metadata)
        if teacher is not None and weight_fingerprint(teacher, skip="") != cache.teacher:
            raise ValueError(
                f"Le cache « {path} » est celui d’un autre enseignant, ou de celui-ci avant un "
                "entraînement : donnez le bon modèle, ou écrivez un autre fichier."
            )
        if source is not None and _read_rows(source)[0] != cache.keys:
            raise ValueError(
                f"Le cache « {path} » est celui d’autres données ({len(cache.keys)} lignes) : "
                "donnez les mêmes lignes, dans le même ordre, ou écrivez un autre fichier."
            )
        return cache

    def __len__(self) -> int:
        return len(self.keys)

    def log_probs(self, rows: Sequence[int]) -> Tensor:
        """Log-probabilités (N, V), en F32, aux positions à cible de ces lignes, bout à bout.

        La somme des probabilités vaut 1 à l’arrondi de la demi-précision près : les divergences
        renormalisent.
        """
        kept = self._read("log_probs", rows).float()
        if self.top_k is None:
            return kept
        values, rest = kept[:, :-1], kept[:, -1:]  # (N, K), (N, 1)
        share = rest - math.log(self.vocab_size - self.top_k)
        indices = self._read("indices", rows).long()
        return share.repeat(1, self.vocab_size).scatter_(1, indices, values)

    def fingerprint(self) -> dict[str, object]:
        """Ce qui distingue ce cache, pour refuser une reprise avec un autre."""
        return {"teacher": self.teacher, "top_k": self.top_k, "dtype": str(self.dtype)}

    def _read(self, name: str, rows: Sequence[int]) -> Tensor:
        tensor = self._file.get_slice(name)
        return torch.cat([tensor[self._offsets[i] : self._offsets[i + 1]] for i in rows])


def row_keys(inputs: Tensor, targets: Tensor) -> list[bytes]:
    """L’empreinte de chaque ligne d’un lot (B, T), indifférente au remplissage qui la suit."""
    keys = []
    for row, goal in zip(inputs.cpu().numpy(), targets.cpu().numpy(), strict=True):
        kept = np.flatnonzero(goal != IGNORE)
        end = kept[-1] + 1 if len(kept) else 0
        content = np.stack((row[:end], goal[:end])).astype(np.int64).tobytes()
        keys.append(hashlib.blake2b(content, digest_size=KEY_BYTES).digest())
    return keys


def _read_rows(source) -> tuple[list[bytes], list[int]]:
    """Empreinte et nombre de cibles de chaque ligne."""
    keys, counts = [], []
    for inputs, targets in source.in_order():
        keys += row_keys(inputs, targets)
        counts += (targets != IGNORE).sum(dim=1).tolist()
    return keys, counts


def _compress(log_probs: Tensor, top_k: int | None) -> dict[str, Tensor]:
    """Ce qui s’écrit : tout, ou les K plus probables et la masse des autres."""
    if top_k is None:
        return {"log_probs": log_probs}
    values, indices = log_probs.topk(top_k, dim=-1)  # (N, K)
    # Additionnée, et non obtenue par 1 − Σ, elle reste juste même minuscule.
    rest = log_probs.scatter(-1, indices, -math.inf).logsumexp(dim=-1, keepdim=True)  # (N, 1)
    return {"log_probs": torch.cat((values, rest), dim=-1), "indices": indices}


def _check_settings(top_k: int | None, dtype: torch.dtype, vocab_size: int) -> int | None:
    if top_k is not None and (type(top_k) is not int or not 1 <= top_k <= vocab_size):
        raise ValueError(
            f"top_k = {top_k!r} : il faut un entier de 1 à {vocab_size}, la taille du vocabulaire, "
            "ou None pour garder tous les jetons."
        )
    if dtype not in (torch.float16, torch.float32):
        raise ValueError(f"dtype = {dtype} : choisissez torch.float16 ou torch.float32.")
    return None if top_k == vocab_size else top_k


def _check_same_settings(cache: TeacherCache, top_k: int | None, dtype: torch.dtype) -> None:
    if (cache.top_k, cache.dtype) != (top_k, dtype):
        raise ValueError(
            f"Le cache « {cache.path} » existe avec top_k = {cache.top_k} et dtype = {cache.dtype},"
            f" vous demandez {top_k} et {dtype} : choisissez un autre nom, ou effacez-le."
        )
