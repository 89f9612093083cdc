/** De quoi bâtir un composant : éléments, boutons, menus, barres, nombres français. */

/** Pose attributs et enfants sur un élément. */
function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** Crée un élément HTML avec attributs et enfants. */
export const h = (tag, attributes = {}, ...children) => filled(document.createElement(tag), attributes, children);

/** Crée un élément SVG avec attributs et enfants. */
export const svg = (tag, attributes = {}, ...children) =>
  filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

const formats = []; // un par nombre de décimales : les préparer coûte plus que s’en servir

/** Écrit un nombre à la française. */
export function format(value, digits = 0) {
  formats[digits] ??= new Intl.NumberFormat("fr-FR", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return formats[digits].format(value);
}

/** Un bouton et ce qu’il fait ; `secondary` : dessiné au trait, il pèse moins. */
export function button(label, onClick, secondary = false) {
  const node = h("button", { type: "button", class: secondary ? "cw-button cw-secondary" : "cw-button" }, label);
  node.addEventListener("click", onClick);
  return node;
}

/** Un menu et son étiquette ; `options` : [valeur, texte]. */
export function menu(label, options, onChange) {
  const select = h("select", { class: "cw-select" });
  for (const [value, text] of options) select.append(h("option", { value }, text));
  select.addEventListener("change", onChange);
  return { node: h("label", { class: "cw-field" }, h("span", {}, label), select), select };
}

/** Ajuste la hauteur d’une zone de texte à ce qu’elle contient, là où le navigateur ne le fait pas. */
export function fit(area) {
  if (CSS.supports("field-sizing", "content")) return;
  area.style.height = "auto";
  area.style.height = `${area.scrollHeight + 2}px`;
}

/** Une zone de texte qui grandit avec son contenu. */
export function textArea(rows) {
  const area = h("textarea", { class: "cw-textarea", rows, spellcheck: "false" });
  area.addEventListener("input", () => fit(area));
  return area;
}

/** Change un texte seulement s’il diffère : le navigateur n’a alors rien à redessiner. */
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Change une variable de style, à la même condition. */
export function setStyle(node, name, value) {
  if (node.style.getPropertyValue(name) !== value) node.style.setProperty(name, value);
}

/** Une barre longue de `share` (de 0 à 1) fois sa ligne. */
export function bar(share, kind = "") {
  const node = h("span", { class: `cw-bar ${kind}`.trim(), "aria-hidden": "true" });
  node.style.setProperty("--part", share.toFixed(4));
  return node;
}
