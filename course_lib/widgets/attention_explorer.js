/**
 * Explorateur d'attention : on choisit un mot, on voit ce qu'il regarde.
 * À gauche les mots qui regardent, à droite les mots regardés ; l'épaisseur dit le poids.
 */

import { bar, h, menu, svg } from "./nodes.js";

const HELP =
  "Choisissez un mot à gauche (souris ou flèches ↑ ↓)\u00a0: " +
  "les courbes mènent aux mots qu’il regarde.";

const SELECTIONS = { mean: "moyenne", sum: "somme" };

/** Écrit un nombre à la française, avec signe si demandé. */
function format(value, signed = false) {
  const rounded = Math.abs(value).toFixed(2);
  const negative = value < 0 && Number(rounded) !== 0;
  const sign = negative ? "−" : signed && Number(rounded) !== 0 ? "+" : "";
  return sign + rounded.replace(".", ",");
}

/** Les éléments choisis d'un axe et leur poids commun : un seul, tous sommés, tous moyennés. */
function chosen(items, selection) {
  if (selection !== "mean" && selection !== "sum") return [[items[Number(selection)]], 1];
  return [items, selection === "mean" ? 1 / items.length : 1];
}

/** Les poids (un par mot regardé) du mot `query`, bloc et tête choisis. */
function weightsOf(sentence, query, layer, head) {
  const totals = sentence.keys.map(() => 0);
  const [layers, layerScale] = chosen(sentence.weights, layer);
  for (const heads of layers) {
    const [matrices, headScale] = chosen(heads, head);
    for (const rows of matrices) {
      rows[query].forEach((weight, key) => (totals[key] += weight * layerScale * headScale));
    }
  }
  return totals;
}

/** Deux mots au même endroit : un seul s'ils sont égaux, « a / b » sinon. */
const merge = (first, second) =>
  first.map((word, index) => (word === second[index] ? word : `${word} / ${second[index]}`));

/** La différence est définie si les deux phrases se répondent mot à mot. */
function comparable(sentences) {
  return (
    sentences.length === 2 &&
    sentences[0].queries.length === sentences[1].queries.length &&
    sentences[0].keys.length === sentences[1].keys.length
  );
}

/** Ce qu'il faut dessiner : un panneau par phrase, ou celui de leur différence. */
function panels(model) {
  const sentences = model.get("sentences");
  const read = (sentence) => {
    const query = Math.min(model.get("query"), sentence.queries.length - 1);
    return { query, values: weightsOf(sentence, query, model.get("layer"), model.get("head")) };
  };
  if (model.get("view") !== "difference" || !comparable(sentences)) {
    return sentences.map((sentence) => ({ ...sentence, ...read(sentence), signed: false }));
  }
  const [first, second] = sentences.map(read);
  return [
    {
      label: `${sentences[0].label} − ${sentences[1].label}`,
      queries: merge(sentences[0].queries, sentences[1].queries),
      keys: merge(sentences[0].keys, sentences[1].keys),
      query: first.query,
      values: first.values.map((value, index) => value - second.values[index]),
      signed: true,
    },
  ];
}

/** Phrase qui résume un panneau, pour l'œil pressé et le lecteur d'écran. */
function summary(panel) {
  const ranked = panel.values
    .map((value, index) => ({ value, word: panel.keys[index] }))
    .sort((a, b) => Math.abs(b.value) - Math.abs(a.value))
    .slice(0, 2)
    .map(({ value, word }) => `«\u00a0${word}\u00a0» (${format(value, panel.signed)})`);
  const verb = panel.signed ? "change surtout son regard sur" : "regarde surtout";
  const word = panel.queries[panel.query];
  return `${panel.label}\u00a0: «\u00a0${word}\u00a0» ${verb} ${ranked.join(", puis ")}.`;
}

/** La liste des mots qui regardent ; les flèches déplacent le choix. */
function queryList(panel, select) {
  const options = panel.queries.map((word, index) => {
    const chosen = index === panel.query;
    const option = h("li", { role: "option", "aria-selected": chosen, class: "cw-word" }, word);
    option.tabIndex = chosen ? 0 : -1;
    option.addEventListener("click", () => select(index));
    return option;
  });
  const label = `Mot qui regarde, ${panel.label}`;
  const list = h("ul", { role: "listbox", "aria-label": label, class: "cw-queries" }, ...options);
  list.addEventListener("keydown", (event) => {
    const target = destination(event.key, panel.query, panel.queries.length);
    if (target === null) return;
    event.preventDefault();
    select(target);
  });
  return list;
}

/** Où mène une touche, ou null si elle ne déplace rien. */
function destination(key, current, count) {
  if (key === "ArrowDown" || key === "ArrowRight") return Math.min(current + 1, count - 1);
  if (key === "ArrowUp" || key === "ArrowLeft") return Math.max(current - 1, 0);
  if (key === "Home") return 0;
  return key === "End" ? count - 1 : null;
}

/** Les courbes du mot choisi vers chaque mot regardé. */
function curves(panel, scale) {
  const rows = Math.max(panel.queries.length, panel.keys.length);
  const view = { viewBox: `0 0 100 ${rows}`, preserveAspectRatio: "none" }; // une unité par ligne
  const drawing = svg("svg", { class: "cw-curves", ...view, "aria-hidden": "true" });
  drawing.style.height = `calc(${rows} * var(--cw-row))`;
  const start = panel.query + 0.5;
  panel.values.forEach((value, index) => {
    const share = Math.abs(value) / scale;
    if (share < 0.01) return;
    const end = index + 0.5;
    drawing.append(
      svg("path", {
        d: `M0 ${start} C50 ${start} 50 ${end} 100 ${end}`,
        class: value < 0 ? "cw-curve cw-negative" : "cw-curve",
        "stroke-width": (1 + 7 * share).toFixed(2),
        "stroke-opacity": (0.25 + 0.75 * share).toFixed(3),
      }),
    );
  });
  return drawing;
}

/** Un mot regardé : sa barre, son texte, son poids. */
function keyItem(word, value, scale, signed) {
  const strip = bar(Math.abs(value) / scale, value < 0 ? "cw-negative" : "");
  const number = h("span", { class: "cw-value" }, format(value, signed));
  return h("li", { class: "cw-key" }, strip, h("span", { class: "cw-text" }, word), number);
}

/** Un panneau : titre, mots qui regardent, courbes, mots regardés. */
function panelNode(panel, select) {
  // Une somme dépasse 1 : l'échelle suit alors la plus grande valeur, sinon elle reste 0–1.
  const largest = Math.max(...panel.values.map(Math.abs));
  const scale = panel.signed ? Math.max(largest, 0.05) : Math.max(largest, 1);
  const items = panel.keys.map((word, index) =>
    keyItem(word, panel.values[index], scale, panel.signed),
  );
  const keys = h("ul", { class: "cw-keys", "aria-label": `Mots regardés, ${panel.label}` }, ...items);
  const row = h("div", { class: "cw-columns" }, queryList(panel, select), curves(panel, scale), keys);
  return h("div", { class: "cw-panel" }, h("p", { class: "cw-panel-title" }, panel.label), row);
}

/** Un menu posé sur `value`. */
function setting(label, options, value, onChange) {
  const { node, select } = menu(label, options, () => onChange(select.value));
  select.value = value;
  return node;
}

/** Les choix d'un axe : 1…n, puis moyenne et somme s'il y en a plusieurs. */
function axisOptions(count, all) {
  const options = Array.from({ length: count }, (_, index) => [String(index), String(index + 1)]);
  const reductions = Object.entries(SELECTIONS).map(([key, text]) => [key, `${all} (${text})`]);
  return count > 1 ? [...options, ...reductions] : [...options, ["mean", all]];
}

/** Les menus : vue, bloc, tête. */
function controls(model) {
  const sentences = model.get("sentences");
  const choose = (name) => (value) => {
    model.set(name, value);
    model.save_changes();
  };
  const layers = axisOptions(sentences[0].weights.length, "tous");
  const heads = axisOptions(sentences[0].weights[0].length, "toutes");
  const nodes = [
    setting("Bloc", layers, model.get("layer"), choose("layer")),
    setting("Tête", heads, model.get("head"), choose("head")),
  ];
  if (comparable(sentences)) {
    const views = [["each", "les deux phrases"], ["difference", "leur différence"]];
    nodes.unshift(setting("Voir", views, model.get("view"), choose("view")));
  }
  return h("div", { class: "cw-controls" }, ...nodes);
}

function render({ model, el }) {
  const title = model.get("title");
  const help = h("p", { class: "cw-help" }, HELP);
  const stage = h("div", { class: "cw-panels" });
  const live = h("p", { class: "cw-summary", "aria-live": "polite" });

  const draw = () => {
    const drawn = panels(model);
    const focused = [...stage.querySelectorAll(".cw-queries")].findIndex((list) =>
      list.contains(document.activeElement),
    );
    stage.replaceChildren(...drawn.map((panel) => panelNode(panel, select)));
    // Redessiner ôte le foyer du clavier : on le rend au même panneau.
    if (focused >= 0) stage.querySelectorAll(".cw-queries")[focused]?.querySelector("[tabindex='0']").focus();
    live.replaceChildren(...drawn.map((panel) => h("span", {}, summary(panel))));
  };
  const select = (index) => {
    model.set("query", index);
    model.save_changes();
  };

  const events = ["query", "layer", "head", "view", "sentences"].map((name) => `change:${name}`);
  for (const event of events) model.on(event, draw);
  const heading = h("p", { class: "cw-title" }, title);
  const parts = [heading, controls(model), help, stage, live];
  el.append(h("section", { class: "cw cw-attention", "aria-label": title }, ...parts));
  draw();
  return () => events.forEach((event) => model.off(event, draw));
}

export default { render };
