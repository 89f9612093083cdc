"""Le cahier du lecteur : chaque transformation, les dix cahiers, l’exécution sans rien de plus."""

import ast
import re
import sys
from pathlib import Path

import pytest
from bare_environment import closure, run_bare
from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parent.parent
CHAPTERS = sorted(path.stem for path in (ROOT / "chapters").glob("*.md"))
# Ce qui ne doit rester nulle part dans la prose d’un cahier.
LEFTOVERS = re.compile(
    r"\{[a-z][\w:-]*\}[`\s]|:::|^\(\S+\)=$|\{\{|^:\w+:|[Ss]olution to|Start of|glue:", re.MULTILINE
)


@pytest.fixture(scope="module", autouse=True)
def ext():
    """Rend le paquet importable, comme le font Sphinx et `book/notebooks.py`."""
    sys.path.insert(0, str(ROOT / "book" / "ext"))
    yield
    sys.path.remove(str(ROOT / "book" / "ext"))


@pytest.fixture(scope="module")
def index():
    from reader_notebook.index import book_index

    return book_index()


@pytest.fixture
def prose(index):
    """Récrit un texte comme s’il était dans le chapitre 03, où deux nombres ont été mesurés."""
    from reader_notebook.links import Links
    from reader_notebook.prose import Prose

    values = {"n-parametres": "524\u202f928", "part": "58\u00a0%"}

    def write(text, site=""):
        return Prose("chapters/03_generation", index, values, Links(site)).markdown(text)

    return write


@pytest.fixture
def assemble(index):
    """Un cahier du lecteur fait de cellules d’essai : (genre, texte, étiquettes, sorties)."""
    import nbformat
    from reader_notebook.links import Links
    from reader_notebook.notebook import reader_notebook

    def make(*cells):
        made = []
        for kind, source, *rest in cells:
            cell = getattr(nbformat.v4, f"new_{kind}_cell")(source)
            if rest:
                cell.metadata.tags = rest[0]
            if len(rest) > 1:
                cell.outputs = rest[1]
            made.append(cell)
        source = nbformat.v4.new_notebook(cells=made)
        return reader_notebook("chapters/03_generation", index, Links(""), source)

    return make


# La prose


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("Il a {glue:text}`n-parametres` paramètres.", "Il a 524\u202f928 paramètres."),
        ("({lang-en}`token`)", "(*token*)"),
        ("le {ref}`chapitre 1 <ch-transformer>`", "le [chapitre 1](01_transformer.ipynb)"),
        ("{ref}`ch-transformer`", "[Le Transformer](01_transformer.ipynb)"),
        ("{ref}`ici <ch-generation>`", "ici"),  # un chapitre ne renvoie pas à lui-même
        ("{term}`jetons <jeton>`", "[jetons](glossaire.ipynb#cell-id=terme-jeton)"),
        ("la {doc}`bibliographie <../book/bibliographie>`", "la bibliographie"),
        ("l'équation {eq}`eq-attention`", "l’équation (2)"),
        ("d'un {math}`x^2`", "d’un $x^2$"),
        (
            "{cite:t}`vaswani2017attention`",
            "[Vaswani et al. (2017)](https://arxiv.org/abs/1706.03762)",
        ),
        (
            "mots {cite:p}`jain2019attention,vaswani2017attention`",
            "mots ([Jain et Wallace, 2019](https://doi.org/10.18653/v1/N19-1357)\u202f; "
            "[Vaswani et al., 2017](https://arxiv.org/abs/1706.03762))",
        ),
        ("(ch-x)=\n## Un titre", "## Un titre"),
        ("% un commentaire\nReste.", "Reste."),
    ],
)
def test_a_role_becomes_text_or_a_link(prose, written, expected):
    assert prose(written).strip() == expected


def test_a_figure_is_cited_by_the_number_of_the_site(prose, index):
    label = next(label for label in index.numbers if label.startswith("fig-"))
    assert prose(f"La {{numref}}`{label}`.") == f"La Figure {index.numbers[label]}."
    assert prose(f"{{numref}}`figure %s <{label}>`") == f"figure {index.numbers[label]}"


def test_without_an_address_there_is_no_dead_link(prose):
    text = "{ref}`chapitre 1 <ch-transformer>`, {term}`jeton`, {doc}`guide <../book/glossaire>`"
    assert prose(text, None) == "chapitre 1, jeton, guide"
    there = prose(text, "https://site/")
    assert "[chapitre 1](https://site/chapters/01_transformer.html)" in there
    assert "[jeton](https://site/book/glossaire.html#term-jeton)" in there


def test_french_typography_spares_code_formulas_and_addresses(prose):
    assert prose("l'un : « oui » !") == "l’un\u00a0: «\u00a0oui\u00a0»\u202f!"
    for untouched in ("`a : b ! 1 000`", "$p : q$", "[x](http://a/b'c)", "<span title='a : b'>"):
        assert untouched in prose(f"Voici {untouched} là.")
    table = "| a | b |\n| :-- | --: |\n| 1 | 2 |"
    assert prose(table) == table
    assert prose("d'{lang-en}`it`") == "d’*it*"


def test_code_blocks_stay_as_they_are(prose):
    text = "Avant :\n\n    python -m x : {term}`rien`\n\n```bash\n{glue:text}`rien` : !\n```"
    assert prose(text).split("\n", 1)[1] == text.split("\n", 1)[1]


def test_an_admonition_is_a_quotation_with_a_bold_title(prose):
    text = "```{admonition} L'idée\n:class: tip\nUn.\n\n```python\nx : 1\n```\n```"
    boxed = prose("`" + text.replace("\n```\n```", "\n```\n````"))
    assert boxed.split("\n")[:3] == ["> **L’idée**", ">", "> Un."]
    assert "> ```python\n> x : 1\n> ```" in boxed
    assert prose("```{note}\nMot.\n```") == "> **Note**\n>\n> Mot."
    assert prose(":::{warning}\nMot.\n:::").startswith("> **Avertissement**")
    folded = prose("```{admonition} Plus\n:class: dropdown\nLoin.\n```")
    assert folded == "<details>\n<summary>Plus</summary>\n\nLoin.\n\n</details>"


def test_a_formula_keeps_its_number(prose, index):
    number = index.numbers["eq-attention"]
    assert prose("```{math}\n:label: eq-attention\nx\n```") == f"$$\nx \\tag{{{number}}}\n$$"
    assert "\\begin{aligned}" in prose("```{math}\na \\\\ b\n```")
    assert prose("Soit\n\n$$p = 1.$$\n") == "Soit\n\n$$\np = 1.\n$$"


def test_an_image_is_attached_with_its_description(index):
    from reader_notebook.links import Links
    from reader_notebook.prose import Prose

    writer = Prose("chapters/03_generation", index, {}, Links(""))
    text = writer.markdown(
        "```{figure} ../book/static/logo.svg\n:alt: Le logo.\n\nLa légende.\n```"
    )
    assert text == "![Le logo.](attachment:logo.svg)\n\nLa légende."
    assert list(writer.attachments["logo.svg"]) == ["image/svg+xml"]
    for wrong, said in (("rien.svg", "n’existe pas"), ("logo.svg", "texte de remplacement")):
        with pytest.raises(ValueError, match=said):
            writer.markdown(f"```{{figure}} ../book/static/{wrong}\n```")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{glue:text}`absent`", r"« absent » n’est gardé par aucune cellule.*keep"),
        ("{term}`inexistant`", "le terme « inexistant » n’est pas dans le glossaire"),
        ("{ref}`ch-rien`", "« ch-rien » ne désigne aucun titre"),
        ("{doc}`rien`", "« chapters/rien » n’est pas dans book/_toc.yml"),
        ("{numref}`fig-rien`", "« fig-rien » n’est l’étiquette d’aucune figure"),
        ("{eq}`eq-rien`", "« eq-rien » n’est l’étiquette d’aucune figure ni formule"),
        ("{cite:p}`personne2000`", r"« personne2000 » n’est pas dans book/references.bib"),
        ("{index}`mot`", r"« index » \(rôle\). Il connaît : cite:p, cite:t, doc"),
        ("x\n\n```{margin}\nMot.\n```", r"ligne 3 : .*« margin » \(directive\).*admonition"),
        ("- a\n\n  ```{note}\n  b\n  ```", "« note » est dans une liste ou une citation"),
        ("```{exercise} Sans nom\nx\n```", "l’exercice « Sans nom » n’a pas d’étiquette"),
    ],
)
def test_what_cannot_be_rewritten_is_refused_with_a_remedy(prose, text, said):
    with pytest.raises(ValueError, match=rf"chapters/03_generation : .*{said}"):
        prose(text)


# Les cellules


def test_each_role_has_its_folding(assemble):
    import nbformat

    said = nbformat.v4.new_output("stream", text="✓ un\n✓ deux\n")
    roles = ["teaching", "result", "plumbing", "check", "exercise"]
    cells = [("code", "import os", [role, "nbval-ignore-output"], [said]) for role in roles]
    made = {c.metadata.tags[0]: c for c in assemble(*cells).cells if c.cell_type == "code"}
    assert list(made) == roles
    for role in ("result", "plumbing", "check"):
        assert made[role].metadata.jupyter.source_hidden and made[role].metadata.cellView == "form"
    for role in ("teaching", "exercise"):
        assert made[role].source == "import os" and "jupyter" not in made[role].metadata
    assert made["check"].source.startswith("#@title ✓ 2 vérifications\n")
    assert made["plumbing"].source.startswith("#@title Imports et réglages\n")
    kept = assemble(("code", 'x = 1\nkeep("n", x)', ["plumbing"])).cells[0].source
    assert kept.startswith("#@title Nombres du texte\n")
    assert made["plumbing"].outputs == [] and made["plumbing"].metadata.jupyter.outputs_hidden
    assert made["result"].outputs == [said]
    assert made["exercise"].metadata.tags == ["exercise", "breakpoint"]


def test_the_imports_take_few_lines_in_every_editor(assemble):
    names = [f"name_number_{rank}" for rank in range(9)]
    source = "import os\n\nfrom a import (\n    b,\n    c as d,\n)\nfrom e import (\n"
    source += "".join(f"    {name},\n" for name in names) + ")\n\nx = (\n    1\n)  # reste"
    made = assemble(("code", source, ["plumbing"])).cells[0].source
    assert "from a import b, c as d\nfrom e import (\n    name_number_0, name_number_1," in made
    assert made.endswith(",\n)\n\nx = (\n    1\n)  # reste")
    assert max(map(len, made.splitlines())) <= 100 and len(made.splitlines()) < 13
    assert compile(made, "essai", "exec").co_names == compile(source, "essai", "exec").co_names


def test_an_expected_error_does_not_stop_the_reader(assemble):
    failing = ("code", "1 / 0", ["teaching", "raises-exception"])
    cell = assemble(("markdown", "# T"), failing).cells[-1]
    assert cell.metadata.tags == ["teaching", "raises-exception"]


def test_outputs_lose_records_and_sleeping_widgets(assemble):
    import nbformat

    def display(data, **metadata):
        return nbformat.v4.new_output("display_data", data, metadata=metadata)

    record = "application/papermill.record/text/plain"
    cell = assemble(
        ("markdown", "# T\n\n{glue:text}`n`"),
        (
            "code",
            "x",
            ["result"],
            [
                display({record: "'1,5'"}, scrapbook={"name": "n"}),
                display({"text/html": "<course-widget></course-widget>"}),
                display({"image/png": "aGE="}),
            ],
        ),
    ).cells
    assert "1,5" in cell[0].source
    assert [list(output.data) for output in cell[-1].outputs] == [["text/markdown"], ["image/png"]]


def test_a_solution_is_folded_in_french_and_is_not_run(assemble, index):
    label, number = "ex-refroidir", index.numbers["ex-refroidir"]
    cells = assemble(
        ("markdown", f"## À vous\n\n```{{exercise}} Un titre\n:label: {label}\nQue vaut-il ?\n```"),
        ("code", "answer = ...", ["exercise"]),
        ("markdown", f"```{{solution-start}} {label}\n:class: dropdown\n```\n\nAinsi."),
        ("code", "answer = 3", ["teaching"]),
        ("markdown", "```{solution-end}\n```\n\n## Suite"),
    ).cells
    kinds = ["markdown"] * 3 + ["code"] + ["markdown"] * 2
    assert [cell.cell_type for cell in cells] == kinds
    assert cells[2].source == f"**Exercice {number}. Un titre**\n\nQue vaut-il\u202f?"
    assert cells[4].source == (
        f"<details>\n<summary>Solution de l’exercice {number}</summary>\n\nAinsi.\n\n"
        "```python\nanswer = 3\n```\n\n</details>"
    )
    assert cells[5].source == "## Suite"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("```{solution-start} rien\n```", "la solution « rien » n’est celle d’aucun exercice"),
        ("```{solution-end}\n```", "une solution finit sans avoir commencé"),
        ("```{solution-start} ex-refroidir\n```", "la dernière solution n’a pas de fin"),
    ],
)
def test_a_solution_without_its_exercise_or_its_end_is_refused(assemble, text, said):
    with pytest.raises(ValueError, match=said):
        assemble(("markdown", text))


# Ailleurs que chez soi


def test_nothing_points_elsewhere_while_the_repository_has_no_address(assemble, monkeypatch):
    from reader_notebook import notebook

    monkeypatch.setattr(notebook, "repository", lambda: ("", "main"))
    alone = assemble(("markdown", "# T"), ("code", "import peft", ["teaching"])).cells
    assert not re.search(r"colab|binder|pip install", "".join(cell.source for cell in alone))

    monkeypatch.setattr(notebook, "repository", lambda: ("https://github.com/Ici/cours", "main"))
    cells = assemble(("markdown", "# T"), ("code", "import peft", ["teaching"])).cells
    assert "colab.research.google.com/github/Ici/cours/blob/cahiers/03_gen" in cells[1].source
    assert "mybinder.org/v2/gh/Ici/cours/main?urlpath=lab/tree/cahiers/03_gen" in cells[1].source
    install = cells[2].source
    assert '"course-lib[all] @ git+https://github.com/Ici/cours@main"' in install
    assert '@main#subdirectory=course_experiments" "peft"' in install
    assert cells[2].metadata.jupyter.source_hidden


def test_what_transformers_uses_without_asking_is_installed(notebooks):
    from reader_notebook.colab import requirements

    asked = {name: requirements(made.cells) for name, made in notebooks.items()}
    assert {"accelerate", "gguf", "transformers"} <= set(asked["07_preentraines.ipynb"])
    assert asked["03_generation.ipynb"] == ["course-lib[all]", "course-experiments"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("address", "names"),
    [("", ["JupyterLab"]), ("https://github.com/Ici/cours", ["JupyterLab", "Binder", "Colab"])],
)
def test_the_site_opens_a_chapter_where_it_can(monkeypatch, address, names):
    from course_site import chrome

    monkeypatch.setattr(chrome, "repository", lambda: (address, "main"))
    context = {"header_buttons": []}
    chrome.add_launch_buttons(None, "chapters/03_generation", None, context, None)
    buttons = context["header_buttons"][0]["buttons"]
    assert [button["text"].split(",")[0] for button in buttons] == names
    assert all(button["url"].endswith("/03_generation.ipynb") for button in buttons)


def test_the_site_address_follows_the_repository(monkeypatch):
    from reader_notebook import links

    config = {"repository": {"url": "https://github.com/Ici/cours/"}, "sphinx": {"config": {}}}
    monkeypatch.setattr(links, "settings", lambda: config)
    assert links.site_address() == "https://ici.github.io/cours/"
    config["sphinx"]["config"]["html_baseurl"] = "https://cours.fr"
    assert links.site_address() == "https://cours.fr/"
    assert links.repository() == ("https://github.com/Ici/cours", "main")
    config.pop("repository"), config["sphinx"]["config"].clear()
    assert links.site_address() is None


def test_binder_installs_what_the_notebooks_import():
    """Les bornes sont celles de constraints.txt ; chaque fichier nommé existe."""
    lines = (ROOT / "binder" / "requirements.txt").read_text("utf-8").splitlines()
    wanted = [line for line in lines if line and not line.startswith(("#", "-"))]
    assert {".[all]", "./course_experiments"} <= set(wanted)
    assert "--constraint ../constraints.txt" in lines
    pinned = {
        line.split("==")[0] for line in (ROOT / "constraints.txt").read_text("utf-8").split("\n")
    }
    assert [name for name in wanted if not name.startswith(".") and name not in pinned] == []
    oldest = re.search(r'requires-python = ">=3\.(\d+)"', (ROOT / "pyproject.toml").read_text())
    runtime = (ROOT / "binder" / "runtime.txt").read_text().strip()
    assert int(re.fullmatch(r"python-3\.(\d+)", runtime)[1]) >= int(oldest[1])
    assert (ROOT / "book" / "notebooks.py").is_file()
    assert "python book/notebooks.py" in (ROOT / "binder" / "postBuild").read_text("utf-8")


# Poser les cahiers


def test_a_notebook_that_the_reader_changed_is_never_overwritten(assemble, tmp_path):
    import nbformat
    from reader_notebook.delivery import deliver

    old = assemble(("markdown", "# T"), ("code", "answer = ...", ["exercise"]))
    new = assemble(("markdown", "# T, en mieux"), ("code", "answer = ...", ["exercise"]))
    path = tmp_path / "03_generation.ipynb"
    assert deliver(old, path) == [] and deliver(old, path) == []

    mine = nbformat.read(path, as_version=4)  # exécuté : ses sorties restent
    mine.cells[-1].outputs = [nbformat.v4.new_output("stream", text="à moi")]
    nbformat.write(mine, path)
    assert deliver(old, path) == [] and "à moi" in path.read_text("utf-8")
    assert deliver(new, path) == [] and "à moi" not in path.read_text("utf-8")

    mine = nbformat.read(path, as_version=4)  # répondu : il reste tel quel
    mine.cells[-1].source = "answer = 3"
    nbformat.write(mine, path)
    assert deliver(new, path) == [] and "answer = 3" in path.read_text("utf-8")
    (said,) = deliver(old, path)
    assert "03_generation.ipynb : vous l’avez modifié, il reste tel quel" in said
    assert "03_generation (2).ipynb" in said
    assert "answer = 3" in path.read_text("utf-8")
    assert "answer = ..." in (tmp_path / "03_generation (2).ipynb").read_text("utf-8")


@pytest.mark.parametrize("content", ["pas un cahier", '{"cells": [], "metadata": {}}'])
def test_a_file_of_another_origin_is_left_alone(assemble, tmp_path, content):
    from reader_notebook.delivery import deliver

    path = tmp_path / "03_generation.ipynb"
    path.write_text(content, "utf-8")
    assert deliver(assemble(("markdown", "# T")), path)
    assert path.read_text("utf-8") == content


# Les dix cahiers


@pytest.fixture(scope="module")
def notebooks(index):
    """Chaque cahier du lecteur, par nom, et le glossaire."""
    from reader_notebook.index import pages
    from reader_notebook.links import Links, has_notebook, notebook_name
    from reader_notebook.notebook import reader_notebook

    names = filter(has_notebook, pages())
    return {notebook_name(page): reader_notebook(page, index, Links("")) for page in names}


@pytest.mark.parametrize("name", [*CHAPTERS, "glossaire"])
def test_nothing_of_the_source_language_is_left(notebooks, name):
    """Lu comme VS Code le lit : ni rôle, ni directive, ni nom de nombre hors du code."""
    reader = MarkdownIt("commonmark", {"html": True}).enable("table")
    found = []
    for cell in notebooks[f"{name}.ipynb"].cells:
        if cell.cell_type != "markdown":
            continue
        prose = re.sub(r"\$\$.*?\$\$|\$[^$\n]*\$", "", cell.source, flags=re.DOTALL)
        for token in reader.parse(prose):
            if token.type == "fence":
                found += [token.info] if "{" in token.info else []
            for piece in token.children or []:
                if piece.type == "text":
                    found += LEFTOVERS.findall(piece.content)
    assert found == []


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_notebook_is_valid_and_opens_as_it_was_written(notebooks, name):
    import nbformat

    notebook = notebooks[f"{name}.ipynb"]
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    ids = [cell.id for cell in notebook.cells]
    assert len(ids) == len(set(ids))
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.metadata.language_info.name == "python"
    assert not any("widgets" in key for key in notebook.metadata)


def test_every_link_between_notebooks_arrives(notebooks):
    links = re.compile(r"\]\((\w+\.ipynb)(?:#cell-id=([\w-]+))?\)")
    found = [
        match.groups()
        for notebook in notebooks.values()
        for cell in notebook.cells
        if cell.cell_type == "markdown"
        for match in links.finditer(cell.source)
    ]
    assert len(found) > 100
    for name, target in found:
        assert not target or target in {cell.id for cell in notebooks[name].cells}, (name, target)


def names_in(code: str) -> tuple[set[str], set[str]]:
    """Les noms qu’un code définit, et ceux qu’il lit."""
    defined, read = set(), set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Name):
            (read if isinstance(node.ctx, ast.Load) else defined).add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            defined.add(node.name)
        elif isinstance(node, ast.arg):
            defined.add(node.arg)
        elif isinstance(node, ast.alias):
            defined.add((node.asname or node.name).split(".")[0])
    return defined, read


@pytest.mark.parametrize("name", CHAPTERS)
def test_no_cell_waits_for_a_solution(notebooks, name):
    """Les solutions ne s’exécutent pas : ce qu’elles seules définissent ne sert nulle part."""
    cells = notebooks[f"{name}.ipynb"].cells
    folded = [c.source for c in cells if c.source.startswith("<details>\n<summary>Solution")]
    solutions = re.findall(r"^```python\n(.*?)^```$", "\n".join(folded), re.DOTALL | re.MULTILINE)
    assert bool(solutions) == bool(folded)
    defined, read = names_in("\n".join(c.source for c in cells if c.cell_type == "code"))
    assert (names_in("\n".join(solutions))[0] - defined) & read == set()


# Le site construit


@pytest.mark.browser
def test_the_site_and_the_notebooks_count_alike(site_folder, index):
    """Figures, exercices, formules ont un seul numéro ; chaque terme, l’ancre de Sphinx."""
    from reader_notebook.links import site_anchor

    pages = [path.read_text("utf-8") for path in sorted((site_folder / "chapters").glob("*.html"))]
    text = " ".join(pages)
    figures = re.findall(
        r'<figure[^>]*id="([\w-]+)".*?caption-number">Figure (\d+)', text, re.DOTALL
    )
    exercises = re.findall(
        r'class="exercise admonition" id="([\w-]+)".*?caption-number">Exercice (\d+)',
        text,
        re.DOTALL,
    )
    equations = re.findall(r'id="equation-([\w-]+)">\s*<span class="eqno">\((\d+)\)', text)
    shown = {label: int(number) for label, number in [*figures, *exercises, *equations]}
    assert len(figures) > 50 and len(exercises) > 30 and len(equations) > 4
    assert shown == index.numbers
    glossary = (site_folder / "book" / "glossaire.html").read_text("utf-8")
    anchors = set(re.findall(r'id="(term-[^"]*)"', glossary))
    assert {site_anchor(term) for term in index.terms.values()} <= anchors


@pytest.mark.browser
@pytest.mark.parametrize("name", [*CHAPTERS, "glossaire"])
def test_the_site_gives_the_notebook_of_each_page(site_folder, name):
    import nbformat

    page = next(site_folder.glob(f"*/{name}.html")).read_text("utf-8")
    assert f'href="../cahiers/{name}.ipynb"' in page and "_sources/" not in page
    if name in CHAPTERS:
        assert f'href="http://localhost:8888/lab/tree/{name}.ipynb"' in page
    nbformat.validate(nbformat.read(site_folder / "cahiers" / f"{name}.ipynb", as_version=4))


# L’environnement nu


@pytest.mark.slow
def test_the_bare_environment_hides_what_is_not_asked(tmp_path):
    import nbformat

    path = tmp_path / "essai.ipynb"

    def run(source, *asked):
        cell = nbformat.v4.new_code_cell(source)
        nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
        return run_bare(path, list(asked))

    assert run("import numpy, course_lib", "course-lib[all]").returncode == 0
    hidden = run("import myst_nb", "course-lib[all]")
    assert hidden.returncode == 1 and "No module named 'myst_nb'" in hidden.stdout
    assert run("import numpy", "tqdm").returncode == 1


def test_the_closure_follows_extras():
    assert "numba" not in closure(["course-lib"])
    assert {"numba", "anywidget", "torch"} <= closure(["course-experiments"])


@pytest.mark.slow
def test_a_notebook_runs_from_top_to_bottom_in_a_bare_environment(notebooks, tmp_path):
    """Le plus court ; les autres : `python tests/bare_environment.py cahiers/*.ipynb`."""
    import nbformat
    from reader_notebook.colab import requirements

    notebook = notebooks["10_du_texte_a_la_distillation.ipynb"]
    nbformat.write(notebook, tmp_path / "cahier.ipynb")
    done = run_bare(tmp_path / "cahier.ipynb", requirements(notebook.cells))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
