"""`python -m course_lib COMMANDE …` : entraîner, écrire, converser, mesurer, exporter."""

import difflib
import importlib
import sys

COMMANDS = {
    "train": "entraîner un modèle sur un texte, ou continuer l’apprentissage d’un autre",
    "write": "lui faire écrire la suite d’un début",
    "chat": "converser avec un modèle d’instruction",
    "evaluate": "mesurer un modèle sur n’importe quel texte, en bits par octet",
    "export": "l’enregistrer pour transformers ou pour llama.cpp (GGUF)",
}
_USAGE = "usage : python -m course_lib COMMANDE [options]\n"


def main(arguments: list[str] | None = None) -> int:
    """Exécute la commande nommée en premier ; 2 si elle n’existe pas."""
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or [""]
    if name in COMMANDS:  # les autres ne sont pas importées : --help reste immédiat
        return importlib.import_module(f"course_lib.commands.{name}").main(rest)
    if name in ("-h", "--help"):
        print(_help())
        return 0
    if not name:
        print(_help(), file=sys.stderr)
        return 2
    close = difflib.get_close_matches(name, COMMANDS, n=1)
    hint = f" Vouliez-vous dire « {close[0]} » ?" if close else ""
    print(
        f"{_USAGE}python -m course_lib : erreur : commande inconnue : « {name} » "
        f"(au choix : {', '.join(COMMANDS)}).{hint}",
        file=sys.stderr,
    )
    return 2


def _help() -> str:
    lines = (f"  {name:10}{what}" for name, what in COMMANDS.items())
    return (
        f"{_USAGE}\nLes commandes du cours, avec votre texte et vos modèles :\n\n"
        + "\n".join(lines)
        + "\n\nLes options d’une commande : python -m course_lib COMMANDE --help"
    )


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8")  # certaines consoles ignorent l’espace fine insécable
    sys.exit(main())
