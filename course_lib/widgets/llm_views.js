/**
 * Ce que l’on voit du modèle : les jetons suivants et leurs barres, l’attention du dernier jeton.
 * Un dessin coûterait plus que le calcul s’il refaisait ses nœuds : il les garde, et ne change que
 * ce qui diffère.
 */

import { mostProbable } from "./llm_sampling.js";
import { bar, format, h, menu, setStyle, write } from "./nodes.js";
import { isPiece, visible } from "./token_text.js";

const SHOWN = 10;
const MOST_READ = 5;
const SHADES = 20;
const SPECIAL_NAMES = { "<bos>": "début du texte", "<eos>": "fin du texte", "<pad>": "remplissage" };

/** « 12,3 % » ; « < 0,1 % » plutôt qu’un zéro trompeur. */
export function percent(probability) {
  const value = 100 * probability;
  return value > 0 && value < 0.05 ? "<\u00a00,1\u00a0%" : `${format(value, 1)}\u00a0%`;
}

const isSpecial = (session, id) => session.tokenizer.isSpecial(id);

/** Le nom d’un jeton spécial, ou le texte `text` d’un autre. */
const named = (session, id, text) => (isSpecial(session, id) ? (SPECIAL_NAMES[text] ?? text) : text);

/** Ce que le lecteur d’écran entend du jeton qui viendrait ensuite : les espaces y sont nommées. */
export function spokenToken(session, id) {
  const text = named(session, id, session.nextText(id));
  if (isSpecial(session, id)) return text;
  const spoken = text.replaceAll("\n", " fin de ligne ").trim();
  if (!spoken) return "espace";
  return text.startsWith(" ") ? `espace puis «\u00a0${spoken}\u00a0»` : `«\u00a0${spoken}\u00a0»`;
}

/** Un jeton à l’écran : son espace de tête à part, puis le reste. `show` change ce qu’il montre. */
function tokenNode() {
  const [mark, rest] = [h("mark"), h("span")];
  const node = h("span", { class: "cw-chip-text" }, mark, rest);
  const show = (text, special) => {
    const shown = special ? text : visible(text);
    const lead = /^[␣⍽⏎⇥]*/u.exec(shown)[0];
    write(mark, lead);
    write(rest, shown.slice(lead.length));
    node.toggleAttribute("data-special", special);
  };
  return { node, show };
}

/** Une liste dont les lignes resservent ; `make()` en crée une, `show(ligne, donnée)` la remplit. */
function recycled(list, make, show) {
  const rows = [];
  return (items) => {
    while (rows.length < items.length) rows.push(make(rows.length));
    items.forEach((item, index) => {
      if (rows[index].node.parentNode !== list) list.append(rows[index].node);
      show(rows[index], item);
    });
    while (list.childElementCount > items.length) list.lastElementChild.remove();
  };
}

/** Une ligne : une barre, un jeton, une valeur. */
function barRow(tag, attributes) {
  const [token, value, strip] = [tokenNode(), h("span", { class: "cw-value" }), bar(0)];
  const text = h("span", { class: "cw-text" }, token.node);
  const line = h(tag, attributes, strip, text, value);
  const show = (content, special, probability, share) => {
    token.show(content, special);
    write(value, percent(probability));
    setStyle(strip, "--part", Math.max(share, 0.005).toFixed(3));
  };
  return { line, text, show };
}

/** La liste des jetons suivants ; choisir un jeton l’ajoute au texte. */
export function nextTokensView(session, onChoose) {
  const list = h("ol", { class: "cw-next", "aria-label": "Jetons suivants les plus probables" });
  const make = () => {
    const row = barRow("button", { type: "button", class: "cw-key cw-token" });
    row.line.addEventListener("click", () => onChoose(row.id));
    return Object.assign(row, { node: h("li", {}, row.line) });
  };
  const show = (row, { id, probability }) => {
    row.id = id;
    row.line.setAttribute("aria-label", `Ajouter ${spokenToken(session, id)}`);
    row.show(named(session, id, session.nextText(id)), isSpecial(session, id), probability, probability);
  };
  const fill = recycled(list, make, show);
  const update = (distribution) => {
    const best = mostProbable(distribution, SHOWN).filter(({ probability }) => probability > 0);
    // Une ligne qui s’en va avec le foyer du clavier le laisse à la dernière qui reste.
    const focused = list.contains(document.activeElement);
    fill(best);
    if (focused && !list.contains(document.activeElement)) list.lastElementChild.firstChild.focus();
    return best;
  };
  return { node: list, update };
}

/** Un menu : la moyenne, puis chaque numéro. */
function axis(label, count, onChange) {
  const numbers = Array.from({ length: count }, (_, index) => [String(index), String(index + 1)]);
  const { node, select } = menu(label, [["", "moyenne"], ...numbers], onChange);
  return { node, value: () => (select.value === "" ? null : Number(select.value)) };
}

/** Le texte ombré par l’attention du dernier jeton, et la liste de ce qu’il a le plus lu. */
export function attentionView(session, onChange) {
  const { num_hidden_layers: layers, num_attention_heads: heads } = session.decoder.config;
  const [layer, head] = [axis("Bloc", layers, onChange), axis("Tête", heads, onChange)];
  const shaded = h("p", { class: "cw-shaded", "aria-hidden": "true" });
  const list = h("ol", { class: "cw-most-read", "aria-label": "Jetons les plus lus" });
  const controls = h("div", { class: "cw-controls" }, layer.node, head.node);
  const fillText = recycled(shaded, tokenNode, (row, { text, special, share, current }) => {
    row.show(text, special);
    // La racine carrée laisse voir les petits poids ; la liste donne les valeurs exactes.
    setStyle(row.node, "--share", `${Math.round(SHADES * Math.sqrt(share)) * (100 / SHADES)}%`);
    row.node.toggleAttribute("data-current", current);
  });
  const fillList = recycled(list, () => {
    const row = barRow("li", { class: "cw-key" });
    const position = h("span", { class: "cw-position" });
    row.text.append(position);
    return { ...row, node: row.line, position };
  }, (row, { text, special, weight, place }) => {
    row.show(text, special, weight, weight);
    write(row.position, ` (jeton ${place + 1})`);
  });
  const update = () => {
    const weights = session.attention(layer.value(), head.value());
    const [largest, texts] = [Math.max(...weights), session.texts];
    const items = session.read.map((id, place) => ({
      text: named(session, id, texts[place]),
      special: isSpecial(session, id),
      share: weights[place] / largest,
      weight: weights[place],
      current: place === texts.length - 1,
      place,
    }));
    fillText(items);
    fillList(mostProbable(weights, MOST_READ).map(({ id }) => items[id]));
    return texts.some(isPiece);
  };
  return { node: h("div", {}, controls, shaded, list), update };
}

/** « Ce modèle n’a lu que… » : dit quand le texte tapé ne ressemble pas à ce que le modèle a lu. */
export function stranger(reading, session, finished) {
  if (!reading) return "";
  const surprise = session.surprise(finished);
  if (surprise === null || surprise <= reading.most_bits) return "";
  return `Ce modèle n’a lu que ${reading.texts}\u202f; votre texte n’y ressemble pas\u00a0: ce qu’il écrira n’aura guère de sens.`;
}

/** Ce que le modèle lit encore d’un texte plus long que son contexte. */
export function beyond({ sliding, limit, read }) {
  if (!sliding) return `Le modèle ne lit que le début et les derniers jetons\u202f: ${format(limit)} en tout.`;
  return `Le texte dépasse le contexte\u202f: le modèle n’en lit que les ${format(read.length)} derniers jetons, et a oublié le début.`;
}
