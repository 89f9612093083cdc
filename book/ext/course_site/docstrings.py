"""Lit la bibliothèque sans l’exécuter : pièces, noms publics, signatures et docstrings."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

WIDTH = 76  # au-delà, un argument par ligne


@dataclass(frozen=True)
class Entry:
    """Un nom public : sa signature, son texte, le fichier qui le définit, ses méthodes."""

    name: str
    signature: str
    text: str
    path: Path
    members: tuple["Entry", ...] = field(default=())


@dataclass(frozen=True)
class Room:
    """Une pièce de la bibliothèque : un module, ou un paquet."""

    name: str
    text: str
    entries: tuple[Entry, ...]
    constants: tuple[str, ...]
    paths: tuple[Path, ...]


def read_room(library: Path, name: str) -> Room:
    """La pièce `name` de `library` : ce qu’annonce son `__all__`, ou tout ce qui y est public.

    FileNotFoundError si elle n’existe pas, ValueError si un nom annoncé n’est défini nulle part.
    """
    folder = library / name
    path = folder / "__init__.py" if folder.is_dir() else library / f"{name}.py"
    tree = _parse(path)
    announced = _announced(tree)
    if announced is None:
        files = sorted(folder.glob("[a-z]*.py")) if folder.is_dir() else [path]
        found = [
            _entry(node, file, f"{file.stem}." if folder.is_dir() else "")
            for file in files
            for node in _public(_parse(file).body)
        ]
        return Room(name, ast.get_docstring(tree), tuple(found), (), (path, *files))
    found, constants = [], []
    for public in announced:
        node, file = _find(library, path, public)
        if node is None:
            constants.append(public)
        else:
            found.append(_entry(node, file))
    paths = (path, *dict.fromkeys(entry.path for entry in found))
    return Room(name, ast.get_docstring(tree), tuple(found), tuple(constants), paths)


def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def _announced(tree: ast.Module) -> list[str] | None:
    """Le contenu de `__all__`, s’il y en a un."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return ast.literal_eval(node.value)
    return None


def _public(body: list[ast.stmt]) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node


def _find(library: Path, path: Path, name: str) -> tuple[ast.stmt | None, Path]:
    """La définition de `name`, en suivant les imports ; None pour une constante ou un module."""
    for node in ast.walk(_parse(path)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return node, path
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if name in map(ast.unparse, targets):
                return None, path
        if isinstance(node, ast.ImportFrom) and name in [alias.name for alias in node.names]:
            parts = node.module.split(".")[1:]
            folder = library.joinpath(*parts)
            if (folder / f"{name}.py").is_file():
                return None, folder / f"{name}.py"
            inside = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
            return _find(library, inside, name)
    raise ValueError(f"« {name} », qu’annonce {path}, n’y est ni défini ni importé.")


def _entry(node: ast.FunctionDef | ast.ClassDef, path: Path, prefix: str = "") -> Entry:
    text = ast.get_docstring(node) or ""
    if isinstance(node, ast.FunctionDef):
        return Entry(prefix + node.name, _signature(node), text, path)
    members = tuple(
        Entry(member.name, _signature(member), ast.get_docstring(member), path)
        for member in _public(node.body)
        if isinstance(member, ast.FunctionDef) and ast.get_docstring(member)
    )
    return Entry(prefix + node.name, _class_signature(node), text, path, members)


def _signature(node: ast.FunctionDef) -> str:
    """`nom(arguments) -> résultat`, sans `self` ; une propriété n’a pas de parenthèses."""
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    decorators = {ast.unparse(decorator).split(".")[-1] for decorator in node.decorator_list}
    if decorators & {"property", "cached_property"}:
        return node.name + returns
    return _layout(node.name, _arguments(node.args), returns)


def _class_signature(node: ast.ClassDef) -> str:
    """`class Nom(…)` : les champs d’une dataclass, ou les arguments de `__init__`."""
    head = f"class {node.name}"
    for member in node.body:
        if isinstance(member, ast.FunctionDef) and member.name == "__init__":
            return _layout(head, _arguments(member.args), "")
    if any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
        fields = [member for member in node.body if isinstance(member, ast.AnnAssign)]
        return _layout(head, [ast.unparse(member) for member in fields], "")
    bases = [ast.unparse(base) for base in node.bases]
    return _layout(head, bases, "") if bases else head


def _arguments(arguments: ast.arguments) -> list[str]:
    """Les arguments tels qu’on les écrit, `self` et `cls` mis à part."""
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + arguments.defaults
    shown = [
        _argument(argument, default)
        for argument, default in zip(positional, defaults, strict=True)
        if argument.arg not in ("self", "cls")
    ]
    if arguments.vararg:
        shown.append("*" + ast.unparse(arguments.vararg))
    elif arguments.kwonlyargs:
        shown.append("*")
    keywords = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    shown += [_argument(argument, default) for argument, default in keywords]
    return shown + (["**" + ast.unparse(arguments.kwarg)] if arguments.kwarg else [])


def _argument(argument: ast.arg, default: ast.expr | None) -> str:
    equals = " = " if argument.annotation else "="
    return ast.unparse(argument) + (equals + ast.unparse(default) if default else "")


def _layout(head: str, arguments: list[str], returns: str) -> str:
    """Une ligne si elle tient, un argument par ligne sinon."""
    line = f"{head}({', '.join(arguments)}){returns}"
    if len(line) <= WIDTH or not arguments:
        return line
    return f"{head}(\n" + "".join(f"    {argument},\n" for argument in arguments) + f"){returns}"
