"""Les exercices ouverts : la réponse est au lecteur ; le juge vérifie sa forme, et mesure."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_exercises import fresh, refusal  # noqa: F401 - fresh est un réglage

from course_lib.exercises import (
    benefits,
    distillation,
    finetuning,
    generation,
    pretrained,
    size,
    tokens,
    training_limits,
    transformer,
    use_limits,
)
from course_lib.models import load_petit_llm
from course_lib.transformer import GPT2Config, LlamaConfig, gpt2, llama

ENGLISH = (
    "The harbour was quiet that morning, and nobody expected any news from the north. Gulls "
    "circled above empty boats while an old man mended his nets, humming something about winter "
    "storms. When the bell finally rang, every window opened at once; children ran barefoot "
    "along wet stones, shouting names they had learned from letters, maps, songs or dreams, "
    "until the ship's tall shadow reached them and everyone fell silent again."
)


def praise(exercise, answer, capsys) -> str:
    exercise(answer)
    said = capsys.readouterr().out.replace("\u00a0", " ").replace("\u202f", " ")
    assert said.startswith("✓ Bravo !")
    return said


GOOD_TRAP = ("elle a été élue", "il a été élu")


@pytest.mark.parametrize(
    "answer",
    [GOOD_TRAP, [s.split() for s in GOOD_TRAP], ("Elles sont très belles", "Ils sont très beaux")],
)
def test_a_trap_confuses_a_trigram_and_not_the_novelist(answer, capsys):
    said = praise(tokens.own_trap, answer, capsys)
    assert "3-gramme donne" in said and "préfère chaque suite" in said


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("elle a été élue", "deux phrases"),
        (("elle a été", "il a été"), "trop court"),
        (("elle a été là", "il a été là"), "rien à confondre"),
        (("elle a été élue", "il a bien élu"), "les distingue"),
        (("elle a été élue", "elle a été battue"), "ne sert à rien"),
        (("hier elle a été élue", "demain il a été élu"), "un mot y est de trop"),
        (("elle a été élue", "il été élu"), "même nombre de mots"),
        (("elle a vu Pierre", "il a vu Paul"), "ne préfère pas nettement"),
        (("un chat est blanc", "le chat est noir"), "romancier ne préfère pas nettement"),
    ],
)
def test_what_is_no_trap(answer, said):
    assert said in refusal(tokens.own_trap, answer)


PAIR = (
    "Le piano a fendu le parquet, car il était trop lourd.",
    "piano",
    "Le piano a fendu le parquet, car il était trop mince.",
    "Parquet",
)


def test_own_pair_shows_the_turning_word(capsys):
    said = praise(transformer.own_pair, PAIR, capsys)
    assert "« lourd » ou « mince »" in said and "de « piano » à « parquet »" in said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({2: PAIR[0]}, "sont la même"),
        ({2: "Le piano a fendu un parquet, car il était trop mince."}, "diffèrent en 2 mots"),
        ({2: "Le piano a fendu le parquet car il était mince."}, "même nombre"),
        ({3: "piano"}, "rien ne bascule"),
        ({3: "table"}, "présent dans les deux phrases"),
        ({1: "lourd"}, "présent dans les deux phrases"),
        (
            {
                i: f"Le piano a fendu le parquet, bien trop {w}."
                for i, w in ((0, "mou"), (2, "dur"))
            },
            "pas de pronom",
        ),
        (
            {
                i: f"The animal left the street because it was too {w}."
                for i, w in ((0, "tired"), (2, "wide"))
            }
            | {1: "animal", 3: "street"},
            "trop célèbre",
        ),
        ({0: 3}, "texte"),
    ],
)
def test_own_pair_refuses(changes, said):
    answer = tuple(changes.get(i, part) for i, part in enumerate(PAIR))
    assert said in refusal(transformer.own_pair, answer)


GOOD_SIZES = {
    "vocab_size": 4000,
    "context_length": 256,
    "d_model": 320,
    "n_layers": 7,
    "n_heads": 5,
}


def test_own_model_is_priced(capsys):
    said = praise(size.own_model, LlamaConfig(**GOOD_SIZES), capsys)
    assert "9 958 080 paramètres" in said and "heures" in said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"n_layers": 8}, "trop gros"),
        ({"n_layers": 6}, "pourrait être plus gros"),
        ({"vocab_size": 1000}, "4 000 jetons"),
        ({"context_length": 128}, "256 jetons"),
        ({"vocab_size": 25000, "n_layers": 1}, "table de plongement prend"),
    ],
)
def test_own_model_refuses(changes, said):
    assert said in refusal(size.own_model, LlamaConfig(**(GOOD_SIZES | changes))).replace(
        "\u00a0", " "
    )


def test_own_model_asks_for_a_configuration():
    assert "LlamaConfig" in refusal(size.own_model, GOOD_SIZES)


BEGINNING = "Le dragon ouvrit la porte"


def lot(*endings: str) -> list[str]:
    return [f"{BEGINNING} {ending}" for ending in endings]


COLD = lot(*["et vit un petit nuage bleu"] * 3)
WARM = lot(
    "et vit un petit nuage bleu", "puis mangea la lune toute entière", "car il avait faim ce soir"
)


def test_own_beginning_compares_temperatures(capsys):
    said = praise(generation.own_beginning, (BEGINNING, {1.0: WARM, 0: COLD}), capsys)
    assert said.index("à T = 0") < said.index("à T = 1"), "du froid au chaud"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((BEGINNING, {0: COLD}), "deux températures"),
        ((BEGINNING, {0: COLD, 1: COLD}), "tous les mêmes"),
        ((BEGINNING, {0: COLD, 1: WARM[:2]}), "au moins trois textes"),
        ((BEGINNING, {0: COLD, 1: [*WARM, WARM[0] + " encore"]}), "autant de textes"),
        ((BEGINNING, {0: COLD, -1: WARM}), "n’est pas négative"),
        (
            (BEGINNING, {0: COLD, 1: [*WARM[:2], "Autre chose de tout à fait différent ici"]}),
            "ne commence pas",
        ),
        ((BEGINNING, {0: COLD, 1: [*WARM[:2], BEGINNING + " fin"]}), "presque rien"),
        ((BEGINNING + " ", {0: COLD, 1: WARM}), "espace au bord"),
        (("Il était une fois", {0: COLD, 1: WARM}), "trouvez le vôtre"),
        (("Bonjour", {0: COLD, 1: WARM}), "au moins 3"),
        ((BEGINNING, [COLD, WARM]), "un dictionnaire"),
        ((BEGINNING, {"froid": COLD, 1: WARM}), "guillemets"),
        (BEGINNING, "votre début, puis vos textes"),
    ],
)
def test_own_beginning_refuses(answer, said):
    assert said in refusal(generation.own_beginning, answer).replace("\u00a0", " ")


SIMPLE = (
    "Le soleil chauffe la mer. L'eau monte dans l'air, très haut. Là, il fait froid. L'eau se "
    "change en nuages, faits de petites gouttes. Les gouttes se touchent, et la pluie tombe."
)
SCHOLARLY = (
    "L'évaporation océanique, entretenue par le soleil, alimente continuellement la formation des "
    "nuages par condensation de la vapeur atmosphérique. La coalescence progressive des gouttes en "
    "suspension détermine ultérieurement l'intensité des précipitations, phénomène couramment "
    "dénommé pluie par les observateurs."
)


def test_own_audiences_are_measured(capsys):
    assert "Kandel et Moles" in praise(benefits.own_audiences, (SIMPLE, SCHOLARLY), capsys)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((SCHOLARLY, SIMPLE), "moins lisible"),
        ((SIMPLE, SIMPLE.replace("mer", "mère")), "trente points"),
        ((SIMPLE, ENGLISH), "la même chose"),
        ((SIMPLE, "Trop court. Vraiment."), "au moins 30"),
        ((SIMPLE, SCHOLARLY.replace(". La", ", la")), "une phrase"),
        (SIMPLE, "deux textes"),
    ],
)
def test_own_audiences_refuses(answer, said):
    assert said in refusal(benefits.own_audiences, answer)


OWN_TRAINING = (
    "Llama-2-70B",
    70e9,
    2e12,
    "A100 80 Go",
    1_720_320,
    "Touvron et coll., Llama 2, table 2",
)


def test_own_training_is_counted_again(capsys):
    said = praise(training_limits.own_training, OWN_TRAINING, capsys)
    assert "43 % de la vitesse de pointe" in said and "688,1 MWh" in said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({0: "LLaMA 2 7B"}, "a déjà compté"),
        ({0: "GPT-3"}, "a déjà compté"),
        ({0: 70}, "est un nom"),
        ({0: " "}, "est un nom"),
        ({1: 70}, "non des milliards"),
        ({2: 2}, "mille milliards"),
        ({2: "2e12"}, "ôtez les guillemets"),
        ({3: "H100"}, "une de celles-ci"),
        ({4: 0}, "toutes les machines, additionnées"),
        ({4: 1720}, "une unité est fausse"),
        ({4: 1.7e9}, "vérifiez les unités"),
        ({5: "un article"}, "otre source compte 2 mots"),
        ({5: None}, "devrait être un texte"),
    ],
)
def test_own_training_refuses(changes, said):
    answer = tuple(changes.get(i, part) for i, part in enumerate(OWN_TRAINING))
    assert said in refusal(training_limits.own_training, answer)
    assert "six choses" in refusal(training_limits.own_training, answer[:4])


TRUTHS = [float(truth) for _, truth in use_limits.STATEMENTS]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (TRUTHS, "10 fois sur dix"),
        ([1 - truth for truth in TRUTHS], "trop sûr de vous"),
        ([0.5 + 0.1 * (2 * truth - 1) for truth in TRUTHS], "trop prudent"),
        (torch.tensor(TRUTHS) * 0.6 + 0.2, "Écart de calibration"),
    ],
)
def test_own_calibration_is_measured(answer, said, capsys):
    assert said in praise(use_limits.own_calibration, answer, capsys)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ([80] * 10, "entre 0 et 1"),
        ([0.5] * 10, "ne rien dire"),
        ([0.5] * 9, "vous en donnez 9"),
        ([float("nan")] * 10, "indéfinie"),
        (["vrai"] * 10, "du texte"),
    ],
)
def test_own_calibration_refuses(answer, said):
    assert said in refusal(use_limits.own_calibration, answer)


@given(st.lists(st.floats(0, 1), min_size=10, max_size=10).filter(lambda p: set(p) != {0.5}))
def test_any_ten_probabilities_are_an_answer(answer):
    """Le juge ne dit jamais lesquelles des dix sont vraies : toute réponse honnête est reçue."""
    use_limits.own_calibration(answer)


CONTEXTS = [
    f"Il était une fois un lapin têtu qui s'appelait {name}. En hiver,"
    for name in ("Oscar", "Arthur", "Paul", "Clément", "Hugo")
]
PROBES = [
    (context, context.split()[9].strip("."), other)
    for context, other in zip(CONTEXTS, ("Arthur", "Paul", "Clément", "Hugo", "Oscar"), strict=True)
]


def test_own_probes_are_measured(capsys):
    said = praise(pretrained.own_probes, PROBES, capsys)
    assert "fois sur 5" in said and "deux derniers mots" in said


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (PROBES[:4], "cinq sondes"),
        ([*PROBES[:4], PROBES[0]], "même contexte"),
        ([*PROBES[:4], PROBES[4][:2]], "n° 5 doit avoir trois parties"),
        ([*PROBES[:4], ("Trop court", "a", "b")], "au moins 8"),
        ([*PROBES[:4], (CONTEXTS[4], "Hugo", " Hugo ")], "sont les mêmes"),
        ([*PROBES[:4], (" ".join(map(str, range(300))), "a", "b")], "n’en lit que"),
        (5, "une liste de sondes"),
    ],
)
def test_own_probes_refuses(answer, said):
    assert said in refusal(pretrained.own_probes, answer)


EXAMPLES = [(f"{n} est-il pair ?", "oui" if n % 2 == 0 else "non") for n in range(60)]
TRAINING, TEST = EXAMPLES[:50], EXAMPLES[50:]


def test_own_task_is_compared_to_the_laziest_baseline(capsys):
    written = [" oui"] * 9 + ["non "]
    said = praise(finetuning.own_task, (TRAINING, TEST, written), capsys)
    assert "6 réponses exactes sur 10" in said and "« oui » en donnerait 5" in said


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((TRAINING, TEST), "vos exemples, votre épreuve"),
        ((TRAINING[:49], TEST, ["oui"] * 10), "au moins 50"),
        ((TRAINING, TEST[:9], ["oui"] * 9), "au moins 10"),
        ((TRAINING, TEST, ["oui"] * 9), "9 réponses pour 10"),
        ((TRAINING, TRAINING[:10], ["oui"] * 10), "par cœur"),
        (([*TRAINING, TRAINING[0]], TEST, ["oui"] * 10), "deux fois"),
        (([(p, "oui") for p, _ in TRAINING], TEST, ["oui"] * 10), "la même réponse"),
        (([*TRAINING[:49], ("vide", " ")], TEST, ["oui"] * 10), "deux textes non vides"),
        ((TRAINING, TEST, [1] * 10), "pas un entier"),
        ((TRAINING, TEST, "oui"), "une liste"),
    ],
)
def test_own_task_refuses(answer, said):
    assert said in refusal(finetuning.own_task, answer)


@pytest.fixture(scope="module")
def teacher():
    return load_petit_llm()[0]


def narrow(**changes):
    shape = {"context_length": 256, "d_model": 32, "n_layers": 2, "n_heads": 4, "d_ff": 64}
    return llama(LlamaConfig(**({"vocab_size": 1536} | shape | changes)))


def test_own_student_must_have_learned(teacher):
    assert "encore loin" in refusal(distillation.own_student, narrow())
    assert "plus petit" in refusal(distillation.own_student, teacher)
    assert "vocabulaire" in refusal(distillation.own_student, narrow(vocab_size=100))
    assert "un décodeur" in refusal(distillation.own_student, torch.nn.Linear(2, 2))


def test_own_student_that_agrees_is_praised(teacher, monkeypatch, capsys):
    """Un élève qui rend les scores de l’enseignant, en plus petit, en est à zéro nat."""
    student = narrow()
    monkeypatch.setattr(student, "forward", teacher.forward)
    said = praise(distillation.own_student, student, capsys)
    assert "diffère de 0,00 nat" in said


@settings(max_examples=15)
@given(st.text(max_size=200))
def test_any_text_is_read_without_breaking(text):
    for exercise, answer in (
        (tokens.own_trap, (text, GOOD_TRAP[1])),
        (transformer.own_pair, (text, PAIR[1], PAIR[2], PAIR[3])),
        (benefits.own_audiences, (text, SCHOLARLY)),
        (generation.own_beginning, (text, {0: [text] * 3, 1: [text + " un"] * 3})),
        (pretrained.own_probes, [*PROBES, (text, "a", "b")]),
    ):
        try:
            exercise(answer)
        except AssertionError as wrong:
            assert "Pas encore" in str(wrong)


def test_another_architecture_can_be_the_student():
    """Un GPT-2 est aussi un décodeur : il est jugé sur ce qu’il a appris."""
    student = gpt2(GPT2Config(1536, 256, d_model=32, n_layers=1, n_heads=4))
    assert "encore loin" in refusal(distillation.own_student, student)
