/**
 * Explorateur de vecteurs : des phrases sur une carte, et les voisines de celle que l’on choisit.
 */

import { svg } from "./svg_nodes.js";
import { format, h } from "./tokenizer_explorer.js";

const [WIDTH, HEIGHT, MARGIN] = [420, 300, 16];
const NEIGHBOURS = 5;
const HELP =
  "La carte écrase des centaines de dimensions en deux\u00a0: deux points proches sur le papier ne sont pas toujours " +
  "voisins. La liste, elle, compare les vecteurs entiers. Choisissez une phrase, dans le menu ou sur la carte.";

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

/** Une marque par groupe : rond, carré, triangle, losange. */
function mark(shape, x, y, size) {
  const paths = [
    `M ${x - size} ${y} a ${size} ${size} 0 1 0 ${2 * size} 0 a ${size} ${size} 0 1 0 ${-2 * size} 0`,
    `M ${x - size} ${y - size} h ${2 * size} v ${2 * size} h ${-2 * size} z`,
    `M ${x} ${y - size * 1.2} l ${size * 1.2} ${size * 2.1} h ${-size * 2.4} z`,
    `M ${x} ${y - size * 1.3} l ${size * 1.3} ${size * 1.3} l ${-size * 1.3} ${size * 1.3} l ${-size * 1.3} ${-size * 1.3} z`,
  ];
  return svg("path", { d: paths[shape % paths.length] });
}

function render({ model, el }) {
  const [title, sentences, groups, points, triangle] = ["title", "sentences", "groups", "points", "similarities"].map((name) => model.get(name));
  const n = sentences.length;
  const kinds = [...new Set(groups)];
  const xs = points.map(([x]) => x);
  const ys = points.map(([, y]) => y);
  const span = (values, size) => {
    const [low, high] = [Math.min(...values), Math.max(...values)];
    return (value) => MARGIN + ((size - 2 * MARGIN) * (value - low)) / (high - low || 1);
  };
  const [toX, toY] = [span(xs, WIDTH), span(ys, HEIGHT)];
  const place = (i) => [toX(xs[i]), HEIGHT - toY(ys[i])];
  const select = h("select", { class: "cw-select" });
  sentences.forEach((sentence, i) => select.append(h("option", { value: i }, sentence)));
  const lines = svg("g", { class: "cw-links" });
  const marks = sentences.map((sentence, i) => {
    const node = svg("g", { class: `cw-point cw-kind-${kinds.indexOf(groups[i])}` }, svg("title", {}, `${sentence} (${groups[i]})`), mark(kinds.indexOf(groups[i]), ...place(i), 6));
    node.addEventListener("click", () => {
      select.value = i;
      draw();
    });
    return node;
  });
  const map = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "cw-map", "aria-hidden": "true" }, lines, ...marks);
  const keys = kinds.map((kind, index) => {
    const icon = svg("svg", { viewBox: "0 0 20 20", class: `cw-icon cw-kind-${index}`, "aria-hidden": "true" }, mark(index, 10, 10, 6));
    return h("li", {}, icon, ` ${kind}`);
  });
  const legend = h("ul", { class: "cw-legend", "aria-label": "Légende" }, ...keys);
  const list = h("div", { class: "cw-panel", "aria-live": "polite" });
  const draw = () => {
    const chosen = Number(select.value);
    const near = neighbours(triangle, n, chosen);
    const [x1, y1] = place(chosen);
    lines.replaceChildren(...near.map(([i]) => {
      const [x2, y2] = place(i);
      return svg("line", { x1, y1, x2, y2 });
    }));
    marks.forEach((node, i) => node.toggleAttribute("data-chosen", i === chosen));
    const items = near.map(([i, value]) => {
      const strip = h("span", { class: "cw-bar", "aria-hidden": "true" });
      strip.style.width = `${Math.max(0, 100 * value).toFixed(1)}%`;
      return h("li", { class: "cw-key" }, strip, h("span", { class: "cw-text" }, `${sentences[i]} (${groups[i]})`), h("span", { class: "cw-value" }, format(value, 3)));
    });
    list.replaceChildren(h("p", { class: "cw-panel-title" }, "Les plus ressemblantes"), h("ol", { class: "cw-keys" }, ...items));
  };
  select.addEventListener("change", draw);
  const choice = h("label", { class: "cw-field" }, h("span", {}, "Phrase"), select);
  const parts = [h("p", { class: "cw-title" }, title), h("p", { class: "cw-help" }, HELP)];
  const panels = h("div", { class: "cw-panels" }, h("div", { class: "cw-panel" }, map, legend), list);
  el.append(h("section", { class: "cw cw-embeddings", "aria-label": title }, ...parts, h("div", { class: "cw-controls" }, choice), panels));
  draw();
}

export default { render };
