/**
 * Explorateur de vecteurs : des phrases sur une carte, et les voisines de celle que l’on choisit.
 */

import { bar, format, h, menu, svg } from "./nodes.js";

const [WIDTH, HEIGHT, MARGIN] = [420, 300, 16];
const [SIZE, CHOSEN_SIZE] = [6, 9]; // demi-largeur d’une marque
const REACH = 24; // jusqu’où un clic trouve une phrase, en unités du dessin
const NEIGHBOURS = 5;

/** Ce que la carte montre, et ce qu’elle cache. */
const help = (share) =>
  "Choisissez une phrase, dans le menu ou sur la carte\u00a0: des traits mènent à ses voisines. La carte ne garde des vecteurs " +
  `que leurs deux axes principaux, soit ${format(100 * share)}\u00a0% de ce qui les distingue (la variance)\u00a0: deux points proches ` +
  "sur le papier ne sont pas toujours voisins. La liste compare les vecteurs entiers, par le cosinus de leur angle.";

/** La place de (i, j) dans le triangle des ressemblances, ligne après ligne, i < j. */
const rank = (i, j, n) => i * n - (i * (i + 1)) / 2 + (j - i - 1);

/** Ressemblance de deux phrases : le produit scalaire de leurs vecteurs. */
export function similarity(triangle, n, i, j) {
  if (i === j) return 1;
  return triangle[i < j ? rank(i, j, n) : rank(j, i, n)] / 1000;
}

/** Les voisines d’une phrase, de la plus ressemblante à la moins. */
export function neighbours(triangle, n, chosen, count = NEIGHBOURS) {
  const others = Array.from({ length: n }, (_, i) => i).filter((i) => i !== chosen);
  const scored = others.map((i) => [i, similarity(triangle, n, chosen, i)]);
  return scored.sort((a, b) => b[1] - a[1] || a[0] - b[0]).slice(0, count);
}

/** La part de la variance que garde la carte ; 1 si les vecteurs sont tous les mêmes. */
export function keptShare(points, triangle) {
  const n = points.length;
  // Vecteurs de norme 1 : la somme des carrés des écarts à la moyenne vaut n − Σᵢⱼ sᵢⱼ / n.
  const total = n - (n + (2 * triangle.reduce((sum, s) => sum + s, 0)) / 1000) / n;
  const kept = points.reduce((sum, [x, y]) => sum + x * x + y * y, 0);
  return total > 1e-3 ? Math.min(1, kept / total) : 1;
}

/** Place les points sur la carte, à la même échelle en largeur et en hauteur. */
function placement(points) {
  const [xs, ys] = [points.map(([x]) => x), points.map(([, y]) => y)];
  const middle = (values) => (Math.min(...values) + Math.max(...values)) / 2;
  const extent = (values) => Math.max(...values) - Math.min(...values) || 1e-9;
  const scale = Math.min((WIDTH - 2 * MARGIN) / extent(xs), (HEIGHT - 2 * MARGIN) / extent(ys));
  return points.map(([x, y]) => [WIDTH / 2 + scale * (x - middle(xs)), HEIGHT / 2 - scale * (y - middle(ys))]);
}

/** Une marque par groupe : rond, carré, triangle, losange. */
function mark(shape, [x, y], size) {
  const paths = [
    `M ${x - size} ${y} a ${size} ${size} 0 1 0 ${2 * size} 0 a ${size} ${size} 0 1 0 ${-2 * size} 0`,
    `M ${x - size} ${y - size} h ${2 * size} v ${2 * size} h ${-2 * size} z`,
    `M ${x} ${y - size * 1.2} l ${size * 1.2} ${size * 2.1} h ${-size * 2.4} z`,
    `M ${x} ${y - size * 1.3} l ${size * 1.3} ${size * 1.3} l ${-size * 1.3} ${size * 1.3} l ${-size * 1.3} ${-size * 1.3} z`,
  ];
  return svg("path", { d: paths[shape] });
}

/** La phrase la plus proche d’un clic, ou −1 s’il est loin de toutes. */
function pointed(map, places, { clientX, clientY }) {
  const { x, y } = new DOMPoint(clientX, clientY).matrixTransform(map.getScreenCTM().inverse());
  const distances = places.map(([px, py]) => Math.hypot(px - x, py - y));
  const nearest = Math.min(...distances);
  return nearest <= REACH ? distances.indexOf(nearest) : -1;
}

/** La légende : la marque de chaque groupe. */
function legend(kinds) {
  const keys = kinds.map((kind, index) => {
    const icon = { viewBox: "0 0 20 20", class: `cw-icon cw-kind-${index}`, "aria-hidden": "true" };
    return h("li", {}, svg("svg", icon, mark(index, [10, 10], SIZE)), ` ${kind}`);
  });
  return h("ul", { class: "cw-legend", "aria-label": "Légende" }, ...keys);
}

/** Une ressemblance, avec un vrai signe moins. */
const cosine = (value) => format(value, 3).replace("-", "−");

/** Une voisine : barre, texte et groupe, ressemblance. */
function neighbourItem(sentence, group, value) {
  const number = h("span", { class: "cw-value" }, cosine(value));
  return h("li", { class: "cw-key" }, bar(Math.max(0, value)), h("span", { class: "cw-text" }, `${sentence} (${group})`), number);
}

function render({ model, el }) {
  const [title, sentences, groups, points, triangle] = ["title", "sentences", "groups", "points", "similarities"].map((name) => model.get(name));
  const n = sentences.length;
  const kinds = [...new Set(groups)];
  const kind = (i) => kinds.indexOf(groups[i]);
  const places = placement(points);
  const links = svg("g", { class: "cw-links" });
  const front = svg("g", { class: "cw-links" }); // la choisie et ses voisines, par-dessus les autres
  const marks = sentences.map((sentence, i) => {
    const name = svg("title", {}, `${sentence} (${groups[i]})`);
    return svg("g", { class: `cw-point cw-kind-${kind(i)}` }, name, mark(kind(i), places[i], SIZE));
  });
  const map = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "cw-map", "aria-hidden": "true" }, links, ...marks, front);
  const list = h("ol", { class: "cw-keys", "aria-label": "Les plus ressemblantes" });
  const live = h("p", { class: "cw-visually-hidden", "aria-live": "polite" });

  const draw = () => {
    const chosen = Number(select.value);
    const near = neighbours(triangle, n, chosen);
    const [x1, y1] = places[chosen];
    links.replaceChildren(...near.map(([i]) => svg("line", { x1, y1, x2: places[i][0], y2: places[i][1] })));
    const raised = [...near.map(([i]) => [i, SIZE]).reverse(), [chosen, CHOSEN_SIZE]];
    front.replaceChildren(...raised.map(([i, size]) => svg("g", { class: `cw-kind-${kind(i)}` }, mark(kind(i), places[i], size))));
    list.replaceChildren(...near.map(([i, value]) => neighbourItem(sentences[i], groups[i], value)));
    live.textContent = `La plus ressemblante\u00a0: « ${sentences[near[0][0]]} » (${groups[near[0][0]]}), ${cosine(near[0][1])}.`;
  };
  const { node: choice, select } = menu("Phrase", sentences.map((sentence, i) => [i, sentence]), draw);
  map.addEventListener("click", (event) => {
    const found = pointed(map, places, event);
    if (found < 0) return;
    select.value = found;
    draw();
  });
  const parts = [h("p", { class: "cw-title" }, title), h("p", { class: "cw-help" }, help(keptShare(points, triangle)))];
  const listing = h("div", { class: "cw-panel" }, h("p", { class: "cw-panel-title" }, "Les plus ressemblantes"), list);
  const panels = h("div", { class: "cw-panels" }, h("div", { class: "cw-panel" }, map, legend(kinds)), listing);
  el.append(h("section", { class: "cw cw-embeddings", "aria-label": title }, ...parts, h("div", { class: "cw-controls" }, choice), panels, live));
  draw();
}

export default { render };
