/**
 * Une formule se copie comme elle se lit : « de scores 2, 1 et 0 », « 16/21 ≈ 0,76 », « e^(z/T) ».
 * Le navigateur, lui, sépare chaque morceau d'une formule par un blanc, et une fraction perd sa barre.
 */

const group = (text) => (text.length > 1 ? `(${text})` : text);
const children = (node) => [...node.children].map(written);
const WRITTEN = {
  mfrac: ([above, below]) => `${/\W/.test(above) ? group(above) : above}/${/\W/.test(below) ? group(below) : below}`,
  msup: ([base, above]) => `${base}^${group(above)}`,
  msub: ([base, below]) => `${base}_${group(below)}`,
  msubsup: ([base, below, above]) => `${base}_${group(below)}^${group(above)}`,
  munder: ([base, below]) => `${base}_${group(below)}`,
  msqrt: (parts) => `√${group(parts.join(""))}`,
};

/** Une formule MathML en une ligne de texte. */
function written(node) {
  if (node.localName === "mspace") return "";
  if (node.localName === "mo" && /[=≈×+−<>≤≥·]/.test(node.textContent)) return ` ${node.textContent} `;
  if (!node.children.length) return node.textContent;
  return WRITTEN[node.localName]?.(children(node)) ?? children(node).join("");
}

document.addEventListener("copy", (event) => {
  const selection = getSelection();
  const copied = document.createElement("div");
  for (let i = 0; i < selection.rangeCount; i++) copied.append(selection.getRangeAt(i).cloneContents());
  const formulas = copied.querySelectorAll("math");
  if (!formulas.length) return;
  for (const formula of formulas) formula.replaceWith(written(formula).trim());
  copied.style.cssText = "position: fixed; left: -100vw; width: 90vw";
  document.body.append(copied); // innerText suit les paragraphes d'un texte affiché
  event.clipboardData.setData("text/plain", copied.innerText);
  copied.remove();
  event.preventDefault();
});
