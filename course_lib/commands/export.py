"""`python -m course_lib export MODÈLE SORTIE` : un dossier transformers, ou un fichier GGUF."""

import sys
from pathlib import Path

from course_lib.arguments import FrenchArgumentParser
from course_lib.commands.failures import french_warnings, run_command, say
from course_lib.commands.opening import MODEL_HELP, next_command, open_model
from course_lib.pretrained.folders.keeping import DTYPES
from course_lib.pretrained.saving import FILE_TYPES, save_folder, save_gguf

_GGUF = {"float32": "F32", "float16": "F16", "q8_0": "Q8_0"}
assert set(_GGUF.values()) == set(FILE_TYPES)


def build_parser() -> FrenchArgumentParser:
    """Les options de la commande."""
    parser = FrenchArgumentParser(
        prog="python -m course_lib export",
        description="Enregistre un modèle pour les outils des autres. Une sortie en .gguf va à "
        "llama.cpp ; toute autre est un dossier, que lit transformers.",
    )
    parser.add_argument("model", metavar="MODÈLE", help=MODEL_HELP)
    parser.add_argument(
        "output", metavar="SORTIE", help="le fichier .gguf, ou le dossier, à écrire"
    )
    parser.add_argument(
        "--precision",
        choices=(*DTYPES, "q8_0"),
        help="celle des poids (défaut : float32 dans un dossier, float16 dans un GGUF)",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="remplace un dossier, avec tout son contenu"
    )
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Exécute la commande ; renvoie 0, 2 (entrée inutilisable) ou 130 (interrompue)."""
    options = build_parser().parse_args(arguments)
    with french_warnings():
        return run_command(lambda: _run(options))


def _run(options) -> None:
    output = Path(options.output).expanduser()
    is_gguf = output.suffix.lower() == ".gguf"
    precision = options.precision or ("float16" if is_gguf else "float32")
    if precision not in (_GGUF if is_gguf else DTYPES):
        kind, known = ("un GGUF", _GGUF) if is_gguf else ("un dossier", DTYPES)
        raise ValueError(
            f"--precision {precision} n’existe pas dans {kind} : choisissez {', '.join(known)}."
        )
    loaded = open_model(options.model, "cpu")
    if is_gguf:
        save_gguf(loaded.model, loaded.tokenizer, output, _GGUF[precision])
        size = output.stat().st_size
        after = f"llama-cli -m {output} -no-cnv -p « Il était une fois »"
    else:
        _save_folder(loaded, output, precision, options.overwrite)
        size = sum(path.stat().st_size for path in output.iterdir())
        after = f"AutoModelForCausalLM.from_pretrained({str(output)!r}) dans transformers"
    say(f"« {output} » est écrit ({size / 1e6:.1f} Mo, {precision}).".replace(".", ",", 1))
    say(f"Pour le lire ailleurs : {after}\nIci : {next_command('write', str(output))}")


def _save_folder(loaded, output: Path, precision: str, overwrite: bool) -> None:
    try:
        save_folder(loaded.model, loaded.tokenizer, output, dtype=precision, overwrite=overwrite)
    except FileExistsError as error:
        message = str(error).replace("overwrite=True", "--overwrite")
        raise FileExistsError(message) from error


if __name__ == "__main__":
    sys.exit(main())
