"""Les cellules de code du cahier du lecteur : leur rôle, leur poignée, leurs sorties."""

import ast
import re
import textwrap

import nbformat

ROLES = ("teaching", "result", "plumbing", "check", "exercise")
FOLDED = ("result", "plumbing", "check")
WIDTH = 100
RECORD = "application/papermill.record/"
ASLEEP = "▶ *Exécutez cette cellule : le composant s’anime ici.*"


def role_of(cell: nbformat.NotebookNode) -> str:
    """Le rôle de la cellule ; sans étiquette de rôle, elle enseigne."""
    tags = cell.metadata.get("tags", [])
    found = [tag for tag in tags if tag in ROLES]
    return found[0] if found else "teaching"


def values_of(notebook: nbformat.NotebookNode) -> dict[str, str]:
    """Les nombres gardés par `keep`, tels que le texte les cite."""
    values = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            name = output.get("metadata", {}).get("scrapbook", {}).get("name")
            text = output.get("data", {}).get(RECORD + "text/plain")
            if name and text is not None:
                values[name] = ast.literal_eval(text) if text[0] in "'\"" else text
    return values


def code_cell(cell: nbformat.NotebookNode, figure: int | None) -> nbformat.NotebookNode:
    """La cellule telle que le lecteur la reçoit : repliée si elle n’enseigne pas."""
    role = role_of(cell)
    source = shorter_imports(cell.source) if role == "plumbing" else cell.source
    made = nbformat.v4.new_code_cell(source, id=cell.id, execution_count=cell.execution_count)
    made.outputs = [] if role == "plumbing" else list(filter(None, map(shown, cell.outputs)))
    made.metadata.tags = [role]
    if "raises-exception" in cell.metadata.get("tags", []):
        made.metadata.tags.append("raises-exception")
    if role == "exercise":
        made.metadata.tags.append("breakpoint")  # Capytale : un arrêt de « notebook séquencé »
    if role in FOLDED:
        made.metadata.jupyter = {"source_hidden": True}
        made.metadata.cellView = "form"  # le repli de Colab, sous la ligne « #@title »
        if not cell.source.startswith("%%"):
            made.source = f"#@title {handle(made, role, figure)}\n{source}"
    if role == "plumbing":
        made.metadata.jupyter.outputs_hidden = True
    return made


def shown(output: nbformat.NotebookNode) -> nbformat.NotebookNode | None:
    """La sortie ; None si elle n’est gardée que pour le texte. Un composant y dort."""
    data = output.get("data")
    if data is None:
        return output
    if "<course-widget" in data.get("text/html", ""):
        return nbformat.v4.new_output("display_data", {"text/markdown": ASLEEP})
    if not any(not mime.startswith(RECORD) for mime in data):
        return None
    return output


def handle(cell: nbformat.NotebookNode, role: str, figure: int | None) -> str:
    """Ce que dit la ligne qui reste visible d’une cellule repliée."""
    if role == "check":
        count = len(re.findall(r"^✓", printed(cell), re.MULTILINE))
        return f"✓ {count} vérification{'s' * (count > 1)}" if count else "Vérifications"
    if role == "plumbing":
        if imports_mostly(cell.source):
            return "Imports et réglages"
        return "Nombres du texte" if re.search(r"^keep", cell.source, re.MULTILINE) else "Coulisses"
    return f"Code de la figure {figure}" if figure else "Code de ce résultat"


def printed(cell: nbformat.NotebookNode) -> str:
    """Ce que la cellule a écrit."""
    return "".join(o.text for o in cell.outputs if o.output_type == "stream")


def imports_mostly(source: str) -> bool:
    """Vrai si la moitié des instructions au moins sont des imports."""
    body = ast.parse(readable(source)).body
    imports = [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)]
    return 2 * len(imports) >= len(body) > 0


def shorter_imports(source: str) -> str:
    """Remet sur aussi peu de lignes qu’il se peut les imports qui en prennent plusieurs.

    Tous les éditeurs ne replient pas les cellules : la première doit rester courte partout.
    """
    lines = source.split("\n")
    for node in reversed(ast.parse(readable(source)).body):
        if isinstance(node, ast.ImportFrom) and node.end_lineno > node.lineno:
            one_line = ast.unparse(node)
            if len(one_line) > WIDTH:
                head, names = one_line.split(" import ")
                filled = textwrap.fill(names + ",", WIDTH - 4)
                one_line = f"{head} import (\n{textwrap.indent(filled, '    ')}\n)"
            lines[node.lineno - 1 : node.end_lineno] = [one_line]
    return "\n".join(lines)


def readable(source: str) -> str:
    """Le code sans les lignes qui ne sont que pour IPython, dont le numéro reste."""
    return re.sub(r"(?m)^([ \t]*)[%!].*$", r"\1pass", source)


def description(cell: nbformat.NotebookNode) -> str:
    """Le texte de remplacement de l’image que rend la cellule."""
    return cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
