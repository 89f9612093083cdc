/**
 * Explorateur de suites : un texte lu par un vrai modèle, jeton par jeton, et ce qu’il attendait.
 */

import { bar, format, h, menu } from "./nodes.js";
import { sharpened, temperatureSlider } from "./temperature_slider.js";
import { visible } from "./token_text.js";

const HELP =
  "Plus un jeton est coloré, plus il a surpris le modèle. Choisissez-en un, à la souris ou avec les flèches\u00a0: " +
  "voici ce qui était attendu à sa place. La température partage autrement la probabilité entre ces suites.";
const MOST_BITS = 12; // surprise à laquelle la couleur est pleine
const LEGEND_STEP = 3;
const FIRST_PLACE = 3; // le jeton montré d’abord : avant lui, le modèle a lu trop peu

const inBits = (value, digits) => `${format(value, digits)}\u00a0bit${value < 2 ? "" : "s"}`;

/** Un pourcentage ; ce qui n’est pas nul ne s’écrit pas « 0,0 % ». */
function percent(value) {
  return value > 0 && value < 0.0005 ? "<\u00a00,1\u00a0%" : `${format(100 * value, 1)}\u00a0%`;
}

/** Colore une pastille selon une surprise. */
function shade(node, bits) {
  node.style.setProperty("--share", `${Math.min(100, (100 * bits) / MOST_BITS).toFixed(0)}%`);
  return node;
}

/** Les suites attendues, en barres ; celle qui est écrite porte une marque. */
function bars({ top, written }, temperature) {
  const parts = sharpened(top.map(([, p]) => p), temperature);
  return top.map(([name], index) => {
    const word = h("span", { class: "cw-text" }, h("code", {}, visible(name)), index === written ? " ← écrit" : "");
    return h("li", { class: "cw-key" }, bar(parts[index]), word, h("span", { class: "cw-value" }, percent(parts[index])));
  });
}

/** Ce qu’il en fut du jeton écrit. */
function verdict({ text, bits, rank, probability }) {
  const order = rank === 1 ? "la première suite attendue" : `la ${format(rank)}ᵉ suite attendue`;
  return `« ${visible(text)} »\u00a0: ${order}, ${percent(probability)}, soit ${inBits(bits, 1)} de surprise.`;
}

/** Ce que les barres ne montrent pas : la probabilité des autres jetons. */
function remainder({ top }) {
  const sum = top.reduce((total, [, p]) => total + p, 0);
  const held = Math.min(1, Math.round(1000 * sum) / 1000); // arrondi d’abord : les deux parts font cent
  const these = top.length === 1 ? "Cette suite réunit" : `Ces ${top.length} suites réunissent`;
  const rest = 1 - held < 0.0005 ? "presque rien" : percent(1 - held);
  return (
    `${these} ${percent(held)} de la probabilité. Le reste (${rest}) se partage entre tous les autres jetons\u202f; ` +
    "la page ne les connaît pas et ne les compte pas."
  );
}

/** Le titre des barres : ce que valent les pourcentages. */
const shares = ({ top }, temperature) =>
  `${top.length === 1 ? "Part de la première suite" : `Parts parmi les ${top.length} premières`}, à la température ${format(temperature, 1)}\u00a0:`;

/** L’échelle des couleurs. */
function legend() {
  const steps = Array.from({ length: MOST_BITS / LEGEND_STEP + 1 }, (_, index) => index * LEGEND_STEP);
  const items = steps.map((bits) => {
    const swatch = shade(h("span", { class: "cw-swatch", "aria-hidden": "true" }), bits);
    return h("li", {}, swatch, inBits(bits, 0) + (bits === MOST_BITS ? " et plus" : ""));
  });
  return h("ul", { class: "cw-legend", "aria-label": "Surprise d’un jeton" }, ...items);
}

function render({ model, el }) {
  const [title, texts] = [model.get("title"), model.get("texts")];
  const prefix = `cw-suite-${Math.random().toString(36).slice(2)}`;
  const box = { role: "listbox", "aria-label": "Jetons du texte", "aria-orientation": "horizontal", tabindex: "0" };
  const strip = h("div", { class: "cw-chips cw-surprise", ...box });
  const heading = h("p", { class: "cw-panel-title", "aria-live": "polite" });
  const scale = h("p", { class: "cw-help" });
  const list = h("ul", { class: "cw-keys", "aria-label": "Suites attendues" });
  const rest = h("p", { class: "cw-help" });
  const summary = h("p", { class: "cw-summary" });
  let [text, chosen] = [texts[0], 0];

  const draw = () => {
    const token = text.tokens[chosen];
    scale.textContent = shares(token, slider.read());
    list.replaceChildren(...bars(token, slider.read()));
  };
  const choose = (index) => {
    chosen = Math.min(text.tokens.length - 1, Math.max(0, index));
    heading.textContent = verdict(text.tokens[chosen]);
    rest.textContent = remainder(text.tokens[chosen]);
    [...strip.children].forEach((node, place) => node.setAttribute("aria-selected", place === chosen));
    strip.setAttribute("aria-activedescendant", strip.children[chosen].id);
    draw();
  };
  const open = () => {
    text = texts[Number(select.value)];
    const chips = text.tokens.map((token, index) => {
      const box = { class: "cw-token", role: "option", id: `${prefix}-${index}`, title: inBits(token.bits, 1) };
      const chip = shade(h("span", box, visible(token.text)), token.bits);
      chip.addEventListener("click", () => choose(index));
      return chip;
    });
    strip.replaceChildren(...chips);
    const count = text.tokens.length;
    summary.textContent = `${format(count)} jeton${count > 1 ? "s" : ""}, ${inBits(text.bitsPerByte, 2)} par octet.`;
    choose(FIRST_PLACE);
  };
  const slider = temperatureSlider(draw);
  const { node: choice, select } = menu("Texte", texts.map(({ name }, index) => [index, name]), open);
  strip.addEventListener("keydown", (event) => {
    const moves = { ArrowRight: chosen + 1, ArrowLeft: chosen - 1, Home: 0, End: text.tokens.length - 1 };
    if (!(event.key in moves)) return;
    event.preventDefault();
    choose(moves[event.key]);
  });
  const parts = [h("p", { class: "cw-title" }, title), h("p", { class: "cw-help" }, HELP)];
  const reading = [h("div", { class: "cw-controls" }, choice), strip, legend(), summary];
  const panel = h("div", { class: "cw-panel" }, heading, h("div", { class: "cw-controls" }, slider.node), scale, list, rest);
  el.append(h("section", { class: "cw cw-continuations", "aria-label": title }, ...parts, ...reading, panel));
  open();
}

export default { render };
