"""Le planificateur dans un vrai navigateur : mêmes nombres qu’en Python, refus, clavier, thèmes."""

import random
import re
from pathlib import Path

import axe_playwright_python
import pytest

from course_lib import scaling
from course_lib.scaling import BYTES, MACHINES, MODELS, chinchilla
from course_lib.scaling.anatomy import anatomy
from course_lib.transformer import (
    BertConfig,
    GPT2Config,
    LlamaConfig,
    MixtralConfig,
    OriginalTransformerConfig,
    SwitchConfig,
)
from course_lib.widgets import ScalingPlanner
from course_lib.widgets.planner import PUE, describe

pytestmark = pytest.mark.browser

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text("utf-8")


@pytest.fixture
def open_page(open_widget):
    """Ouvre le planificateur."""
    return lambda *theme, **options: open_widget(ScalingPlanner(), *theme, **options)


def text_of(locator) -> str:
    """Le texte affiché, espaces insécables rendues simples."""
    return re.sub(r"\s+", " ", locator.inner_text())


# Le texte des champs, puis tout ce que la page en déduit.
RUN = """async (cases) => {
  const { PlannerForm } = await import("/_static/widgets/scaling_form.js");
  const { plan } = await import("/_static/widgets/scaling_arithmetic.js");
  const { data } = JSON.parse(document.querySelector("course-widget script").textContent);
  const write = (field, value) => {
    if (typeof value === "boolean") field.input.checked = value;
    else field.input.value = String(value).replace(".", ",");
    field.input.dispatchEvent(new Event("input"));
  };
  const form = new PlannerForm(data, data.machines[0].name, () => {});
  return cases.map(({ preset, fields }) => {
    form.fill(data.presets.find(({ name }) => name === preset));
    for (const [name, value] of fields) write(form.fields[name], value);
    const { settings, errors } = form.read();
    if (errors.size) return { errors: [...errors] };
    return plan(settings, data);
  });
}"""


def draw_settings(rng: random.Random, config) -> dict:
    """Des machines et un apprentissage tirés au sort."""
    machine = rng.choice(list(MACHINES.values()))
    return {
        "machine": machine.name,
        "machines": rng.choice([1, 7, 64, 16384]),
        "format": rng.choice(list(machine.peak_flops)),
        "weightsFormat": rng.choice(list(BYTES)),
        "batch": rng.choice([1, 1, rng.randint(2, 97)]),
        "length": rng.randint(1, anatomy(config).context_length),
        "tokens": round(rng.uniform(0.01, 20000), 3),
        "share": round(rng.uniform(1, 100), 2),
        "carbon": round(rng.uniform(0, 700), 1),
    }


def draw_config(rng: random.Random):
    """Une configuration tirée au sort, et le modèle publié dont elle part."""
    heads = rng.choice([1, 2, 3, 4, 6, 12, 30])
    common = {
        "vocab_size": rng.randint(2, 200_003),
        "context_length": rng.randint(1, 40_000),
        "d_model": heads * 2 * rng.randint(1, 150),
        "n_heads": heads,
        "d_ff": rng.randint(1, 30_011),
    }
    layers = rng.randint(1, 131)
    both = {"n_encoder_layers": layers, "n_decoder_layers": layers}
    experts = rng.randint(1, 67)
    groups = {
        "n_kv_heads": rng.choice([n for n in range(1, heads + 1) if heads % n == 0]),
        "tie_weights": rng.random() < 0.5,
    }
    mixture = {"n_experts": experts, "n_active": rng.randint(1, experts)}
    kind = rng.choice(["gpt2", "llama", "mixtral", "bert", "original", "switch"])
    if kind == "gpt2":
        return "GPT-2 medium", GPT2Config(**common, n_layers=layers)
    if kind == "llama":
        return "Mixtral-8x7B", LlamaConfig(**common, **groups, n_layers=layers)
    if kind == "mixtral":
        return "SmolLM2-135M", MixtralConfig(**common, **groups, **mixture, n_layers=layers)
    if kind == "bert":
        return "BERT-large", BertConfig(**common, n_layers=layers)
    vocabulary = common.pop("vocab_size")
    if kind == "original":
        tied = {"tie_weights": groups["tie_weights"]}
        sizes = common | both | tied
        return "Transformer (big)", OriginalTransformerConfig(vocabulary, vocabulary, **sizes)
    free = {"head_dim": rng.randint(1, 97), "n_experts": experts}
    return "Switch-C", SwitchConfig(vocabulary, **common, **both, **free)


def fields_of(preset: str, config, settings: dict) -> list:
    """Ce qu’un lecteur taperait pour passer du modèle publié à cette configuration."""
    sizes = describe(config)["sizes"]
    editable = describe(MODELS[preset].config)["shape"]["editable"]
    locked = {"kvHeads", "headSize", "experts", "active", "tied"} - set(editable)
    order = ["context", *(name for name in sizes if name != "context")]
    typed = [[name, sizes[name]] for name in order if name not in locked]
    return [*typed, *settings.items()]  # la machine avant le format, qu’elle limite


def expected(config, settings: dict) -> dict:
    """Les mêmes nombres, par `course_lib.scaling`."""
    machine, n_machines = MACHINES[settings["machine"]], settings["machines"]
    length, batch, tokens = settings["length"], settings["batch"], 1e9 * settings["tokens"]
    sizes = {"batch_size": batch, "context_length": length, "dtype": settings["format"]}
    training = scaling.training_memory(config, **sizes)
    writing = scaling.inference_memory(config, batch_size=batch, dtype=settings["weightsFormat"])
    cost = scaling.training_cost(
        config,
        tokens,
        machine,
        n_machines,
        settings["share"] / 100,
        dtype=settings["format"],
        context_length=length,
        pue=PUE,
        grams_co2_per_kwh=settings["carbon"],
    )
    active, best = scaling.active_parameters(config), chinchilla.optimal(cost.flops)
    result = {
        "total": scaling.count_by_formula(config),
        "active": active,
        "parts": scaling.parameter_breakdown(config),
        "forward": scaling.forward_flops_per_token(config, length),
        "flops": cost.flops,
        "trainingBytes": training.total,
        "writingBytes": writing.total,
        "trainingMachines": -(-training.total // machine.memory),
        "firstSpeed": speed(config, machine, settings, 1),
        "fullSpeed": speed(config, machine, settings, anatomy(config).context_length),
        "tokensPerParameter": tokens / active,
        "loss": chinchilla.loss(active, tokens),
    }
    result["training"] = {name: getattr(training, name) for name in ("weights", "gradients")}
    result["training"] |= {"optimizer": training.optimizer, "activations": training.activations}
    result["writing"] = {"weights": writing.weights, "cache": writing.kv_cache}
    result["cost"] = {"seconds": cost.seconds, "hours": cost.machine_hours, "price": cost.price}
    result["cost"] |= {"energy": cost.energy_kwh, "carbon": cost.co2_kg}
    result["best"] = {"parameters": best.parameters, "tokens": best.tokens, "loss": best.loss}
    if batch == 1:
        assert cost.memory == training.total and cost.machines_needed == result["trainingMachines"]
    return result


def speed(config, machine, settings: dict, length: int) -> float | None:
    """La vitesse d’écriture, ou None si le modèle n’écrit pas ou ne tient pas."""
    options = {"dtype": settings["weightsFormat"], "batch_size": settings["batch"]}
    options |= {"context_length": length, "n_machines": settings["machines"]}
    try:
        return scaling.decoding_speed(config, machine, **options)
    except ValueError as error:
        assert "encodeur" in str(error) or "Le modèle demande" in str(error)
        return None


def check(found: dict, wanted: dict, name: str) -> None:
    """Paramètres au près, le reste à un milliardième."""
    assert "errors" not in found, (name, found)
    for key in ("total", "active", "parts"):
        assert found[key] == wanted[key], (name, key)
    for key, value in wanted.items():
        if key in ("total", "active", "parts"):
            continue
        if isinstance(value, dict):
            assert found[key] == pytest.approx(value, rel=1e-9, abs=0), (name, key)
        elif value is None:
            assert found[key] is None, (name, key)
        else:
            assert found[key] == pytest.approx(value, rel=1e-9, abs=0), (name, key)


def test_every_published_model_is_computed_as_in_python(open_page):
    page, rng, cases, wanted = open_page(), random.Random(3), [], {}
    for name, model in MODELS.items():
        settings = draw_settings(rng, model.config)
        cases.append({"preset": name, "fields": list(settings.items())})
        wanted[name] = expected(model.config, settings)
    found = page.evaluate(RUN, cases)
    for (name, values), one in zip(wanted.items(), found, strict=True):
        check(one, values, name)


def test_two_hundred_edited_models_are_computed_as_in_python(open_page):
    page, rng, cases, wanted = open_page(), random.Random(7), [], []
    for _ in range(200):
        preset, config = draw_config(rng)
        settings = draw_settings(rng, config)
        cases.append({"preset": preset, "fields": fields_of(preset, config, settings)})
        wanted.append((config, expected(config, settings)))
    assert len({type(config) for config, _ in wanted}) == 6
    assert {values["firstSpeed"] is None for _, values in wanted} == {True, False}
    for (config, values), one in zip(wanted, page.evaluate(RUN, cases), strict=True):
        check(one, values, str(config))


def test_choosing_a_model_fills_the_fields_and_shows_its_count(open_page):
    page = open_page()
    menu = page.get_by_label("Modèle publié")
    for name, model in MODELS.items():
        menu.select_option(name)
        shown = re.sub(r"\D", "", page.locator(".cw-figure strong").first.inner_text())
        assert int(shown) == scaling.count_by_formula(model.config), name
        assert page.locator("[aria-invalid]").count() == 0, name
        width = re.sub(r"\s", "", page.get_by_label("Largeur (d)").input_value())
        assert int(width) == model.config.d_model, name
    menu.select_option("Llama-3.1-405B")
    assert "15 600" in re.sub(r"\s", " ", page.get_by_label("Jetons lus").input_value())
    assert "128 256" in re.sub(r"\s", " ", page.get_by_label("Vocabulaire").input_value())
    menu.select_option("BERT-base")
    assert "n’écrit pas" in text_of(page.locator(".cw-planner"))
    assert "ne dit rien d’un encodeur" in text_of(page.locator(".cw-planner"))


def test_editing_recounts_and_reset_brings_the_model_back(open_page):
    page = open_page()
    planner = page.locator(".cw-planner")
    assert "124 439 808 paramètres" in text_of(planner)
    assert "Jetons non publiés" in text_of(planner)
    page.get_by_label("Blocs").fill("13")
    # Un bloc de plus : 12 × 768² + 13 × 768 = 7 087 872 paramètres.
    assert "131 527 680 paramètres" in text_of(planner)
    assert "Réglages modifiés" in text_of(planner)
    # L’annonce attend que la saisie se calme : celle d’avant peut encore y être.
    page.wait_for_function(
        "document.querySelector('.cw-planner [aria-live]').textContent"
        ".replace(/\\s/g, ' ').includes('131,5 millions de paramètres')"
    )
    page.get_by_role("button", name="Rétablir").click()
    assert "124 439 808 paramètres" in text_of(planner)
    assert page.get_by_label("Blocs").input_value() == "12"


def test_experts_come_and_go(open_page):
    page = open_page()
    planner = page.locator(".cw-planner")
    page.get_by_label("Modèle publié").select_option("Mistral-7B")
    assert page.get_by_label("Experts actifs").is_disabled()
    page.get_by_label("Experts par bloc").fill("8")
    assert page.get_by_label("Experts actifs").input_value() == "2"
    assert "46 702 792 704 paramètres" in text_of(planner)  # Mixtral est un Mistral à huit experts
    assert "dont 12 879 925 248" in text_of(planner) and "à experts" in text_of(planner)
    page.get_by_label("Experts par bloc").fill("0")
    assert "7 241 732 096 paramètres" in text_of(planner)


REFUSALS = [
    ("GPT-2", "Largeur (d)", "770", "770 ne se partage pas entre 12 têtes : prenez une largeur de"),
    ("GPT-2", "Largeur (d)", "770", "768 ou 780, ou 11 ou 14 têtes."),
    ("GPT-2", "Têtes", "5", "768 ne se partage pas entre 5 têtes"),
    ("GPT-2", "Contexte (jetons)", "0", "« 0 » : il faut un entier de 1 à"),
    ("GPT-2", "Blocs", "", "Champ vide : il faut un entier de 1 à 10 000 000. Écrivez par exem"),
    ("GPT-2", "Blocs", "douze", "« douze » : il faut un entier"),
    ("GPT-2", "Blocs", "1,5", "« 1,5 » : il faut un entier"),
    ("GPT-2", "Blocs", "-3", "« -3 » : il faut un entier"),
    ("GPT-2", "Rendement (%)", "101", "« 101 » : il faut un nombre de 0,001 à 100"),
    ("GPT-2", "Jetons par texte", "1025", "1 025 jetons dépassent le contexte : prenez 1 024"),
    ("GPT-2", "Nombre de machines", "0", "« 0 » : il faut un entier de 1"),
    ("Llama-3-8B", "Largeur (d)", "4128", "129 coordonnées par tête, un nombre impair"),
    ("Llama-3-8B", "Têtes de clés", "5", "5 têtes de clés ne se partagent pas 32 têtes : prenez 4"),
    (
        "Mixtral-8x7B",
        "Experts actifs",
        "9",
        "9 actifs sur 8 : un jeton traverse au moins un",
    ),
    ("Mixtral-8x7B", "Experts actifs", "0", "0 actifs sur 8"),
    ("Switch-C", "Experts par bloc", "0", "« 0 » : il faut un entier de 1"),
]


@pytest.mark.parametrize("case", REFUSALS, ids=lambda case: f"{case[0]}-{case[1]}-{case[2]}")
def test_what_is_impossible_is_refused_and_keeps_the_last_result(open_page, case):
    preset, label, value, message = case
    page = open_page()
    page.get_by_label("Modèle publié").select_option(preset)
    page.get_by_role("button", name="Rétablir").click()
    before = text_of(page.locator(".cw-panels"))
    field = page.get_by_label(label, exact=True)
    field.fill(value)
    assert field.get_attribute("aria-invalid") == "true"
    assert page.locator("[aria-invalid]").count() == 1
    described = page.locator(f"#{field.get_attribute('aria-describedby')}")
    assert message in text_of(described)
    assert text_of(page.locator(".cw-panels")) == before
    assert "dernier réglage valide" in text_of(page.locator(".cw-error"))
    page.get_by_role("button", name="Rétablir").click()
    assert page.locator("[aria-invalid]").count() == 0
    assert not page.locator(".cw-error").is_visible()


def test_a_model_too_large_to_be_counted_exactly_is_refused(open_page):
    page = open_page()
    page.get_by_label("Blocs").fill("10000000")
    page.get_by_label("Largeur du réseau").fill("10000000")
    notice = text_of(page.locator(".cw-error"))
    # 10⁷ blocs de 2 × 768 × 10⁷ paramètres au moins.
    assert "1,5 × 10¹⁷ paramètres ; la page compte juste jusqu’à 9 × 10¹⁵." in notice
    assert "dernier réglage valide" in notice


def test_the_machine_limits_the_formats(open_page):
    page = open_page()
    learning = page.get_by_label("Apprendre en")
    assert learning.locator("option").all_inner_texts() == ["float32", "bfloat16", "float16"]
    learning.select_option("float16")
    page.get_by_label("Machine", exact=True).select_option("portable (2 cœurs)")
    assert learning.locator("option").all_inner_texts() == ["float32", "bfloat16"]
    assert learning.input_value() == "bfloat16"
    assert "150 milliards/s" in text_of(page.locator(".cw-planner"))


def test_too_few_machines_are_told(open_page):
    page = open_page()
    planner = page.locator(".cw-planner")
    assert "Tient sur 1 machine de 80 Go." in text_of(planner)
    page.get_by_label("Modèle publié").select_option("GPT-3 175B")
    # 16 × 174 604 259 328 octets et 77,7 Go d’activations : 36 machines de 80 Go.
    assert "Il faut 36 machines de 80 Go." in text_of(planner)
    assert "si la mémoire y suffisait" in text_of(planner) and "ne tient pas" in text_of(planner)
    page.get_by_label("Nombre de machines").fill("36")
    assert "Tient sur 36 machines de 80 Go." in text_of(planner)
    assert "y suffisait" not in text_of(planner)


NUMBERS = """async () => {
  const { bytes, counted, duration, energy, large, mass, percent, price, scientific } =
    await import("/_static/widgets/scaling_numbers.js");
  return [large(124439808), large(405853388800), large(1571e9), large(3.8e25), large(9.96e25),
    large(786432), large(31e6, "euro"), large(1.2e6, "heure"), large(2e7, "tonne"), price(8.562),
    price(0.001), price(1.5), bytes(2.5e9), bytes(3.141e12), bytes(4e18), bytes(12),
    duration(0.2), duration(61), duration(5400), duration(86400 * 3), duration(3.15576e9),
    energy(2.09), energy(21590), energy(4e-4), mass(0.1046), mass(2006000), mass(1e-5),
    percent(0.455), percent(1), percent(0.0002), percent(0), counted(1, "machine"),
    counted(16384, "machine"), scientific(2.5e-7)].map((text) => text.replace(/\\s/g, " "));
}"""


def test_numbers_are_written_in_french(open_page):
    assert open_page().evaluate(NUMBERS) == [
        *("124,4 millions", "405,9 milliards", "1 571 milliards", "3,8 × 10²⁵", "10²⁶"),
        *("786 432", "31 millions d’euros", "1,2 million d’heures", "20 millions de tonnes"),
        *("8,56 euros", "moins d’un centime", "1,5 euro", "2,5 Go", "3,14 To", "4 000 Po"),
        *("12 octets", "moins d’une seconde", "1,02 minute", "1,5 heure", "3 jours", "100 années"),
        *("2,09 kWh", "21,6 MWh", "moins d’un wattheure", "104,6 g", "2 006 tonnes"),
        *("moins d’un gramme", "45,5 %", "100 %", "< 0,1 %", "0 %", "1 machine"),
        *("16 384 machines", "2,5 × 10⁻⁷"),
    ]


def test_every_field_is_reached_by_the_keyboard_and_visible(open_page):
    page = open_page()
    page.get_by_label("Modèle publié").select_option("Mixtral-8x7B")
    page.get_by_label("Modèle publié").focus()
    reached = []
    for _ in range(20):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("""() => { const e = document.activeElement;
          return [e.labels?.[0]?.textContent ?? e.textContent,
                  getComputedStyle(e).outlineStyle !== "none"]; }""")
        )
    names = [name for name, _ in reached]
    assert names[:3] == ["Rétablir", "Blocs", "Largeur (d)"]
    for wanted in (
        "Experts actifs",
        "Tête de sortie liée",
        "Jetons lus",
        "Machine",
        "Apprendre en",
        "g de",
    ):
        assert any(name.startswith(wanted) for name in names), wanted
    assert all(visible for name, visible in reached if name)
    groups = page.get_by_role("group").all()
    assert [group.locator("legend").inner_text() for group in groups] == [
        *("Le modèle", "L’apprentissage", "Les machines"),
    ]


def test_it_lives_as_an_anywidget_does(open_page):
    page, widget = open_page(), ScalingPlanner("petit LLM", "portable (2 cœurs)")
    page.evaluate(
        """async ([source, state]) => {
      const values = { ...state }, heard = new Map();
      window.model = {
        get: (name) => values[name],
        set: (name, value) => { values[name] = value; heard.get(`change:${name}`)?.(); },
        on: (name, listener) => heard.set(name, listener),
        off: (name) => heard.delete(name),
        save_changes: () => {},
      };
      const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
      const { default: widget } = await import(url);
      document.querySelector("main").replaceChildren(document.createElement("div"));
      window.stop = widget.render({ model, el: document.querySelector("main > div") });
      window.heard = heard;
    }""",
        [str(widget._esm), widget.state()],
    )
    assert page.get_by_label("Modèle publié").input_value() == "petit LLM"
    assert page.get_by_label("Machine", exact=True).input_value() == "portable (2 cœurs)"
    page.evaluate("model.set('machine', 'H100 80 Go'); model.set('preset', 'GPT-2 XL')")
    assert "1 557 611 200 paramètres" in text_of(page.locator(".cw-planner"))
    assert page.get_by_label("Machine", exact=True).input_value() == "H100 80 Go"
    page.get_by_label("Machine", exact=True).select_option("A100 80 Go")
    assert page.evaluate("model.get('machine')") == "A100 80 Go"
    assert page.evaluate("(stop(), heard.size)") == 0


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_accessibility_fault_on_a_wide_or_narrow_screen(open_page, theme):
    page = open_page(theme)
    page.evaluate(AXE)
    for preset, width in (("GPT-2", 1200), ("Llama-3.1-405B", 390), ("Switch-C", 390)):
        page.set_viewport_size({"width": width, "height": 900})
        page.get_by_label("Modèle publié").select_option(preset)
        page.get_by_label("Largeur (d)").fill("0" if preset == "Switch-C" else "16384")
        result = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        assert [(v["id"], [n["html"] for n in v["nodes"]]) for v in result["violations"]] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_static_table_is_shown_without_javascript(open_page):
    page = open_page(java_script_enabled=False, viewport={"width": 390, "height": 800})
    assert page.locator("table.cw-table tbody tr").count() == 6
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert "Version figée" in page.locator(".cw-fallback").inner_text()
