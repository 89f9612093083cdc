"""Le moteur des poids compacts, dans Chromium : formats, produits, modèle entier, surprise."""

import base64
import functools
from pathlib import Path

import numpy as np
import pytest
import torch
from compact_models import HALVES, KINDS, code_of, convert, random_blocks, small_model, values_of
from test_language_model_browser import ODD, SENTENCES, read_ids, texts

from course_lib.pretrained import load_pretrained
from course_lib.pretrained.gguf.blocks import BLOCKS
from course_lib.widgets import LanguageModelWidget
from course_lib.widgets.kernels import compile_kernels, read_kernels

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = ROOT / "course_lib" / "models" / "romancier" / "romancier.gguf"
WIDTHS = (256, 512, 1280)
ENGINE = """async () => {
  const { engine } = await import("/_static/widgets/language_model.js");
  window.engine = engine;
  const take = (k, bytes) => {
    const address = Math.ceil((k.end ?? k.exports.__heap_base.value) / 64) * 64;
    k.end = address + bytes;
    const missing = k.end - k.exports.memory.buffer.byteLength;
    if (missing > 0) k.exports.memory.grow(Math.ceil(missing / 65536));
    return address;
  };
  const decode = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  window.open = async () => ({ exports: await engine.openKernels() });
  window.put = (k, text) => {
    const bytes = decode(text);
    const address = take(k, bytes.length);
    new Uint8Array(k.exports.memory.buffer, address, bytes.length).set(bytes);
    return address;
  };
  window.take = take;
  window.floats = ({ exports: { memory } }, address, count) =>
    Array.from(new Float32Array(memory.buffer, address, count));
}"""
DEQUANTIZE = """async ([type, raw, rows, rowBytes, columns]) => {
  const k = await open();
  const w = put(k, raw);
  const y = take(k, 4 * columns);
  return Array.from({ length: rows }, (_, row) => {
    k.exports.dequantize(type, w + row * rowBytes, columns, y);
    return floats(k, y, columns);
  });
}"""
MULTIPLY = """async ([type, raw, x, rows, columns, count]) => {
  const k = await open();
  const [w, from] = [put(k, raw), put(k, x)];
  const packed = take(k, count * (2 * columns + columns / 4));
  const y = take(k, 4 * rows * count);
  k.exports.quantize(from, columns, count, packed);
  k.exports.multiply(type, w, rows, columns, count, from, packed, y);
  return floats(k, y, rows * count);
}"""
START = """async (name) => {
  const { engine } = await import("/_static/widgets/language_model.js");
  const bytes = new Uint8Array(await (await fetch(`/_static/models/${name}`)).arrayBuffer());
  const { patterns } = JSON.parse(document.querySelector("course-widget script").textContent);
  window.session = await engine.openCompact(bytes, patterns, true);
  window.engine = engine;
}"""


def text_of(array: np.ndarray) -> str:
    """Les octets d’un tableau, en base 64."""
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, Path]:
    """Des GGUF aux formats mêlés : têtes égales ou partagées, tête liée ou non ; celui du cours."""
    folder = tmp_path_factory.mktemp("compacts")
    found = {}
    for name, kv_heads, tied in (("partage", 2, True), ("dense", 4, False)):
        plain = small_model(folder, [*SENTENCES, *ODD] * 3, kv_heads, tied)
        kinds = iter([kind for kind in KINDS if kind in BLOCKS] * 20)
        target = folder / f"{name}.gguf"
        convert(plain, target, lambda _, kinds=kinds: next(kinds))
        found[name] = target
    if SHIPPED.is_file():
        found["romancier"] = SHIPPED
    return found


NAMES = ["partage", "dense", *(["romancier"] if SHIPPED.is_file() else [])]


@functools.cache
def widget_of(path: Path) -> LanguageModelWidget:
    """Le composant d’un fichier ; sa version figée se calcule une fois."""
    return LanguageModelWidget.from_gguf(path, prompt="Il était une fois")


@functools.cache
def model_of(path: Path):
    """Le même fichier, ouvert par PyTorch."""
    loaded = load_pretrained(path)
    return loaded.model.eval(), loaded.tokenizer


@pytest.fixture
def open_page(open_widget, models, tmp_path):
    """Ouvre une page qui sert ces fichiers, avec le composant de l’un d’eux."""
    folder = tmp_path / "_static" / "models"
    folder.mkdir()

    def open_one(name: str):
        path = models[name]
        (folder / path.name).symlink_to(path)
        return open_widget(widget_of(path))

    return open_one


@pytest.fixture(params=NAMES)
def loaded(request, open_page, models):
    """Le même modèle des deux côtés : (page, modèle, tokeniseur)."""
    page = open_page(request.param)
    page.evaluate(START, models[request.param].name)
    return page, *model_of(models[request.param])


@pytest.fixture
def kernels(open_page):
    """Une page où les noyaux sont à portée de main."""
    page = open_page("partage")
    page.evaluate(ENGINE)
    return page


def test_each_format_reads_as_gguf_does(kernels):
    for seed, kind in enumerate(KINDS):
        raw = random_blocks(kind, 5, 1280, seed)
        found = np.array(
            kernels.evaluate(DEQUANTIZE, [code_of(kind), text_of(raw), 5, raw.shape[1], 1280])
        )
        expected = values_of(kind, raw.view(np.float32) if kind == "F32" else raw)
        if kind == "F16":
            expected = raw.view("<f2").astype(np.float32)
        scale = np.abs(expected).max()
        assert scale > 0.1
        # d·(s·q) au lieu de (d·s)·q : un dernier bit peut différer, jamais davantage.
        assert np.abs(found - expected).max() <= 3e-7 * scale, kind


def test_half_floats_are_exact(kernels):
    halves = np.arange(65536, dtype="<u2").view("<f2")
    halves = halves[np.isfinite(halves)]
    found = kernels.evaluate(DEQUANTIZE, [1, text_of(halves), 1, 2 * halves.size, halves.size])
    np.testing.assert_array_equal(np.float32(found[0]), halves.astype(np.float32))


@pytest.mark.parametrize("kind", KINDS)
def test_products_equal_those_of_the_dequantized_weights(kernels, kind):
    rng = np.random.default_rng(3)
    for columns in WIDTHS:
        raw = random_blocks(kind, 7, columns, columns)
        weights = {"F32": lambda r: r.view("<f4"), "F16": lambda r: r.view("<f2")}.get(
            kind, lambda r: values_of(kind, r)
        )(raw).astype(np.float64)
        for count in (1, 3, 4, 16):
            x = rng.standard_normal((count, columns)).astype(np.float32)
            x[:, ::32] *= 20  # un nombre qui domine son groupe, comme dans les vrais modèles
            x[0, 32:64] = 0
            found = kernels.evaluate(
                MULTIPLY,
                [code_of(kind), text_of(raw), text_of(x), 7, columns, count],
            )
            expected = x @ weights.T
            # L’arrondi des entrées à 16 bits : au pire 1/65534 du plus grand nombre du groupe.
            bound = 2e-5 * np.abs(x).max() * np.abs(weights).sum(1)
            error = np.abs(np.array(found).reshape(count, 7) - expected)
            assert (error <= bound + 1e-5).all(), (columns, count)
            assert error.max() < 1e-3 * np.abs(expected).max()


def test_the_extreme_levels_do_not_overflow(kernels):
    """Tous les niveaux et toutes les échelles au bout, et des entrées qui y répondent."""
    for kind in HALVES:
        for byte in (0x00, 0x7F, 0x80, 0xFF):
            raw = random_blocks(kind, 1, 512, 1)
            blocks = raw.reshape(2, -1)
            kept = blocks.copy()
            blocks[:] = byte
            blocks[:, HALVES[kind]] = kept[:, HALVES[kind]]
            weights = values_of(kind, raw).astype(np.float64)
            for count in (1, 4):
                x = np.ones((count, 512), np.float32)
                found = kernels.evaluate(
                    MULTIPLY,
                    [code_of(kind), text_of(raw), text_of(x), 1, 512, count],
                )
                np.testing.assert_allclose(found, [weights.sum()] * count, rtol=1e-5)


def test_ids_equal_python_and_decode_back(loaded):
    page, _, tokenizer = loaded
    samples = texts(110)
    found = page.evaluate("texts => texts.map(t => session.tokenizer.encode(t))", samples)
    assert found == [tokenizer.encode(text) for text in samples]
    assert page.evaluate("all => all.map(ids => session.tokenizer.decode(ids))", found) == samples


def test_logits_equal_pytorch_on_the_same_weights(loaded):
    page, model, tokenizer = loaded
    limit = model.embedding.context_length
    samples = [t for t in texts(60) if len(tokenizer.encode(t)) < limit][:50]
    assert len(samples) == 50
    script = "texts => texts.map(t => { session.setText(t); return Array.from(session.logits); })"
    found = torch.tensor(page.evaluate(script, samples))
    with torch.no_grad():
        expected = torch.stack(
            [model(torch.tensor([read_ids(tokenizer, t, limit)]))[0, -1] for t in samples]
        )
    assert expected.std() > 0.5
    worst = (found - expected).abs().max().item()
    print(f"écart des scores : {worst:.2g} au pire, pour {expected.std():.2g} d’écart-type")
    assert worst < 2e-3 * expected.std()


def test_one_token_at_a_time_equals_a_whole_batch(loaded):
    page, *_ = loaded
    result = page.evaluate(
        """text => {
      const ids = [...session.start, ...session.tokenizer.encode(text)];
      const { decoder } = session;
      decoder.ids.length = decoder.scored = 0;
      const whole = Array.from(decoder.read(ids));
      const bits = Array.from(decoder.bits.subarray(1, ids.length));
      decoder.ids.length = decoder.scored = 0;
      for (let count = 1; count <= ids.length; count += 1) decoder.read(ids.slice(0, count));
      const far = (x, y) => Math.max(...x.map((v, i) => Math.abs(v - y[i])));
      const alone = Array.from(decoder.bits.subarray(1, ids.length));
      return [far(whole, Array.from(decoder.logits)), far(bits, alone), ids.length];
    }""",
        " ".join(SENTENCES[:3])[:150],
    )
    assert result[2] > 16  # plus d’un paquet
    assert result[0] < 1e-2 and result[1] < 1e-2


def test_the_surprise_equals_pytorch(loaded):
    page, model, tokenizer = loaded
    text = SENTENCES[0]
    page.evaluate("text => { session.decoder.ids.length = 0; session.setText(text); }", text)
    found = page.evaluate("() => Array.from(session.decoder.bits.subarray(1, session.read.length))")
    ids = read_ids(tokenizer, text, 10**6)
    with torch.no_grad():
        scores = model(torch.tensor([ids]))[0, :-1].log_softmax(-1)
    expected = -scores[torch.arange(len(ids) - 1), ids[1:]] / torch.tensor(2.0).log()
    torch.testing.assert_close(torch.tensor(found), expected, atol=2e-2, rtol=0)


def test_attention_equals_pytorch(loaded):
    page, model, tokenizer = loaded
    page.evaluate("text => session.setText(text)", SENTENCES[0])
    found = page.evaluate("""() => session.decoder.attention.map(heads =>
        heads.map(map => Array.from(map.slice(0, session.read.length))))""")
    ids = torch.tensor([read_ids(tokenizer, SENTENCES[0], 10**6)])
    rope = model.rope(torch.arange(ids.shape[1]))
    x, expected = model.embedding.tokens(ids), []
    with torch.no_grad():
        for block in model.blocks:
            normed = block.self_attention_norm(x)
            _, weights = block.self_attention(
                normed, is_causal=True, rope=rope, return_weights=True
            )
            expected.append(weights[0, :, -1])
            x = block(x, is_causal=True, rope=rope)
    torch.testing.assert_close(torch.tensor(found), torch.stack(expected), atol=1e-3, rtol=0)


def test_the_window_slides_by_half_a_context(loaded):
    page, model, tokenizer = loaded
    limit = model.embedding.context_length
    sentence = "Il pleut. "
    text = sentence * (2 * limit // len(tokenizer.encode(sentence)))
    page.evaluate("text => session.setText(text)", text)
    read, ids = page.evaluate("() => [session.read, session.ids]")
    assert len(ids) > limit > len(read) >= limit // 2 - 1
    assert read == [tokenizer.bos_id, *ids[len(ids) - len(read) + 1 :]]
    with torch.no_grad():
        expected = model(torch.tensor([read]))[0, -1]
    found = torch.tensor(page.evaluate("() => Array.from(session.logits)"))
    assert (found - expected).abs().max() < 2e-3 * expected.std()
    before = page.evaluate("() => session.decoder.computed")
    page.evaluate("id => session.append(id)", ids[-1])
    assert page.evaluate("() => session.decoder.computed") == before + 1


@pytest.mark.depends_on_machine
def test_the_compiled_module_is_that_of_the_source():
    pytest.importorskip("ziglang", reason="le compilateur n’est pas installé")
    assert compile_kernels() == read_kernels()
