"""Le journal d’un entraînement : ce qui a été mesuré à chaque relevé, en JSON et en figure."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from course_lib.files import write_json
from course_lib.typography import format_number


@dataclass(frozen=True)
class Record:
    """Un relevé : pas faits, jetons vus, perte moyenne depuis le relevé précédent (nats)."""

    step: int
    tokens: int
    loss: float
    learning_rate: float
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass
class History:
    """Les relevés d’un entraînement, dans l’ordre, et sa durée `seconds`, reprises comprises.

    Deux journaux sont égaux quand leurs relevés le sont : la durée ne compte pas.
    """

    records: list[Record] = field(default_factory=list)
    seconds: float = field(default=0.0, compare=False)

    @property
    def tokens_per_second(self) -> float:
        return self.records[-1].tokens / self.seconds if self.records and self.seconds else 0.0

    def curve(self, name: str = "loss") -> tuple[list[int], list[float]]:
        """(jetons vus, valeurs) de la perte d’entraînement ou d’une mesure d’évaluation.

        ValueError si aucun relevé ne porte ce nom.
        """
        if name == "loss":
            points = [(r.tokens, r.loss) for r in self.records]
        else:
            points = [(r.tokens, r.metrics[name]) for r in self.records if name in r.metrics]
        if not points:
            known = ", ".join(["loss", *self.metric_names()])
            raise ValueError(f"Aucun relevé ne porte « {name} ». Mesures connues : {known}.")
        tokens, values = zip(*points, strict=True)
        return list(tokens), list(values)

    def metric_names(self) -> list[str]:
        return sorted({name for record in self.records for name in record.metrics})

    def to_json(self) -> dict:
        return {"seconds": self.seconds, "records": [asdict(record) for record in self.records]}

    @classmethod
    def from_json(cls, content: dict) -> "History":
        return cls([Record(**record) for record in content["records"]], content["seconds"])

    def save(self, path) -> None:
        """Écrit le journal en JSON ; le fichier n’apparaît qu’une fois complet."""
        write_json(path, self.to_json())

    @classmethod
    def load(cls, path) -> "History":
        """Relit un journal. FileNotFoundError s’il manque, ValueError s’il est d’autre chose."""
        if not Path(path).is_file():
            raise FileNotFoundError(f"Journal introuvable : « {path} ». Vérifiez le chemin.")
        try:
            return cls.from_json(json.loads(Path(path).read_text(encoding="utf-8")))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"« {path} » n’est pas le journal d’un entraînement. Donnez un fichier qu’a écrit "
                "History.save."
            ) from error

    def plot(self, ax=None):
        """Trace la perte d’entraînement et les mesures en nats (« … loss ») ; renvoie les axes."""
        if ax is None:
            import matplotlib.pyplot as plt  # importé ici : entraîner ne demande pas de dessiner

            _, ax = plt.subplots(figsize=(7, 4), layout="constrained")
        tokens, losses = self.curve()
        ax.plot(tokens, losses, color="#9aa5b1", linewidth=1, label="entraînement")
        for name in self.metric_names():
            if name.endswith("loss"):
                label = "validation" if name == "validation_loss" else name
                ax.plot(*self.curve(name), marker="o", markersize=4, label=label)
        ax.set_xlabel("jetons vus")
        ax.set_ylabel("perte (nats par jeton)")
        ax.xaxis.set_major_formatter(lambda value, _: format_number(value, 0))
        ax.yaxis.set_major_formatter(lambda value, _: format_number(value, 2))
        ax.grid(alpha=0.3)
        ax.legend(frameon=False)
        return ax
