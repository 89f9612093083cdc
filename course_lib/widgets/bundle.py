"""Réunit en un seul texte un module JavaScript et ceux qu’il importe.

Sur le site, le navigateur suit les `import` relatifs. Dans un cahier, anywidget n’envoie qu’un
texte, sans adresse d’où partir : chaque module devient alors une fonction qui rend ses exports.
"""

import re
from pathlib import Path

_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./([\w.]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const)\*? (\w+))", re.MULTILINE)
_DEFAULT = re.compile(r"^export default ", re.MULTILINE)


def bundle(entry: Path) -> str:
    """Rend le module `entry` sans import, prêt pour anywidget ; il garde son export par défaut.

    Les modules écrivent `import { a, b } from "./x.js";` et exportent à la déclaration ; toute
    autre forme lève ValueError, de même qu’un cycle. FileNotFoundError si un module manque.
    """
    done: dict[Path, str] = {}
    _collect(entry.resolve(), done, ())
    return "\n".join(done.values()) + f"\nexport default {_name(entry)}.default_;\n"


def _name(path: Path) -> str:
    return f"module_{path.stem}"


def _collect(path: Path, done: dict[Path, str], parents: tuple[Path, ...]) -> None:
    """Range dans `done` les dépendances de `path`, puis `path` lui-même."""
    if path in parents:
        cycle = " → ".join(one.name for one in [*parents, path])
        raise ValueError(f"Les modules s’importent en rond : {cycle}. Séparez ce qu’ils partagent.")
    if path in done:
        return
    if not path.is_file():
        importer = f", importé par « {parents[-1].name} »" if parents else ""
        raise FileNotFoundError(
            f"Le module « {path.name} »{importer} n’existe pas dans le dossier."
        )
    source = path.read_text(encoding="utf-8")
    for _, imported in _IMPORT.findall(source):
        _collect(path.parent / imported, done, (*parents, path))
    done[path] = _wrap(path, source)


def _wrap(path: Path, source: str) -> str:
    """Change un module en une constante : `const module_x = (() => { …; return {…}; })();`."""
    source = _IMPORT.sub(lambda m: f"const {{{m[1]}}} = {_name(Path(m[2]))};\n", source)
    names = [match[1] for match in _EXPORT.finditer(source)]
    source, has_default = _DEFAULT.subn("const default_ = ", _EXPORT.sub("", source))
    left = re.search(r"^(?:import|export)\b.*", source, re.MULTILINE)
    if left:
        raise ValueError(
            f"« {path.name} » emploie une forme que bundle() ne connaît pas : « {left[0]} ». "
            'Écrivez « import { a } from "./x.js"; » et « export function … ».'
        )
    exports = ", ".join([*names, "default_"] if has_default else names)
    return f"const {_name(path)} = (() => {{\n{source}\nreturn {{ {exports} }};\n}})();"
