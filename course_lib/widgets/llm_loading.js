/** Un composant dont le modèle est lourd : figé d’abord, vivant quand les poids sont là. */

import { format, h } from "./tokenizer_explorer.js";

const STILL = "Version figée\u00a0: les nombres ont été calculés d’avance.";
const FAILURE = "Un modèle n’a pas pu être chargé. Voici la version figée\u202f; rechargez la page pour réessayer.";
const NO_SOURCE = "Sur cette page, le modèle est figé\u202f; il s’anime dans le cahier, une fois exécuté.";

/** Un bouton et ce qu’il fait. */
export function button(label, onClick) {
  const node = h("button", { type: "button", class: "cw-button" }, label);
  node.addEventListener("click", onClick);
  return node;
}

/** La version figée, tant que le modèle n’est pas là. */
function stillView({ headers, rows, caption, paragraphs }) {
  const row = ([name, ...values]) =>
    h("tr", {}, h("th", { scope: "row" }, name), ...values.map((value) => h("td", {}, value)));
  const head = h("tr", {}, ...headers.map((name) => h("th", { scope: "col" }, name)));
  const parts = [h("caption", {}, caption), h("thead", {}, head), h("tbody", {}, ...rows.map(row))];
  const texts = paragraphs.map((text) => h("p", {}, text));
  return h("div", { class: "cw-still" }, h("table", { class: "cw-table" }, ...parts), ...texts, h("p", { class: "cw-help" }, STILL));
}

/** Le bouton de chargement et son avancement. */
function loader(label, size, start) {
  const megabytes = format(size / 1e6, 1);
  const progress = h("progress", { max: size, value: 0, "aria-label": "Chargement du modèle" });
  progress.hidden = true;
  const load = button(`${label} (${megabytes}\u00a0Mo)`, start);
  const status = h("p", { role: "status" });
  const begin = () => {
    progress.hidden = false;
    load.disabled = true;
    status.textContent = "Chargement…";
  };
  const stop = (message) => {
    progress.hidden = true;
    load.disabled = false;
    status.textContent = message;
    status.className = "cw-error";
  };
  const node = h("div", { class: "cw-loader" }, load, progress, status);
  return { node, begin, stop, advance: (bytes) => (progress.value = bytes) };
}

/** Appelle `start` quand le composant arrive à l’écran, sauf si le lecteur économise ses données. */
function whenSeen(node, start) {
  if (navigator.connection?.saveData || !("IntersectionObserver" in window)) return () => {};
  const observer = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && start());
  observer.observe(node);
  return () => observer.disconnect();
}

/**
 * Pose le composant dans `el` et rend de quoi l’ôter.
 * `load(avancement)` va chercher les poids, s’ils sont `reachable` ; `build(chargé)` rend le panneau
 * vivant : son `node`, son `first` (où va le foyer du clavier), son `destroy`.
 */
export function liveWhenLoaded(el, { kind, title, help, still, label, size, reachable, load, build }) {
  const body = h("div", {}, stillView(still));
  const section = h("section", { class: `cw ${kind}`, "aria-label": title });
  section.append(h("p", { class: "cw-title" }, title), h("p", { class: "cw-help" }, help), body);
  el.append(section);
  if (!reachable) {
    body.append(h("p", { class: "cw-help" }, NO_SOURCE));
    return () => {};
  }
  let panel = null;
  let started = false;
  let removed = false;
  const start = async () => {
    if (started) return;
    started = true;
    stopWatching();
    bar.begin();
    try {
      const loaded = await load(bar.advance);
      if (removed) return;
      const focused = bar.node.contains(document.activeElement);
      panel = build(loaded);
      body.replaceChildren(panel.node);
      if (focused) panel.first.focus();
    } catch (error) {
      console.warn("Modèle de langue :", error);
      bar.stop(FAILURE);
      started = false;
    }
  };
  const bar = loader(label, size, start);
  body.prepend(bar.node);
  const stopWatching = whenSeen(section, start);
  return () => {
    removed = true;
    stopWatching();
    panel?.destroy();
  };
}
