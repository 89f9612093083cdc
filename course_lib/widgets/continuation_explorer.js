/**
 * Explorateur de suites : un texte lu par un vrai modèle, jeton par jeton, et ce qu’il attendait.
 */

import { sharpened, temperatureSlider } from "./temperature_slider.js";
import { format, h } from "./tokenizer_explorer.js";

const INVISIBLE = { " ": "␣", "\n": "⏎", "\t": "⇥" };
const HELP =
  "Plus un jeton est coloré, plus il a surpris le modèle. Choisissez-en un, à la souris ou avec les flèches\u00a0: " +
  "voici ce qui était attendu à sa place. La température s’applique aux huit premières suites, ramenées à cent pour cent.";
const MOST_BITS = 15; // surprise à laquelle la couleur est pleine

const visible = (text) => [...text].map((c) => INVISIBLE[c] ?? c).join("");
const percent = (value) => `${format(100 * value, 1)}\u00a0%`;

/** Les suites attendues, en barres. */
function bars(top, temperature, actual) {
  const parts = sharpened(top.map(([, p]) => p), temperature);
  const items = top.map(([text], rank) => {
    const strip = h("span", { class: "cw-bar", "aria-hidden": "true" });
    strip.style.width = `${(100 * parts[rank]).toFixed(2)}%`;
    const word = h("span", { class: "cw-text" }, h("code", {}, visible(text)), text === actual ? " ← écrit" : "");
    return h("li", { class: "cw-key" }, strip, word, h("span", { class: "cw-value" }, percent(parts[rank])));
  });
  return h("ul", { class: "cw-keys", "aria-label": "Suites attendues" }, ...items);
}

/** Ce qu’il en fut du jeton écrit. */
function verdict({ text, bits, rank, probability }) {
  const order = rank === 1 ? "la première attendue" : `la ${format(rank)}ᵉ attendue`;
  const chance = probability < 0.0001 ? "moins de 0,01\u00a0%" : percent(probability);
  return `« ${visible(text)} »\u00a0: ${order}, ${chance}, soit ${format(bits, 1)} bits.`;
}

function render({ model, el }) {
  const [title, texts] = [model.get("title"), model.get("texts")];
  const select = h("select", { class: "cw-select" });
  texts.forEach(({ name }, index) => select.append(h("option", { value: index }, name)));
  const strip = h("div", { class: "cw-chips cw-surprise", role: "listbox", "aria-label": "Jetons du texte", tabindex: "0" });
  const panel = h("div", { class: "cw-panel", "aria-live": "polite" });
  const summary = h("p", { class: "cw-summary" });
  let [text, chosen] = [texts[0], 0];

  const draw = () => {
    const token = text.tokens[chosen];
    panel.replaceChildren(h("p", { class: "cw-panel-title" }, verdict(token)), bars(token.top, slider.read(), token.text));
    [...strip.children].forEach((node, index) => node.setAttribute("aria-selected", index === chosen));
    strip.setAttribute("aria-activedescendant", strip.children[chosen].id);
  };
  const choose = (index) => {
    chosen = Math.min(text.tokens.length - 1, Math.max(0, index));
    draw();
  };
  const open = () => {
    text = texts[Number(select.value)];
    const chips = text.tokens.map((token, index) => {
      const chip = h("span", { class: "cw-token", role: "option", id: `${prefix}-${index}` }, visible(token.text));
      chip.style.setProperty("--share", `${Math.min(100, (100 * token.bits) / MOST_BITS).toFixed(0)}%`);
      chip.addEventListener("click", () => choose(index));
      return chip;
    });
    strip.replaceChildren(...chips);
    const count = text.tokens.length;
    summary.textContent = `${format(count)} jetons, ${format(text.bitsPerByte, 2)} bit par octet.`;
    choose(Math.min(text.tokens.length - 1, 3));
  };
  const prefix = `cw-suite-${Math.random().toString(36).slice(2)}`;
  const slider = temperatureSlider(draw);
  select.addEventListener("change", open);
  strip.addEventListener("keydown", (event) => {
    const moves = { ArrowRight: chosen + 1, ArrowLeft: chosen - 1, Home: 0, End: text.tokens.length - 1 };
    if (!(event.key in moves)) return;
    event.preventDefault();
    choose(moves[event.key]);
  });
  const choice = h("label", { class: "cw-field" }, h("span", {}, "Texte"), select);
  const parts = [h("p", { class: "cw-title" }, title), h("p", { class: "cw-help" }, HELP)];
  const controls = h("div", { class: "cw-controls" }, choice, slider.node);
  el.append(h("section", { class: "cw cw-continuations", "aria-label": title }, ...parts, controls, strip, summary, panel));
  open();
}

export default { render };
