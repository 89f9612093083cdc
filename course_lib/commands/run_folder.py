"""Le dossier d’un entraînement : les réglages qui l’ont fait, ses divergences, ce qu’il contient.

Deux entraînements ne se mêlent pas : un dossier qui garde autre chose est refusé, avec l’option à
donner. Rien n’y est effacé.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

from course_lib.files import write_json
from course_lib.typography import format_number

_FILE = "run.json"
_CONTENT = {"settings": dict, "text": str, "divergences": list, "diverged": bool}
# Les options ajoutées depuis, et ce que faisait un dossier qui n’en parle pas.
_ADDED = {"--optimizer": "adamw", "--muon-rate-ratio": 1.0, "--dtype": "float32"}
_WRITTEN = (
    "model.safetensors",
    "tokenizer.json",
    "config.json",
    "generation_config.json",
    "tokenizer_config.json",
    "history.json",
    "history.png",
    "training.json",
)


@dataclass
class RunFolder:
    """`settings` : {option: valeur} de ce qui change le modèle ; `text` : l’empreinte du texte.

    `remedy` : quoi faire si ces réglages divergent.
    """

    path: Path
    settings: dict
    text: str
    remedy: str = ""
    divergences: list[dict] = field(default_factory=list)

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def elsewhere(self) -> str:
        """L’option qui donne un dossier neuf."""
        number = 2
        while (other := self.path.with_name(f"{self.path.name}-{number}")).exists():
            number += 1
        return f"--output {_quoted(other)}"

    def claim(self) -> list[str]:
        """Vérifie que le dossier peut servir et y note les réglages ; rend ce qu’il faut en dire.

        ValueError s’il garde un autre entraînement, ou si celui-ci a déjà divergé.
        """
        stored = self._read()
        if stored is None:
            self._refuse_foreign_files()
            if not any(self.checkpoints.glob("step-*")):
                self._write()  # sinon, `adopt` : le point de reprise sait seul ce qui l’a fait
            return []
        self.divergences = stored["divergences"]
        same_text = stored["text"] == self.text
        for past in self.divergences:
            if _ADDED | past["settings"] == self.settings and past["text"] == self.text:
                raise ValueError(
                    "Avec ces réglages, cet entraînement a déjà divergé, au pas "
                    f"{format_number(past['step'], 0)} : le refaire ne changerait rien. "
                    + self.remedy
                )
        before = _ADDED | stored["settings"]
        changed = [n for n in self.settings if self.settings[n] != before.get(n)]
        if same_text and not changed:
            return []
        if self._has_something() and not stored["diverged"]:
            raise ValueError(self._difference(before, changed, same_text))
        messages = self._set_aside() if stored["diverged"] else []
        self._write()
        return messages

    def adopt(self) -> None:
        """Note les réglages d’un dossier sans `run.json` (ancien), une fois sa reprise acceptée."""
        if not (self.path / _FILE).exists():
            self._write()

    def note_divergence(self, step: int) -> None:
        """Retient que ces réglages divergent : les mêmes seront refusés, d’autres acceptés."""
        self.divergences.append({"settings": self.settings, "text": self.text, "step": step})
        self._write(diverged=True)

    def _has_something(self) -> bool:
        kept = any((self.path / name).exists() for name in _WRITTEN)
        return kept or any(self.checkpoints.glob("step-*"))

    def _set_aside(self) -> list[str]:
        """Range ce que l’entraînement divergé a laissé ; le suivant repart du début."""
        found = [self.checkpoints, *(self.path / name for name in _WRITTEN)]
        found = [path for path in found if path.exists()]
        if not found:
            return ["L’entraînement précédent a divergé : celui-ci repart du début."]
        number = 1
        while (place := self.path / f"divergence-{number}").exists():
            number += 1
        place.mkdir()
        for path in found:
            path.rename(place / path.name)
        return [
            "L’entraînement précédent a divergé : celui-ci repart du début. Ses points de reprise "
            f"sont gardés dans « {place} »."
        ]

    def _difference(self, stored: dict, changed: list[str], same_text: bool) -> str:
        if not same_text:
            return (
                f"Le texte a changé : « {self.path} » garde un entraînement sur un autre texte. "
                f"Redonnez le texte d’avant, ou gardez les deux modèles : ajoutez {self.elsewhere}."
            )
        before = ", ".join(written_option(name, stored.get(name)) for name in changed)
        now = ", ".join(written_option(name, self.settings[name]) for name in changed)
        return (
            f"« {self.path} » garde un entraînement fait avec {before} ; vous demandez {now}. "
            f"Pour le reprendre : {before}. Pour en commencer un autre : {self.elsewhere}."
        )

    def _refuse_foreign_files(self) -> None:
        found = [name for name in _WRITTEN if (self.path / name).exists()]
        if found and not self.checkpoints.is_dir():
            raise ValueError(
                f"« {self.path} » contient déjà « {found[0]} », que cette commande n’a pas "
                f"écrit et qu’elle remplacerait. Choisissez un autre dossier : {self.elsewhere}."
            )

    def _read(self) -> dict | None:
        try:
            content = json.loads((self.path / _FILE).read_text(encoding="utf-8"))
            return {name: _typed(content[name], kind) for name, kind in _CONTENT.items()}
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"« {self.path / _FILE} » est abîmé : on ne sait plus avec quels réglages ce "
                f"dossier a été fait. Choisissez un autre dossier : {self.elsewhere}."
            ) from error

    def _write(self, diverged: bool = False) -> None:
        content = {
            "settings": self.settings,
            "text": self.text,
            "diverged": diverged,
            "divergences": self.divergences,
        }
        write_json(self.path / _FILE, content)


def _typed(value, kind: type):
    """La valeur, ou TypeError ; une divergence passée a ses trois champs, ou KeyError."""
    if not isinstance(value, kind):
        raise TypeError
    if kind is list:
        return [{name: past[name] for name in ("settings", "text", "step")} for past in value]
    return value


def written_option(name: str, value) -> str:
    """« --tokens 4000000 », comme on l’écrit sur la ligne de commande."""
    if value is None:
        return f"sans {name}"
    # Tous les chiffres : recopiée, l’option redonne la même valeur.
    text = repr(value).removesuffix(".0").replace(".", ",") if isinstance(value, float) else value
    return f"{name} {text}"


def _quoted(path: Path) -> str:
    return f'"{path}"' if " " in str(path) else str(path)
