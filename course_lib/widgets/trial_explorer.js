/**
 * Explorateur d’essais : on choisit une valeur par axe, la page montre ce qui a été mesuré, rien d’autre.
 * Médianes, étendues et nombres écrits viennent de `course_lib.widgets.trials`.
 */

import { h, menu, svg } from "./nodes.js";

const UNMEASURED = "pas mesuré";
const HELP =
  "Choisissez une valeur par menu\u00a0: voici ce que l’essai a donné (la médiane, s’il a plusieurs graines). " +
  "Puis faites varier un seul axe\u00a0: une barre va jusqu’à la médiane, son trait fin de la plus basse graine à la plus haute.";
const SENSE = { true: "Plus haut, c’est mieux.", false: "Plus bas, c’est mieux.", null: "" };

/** De la plus basse à la plus haute ; rien s’il n’y a qu’une graine. */
const spread = ({ texts: [low, , high], seeds }) => (seeds > 1 ? `de ${low} à ${high}` : "");

/** Trouve une mesure d’un essai ; nul s’il n’a pas été fait, ou sans elle. */
function cellFinder(trials) {
  const known = new Map(trials.map(({ choices, cells }) => [choices.join(), cells]));
  return (choices, measure) => known.get(choices.join())?.[measure] ?? null;
}

/** Place les valeurs d’une mesure, en pour cent : une échelle pour tous les essais, où zéro figure. */
function placement(trials, measure) {
  const numbers = trials.flatMap(({ cells }) => cells[measure]?.numbers ?? []);
  const [low, high] = [Math.min(0, ...numbers), Math.max(0, ...numbers)];
  return (value) => (100 * (value - low)) / (high - low || 1);
}

/** Une barre de zéro à la médiane et, s’il y a plusieurs graines, le trait de leur étendue. */
function strip({ numbers, seeds }, place) {
  const [zero, low, middle, high] = [0, ...numbers].map(place);
  const line = (x1, y1, x2, y2, name) => svg("line", { x1, y1, x2, y2, class: name });
  const [start, width] = [Math.min(zero, middle), Math.abs(middle - zero)];
  const bar = svg("rect", { x: start, y: 3, width, height: 14, class: "cw-trial-bar" });
  const whisker = (name) => [line(low, 10, high, 10, name), line(low, 6, low, 14, name), line(high, 6, high, 14, name)];
  const whiskers = seeds > 1 ? [...whisker("cw-trial-halo"), ...whisker("cw-trial-whisker")] : [];
  const view = { viewBox: "0 0 100 20", preserveAspectRatio: "none", class: "cw-trial-strip", "aria-hidden": "true" };
  return svg("svg", view, bar, line(zero, 0, zero, 20, "cw-trial-zero"), ...whiskers);
}

/** Un menu de noms, qui rend le rang du nom choisi. */
function ranks(label, names, onChange) {
  const { node, select } = menu(label, names.map((name, index) => [index, name]), onChange);
  return { node, select, read: () => Number(select.value) };
}

/** Les mesures d’un essai. */
function figures(measures, cells) {
  const items = measures.map(({ name }, index) => {
    const cell = cells[index];
    const range = cell && spread(cell);
    const small = range ? [" ", h("span", { class: "cw-trial-range" }, `${range}, ${cell.seeds} graines`)] : [];
    return h("li", {}, `${name} `, h("strong", {}, cell ? cell.texts[1] : UNMEASURED), ...small);
  });
  return h("ul", { class: "cw-pairs" }, ...items);
}

/** Une valeur de l’axe que l’on fait varier. */
function comparedItem({ name, cell, current }, place) {
  const mark = current ? [" ", h("em", {}, "← votre choix")] : [];
  const head = h("div", { class: "cw-lane-head" }, h("strong", {}, name, ...mark), h("span", {}, cell ? cell.texts[1] : UNMEASURED));
  return h("li", { "data-current": current }, head, cell ? strip(cell, place) : "");
}

/** Les mêmes nombres, en lignes de tableau. */
function comparedRow({ name, cell }) {
  const texts = cell ? [cell.texts[1], spread(cell) || "–", cell.seeds] : [UNMEASURED, "–", "–"];
  return h("tr", {}, h("th", { scope: "row" }, name), ...texts.map((text) => h("td", {}, text)));
}

/** Le tableau replié, et de quoi le remplir. */
function foldedTable() {
  const [caption, body, corner] = [h("caption"), h("tbody"), h("th", { scope: "col" })];
  const heads = ["Médiane", "Étendue", "Graines"].map((text) => h("th", { scope: "col" }, text));
  const table = h("table", { class: "cw-table" }, caption, h("thead", {}, h("tr", {}, corner, ...heads)), body);
  const fill = (title, axis, rows) => {
    caption.textContent = title;
    corner.textContent = axis;
    body.replaceChildren(...rows.map(comparedRow));
  };
  const region = { class: "cw-scroll", tabindex: "0", role: "region", "aria-label": "Tableau de la comparaison" };
  return { node: h("details", {}, h("summary", {}, "Ces nombres en tableau"), h("div", region, table)), fill };
}

function render({ model, el }) {
  const [title, axes, measures, trials] = ["title", "axes", "measures", "trials"].map((name) => model.get(name));
  const find = cellFinder(trials);
  const draw = () => {
    const choices = menus.map(({ read }) => read());
    const [axis, measure] = [varied.read(), compared.read()];
    const { name, higherIsBetter } = measures[measure];
    numbers.replaceChildren(figures(measures, measures.map((_, index) => find(choices, index))));
    const others = axes.flatMap((one, i) => (i === axis ? [] : `${one.name}\u00a0: ${one.values[choices[i]]}`));
    heading.textContent = `${name} selon l’axe «\u00a0${axes[axis].name}\u00a0»${others.length ? ` (${others.join("\u202f; ")})` : ""}`;
    sense.textContent = SENSE[higherIsBetter];
    const rows = axes[axis].values.map((value, i) => {
      const cell = find(choices.with(axis, i), measure);
      return { name: value, cell, current: i === choices[axis] };
    });
    const place = placement(trials, measure);
    list.replaceChildren(...rows.map((row) => comparedItem(row, place)));
    table.fill(heading.textContent, axes[axis].name, rows);
  };
  const menus = axes.map(({ name, values }) => ranks(name, values, draw));
  menus.forEach(({ select }, i) => (select.value = trials[0].choices[i]));
  const compared = ranks("Comparer", measures.map(({ name }) => name), draw);
  const varied = ranks("Faire varier", axes.map(({ name }) => name), draw);
  const numbers = h("div", { "aria-live": "polite" });
  const [heading, sense] = [h("p", { class: "cw-panel-title" }), h("p", { class: "cw-help" })];
  const list = h("ul", { class: "cw-trial-bars" });
  const table = foldedTable();
  const panel = (...children) => h("div", { class: "cw-panel" }, ...children);
  const controls = (fields) => h("div", { class: "cw-controls" }, ...fields.map(({ node }) => node));
  const parts = [h("p", { class: "cw-title" }, title), h("p", { class: "cw-help" }, HELP), controls(menus)];
  const left = panel(h("p", { class: "cw-panel-title" }, "Ce qui a été mesuré"), numbers);
  const right = panel(controls([compared, varied]), heading, sense, list, table.node);
  el.append(h("section", { class: "cw cw-trials", "aria-label": title }, ...parts, h("div", { class: "cw-panels" }, left, right)));
  draw();
}

export default { render };
