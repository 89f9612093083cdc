/** Écrire de très grands et de très petits nombres en français, sans notation d’informaticien. */

const NO_BREAK = "\u00a0";
const EXPONENTS = "⁰¹²³⁴⁵⁶⁷⁸⁹";

/** Une décimale au plus, ou trois chiffres significatifs sous 10. */
export function short(value) {
  const precision = value >= 9.995 ? { maximumFractionDigits: 1 } : { maximumSignificantDigits: 3 };
  return value.toLocaleString("fr-FR", precision);
}

/** Un nombre et son nom : le pluriel commence à 2. */
export const counted = (value, name) => `${short(value)}${NO_BREAK}${name}${value >= 1.9995 ? "s" : ""}`;

/** « 3,8 × 10²⁵ », « 10²⁶ ». */
export function scientific(value) {
  const [mantissa, exponent] = value.toExponential(1).split("e");
  const power = String(Number(exponent)).replace(/\d/g, (digit) => EXPONENTS[digit]).replace("-", "⁻");
  const front = mantissa.replace(".0", "").replace(".", ",");
  return front === "1" ? `10${power}` : `${front}${NO_BREAK}×${NO_BREAK}10${power}`;
}

/** « 405,9 milliards », « 12 345 », « 3,8 × 10²⁵ » ; avec une unité : « 31 millions d’euros ». */
export function large(value, unit = "") {
  const of = (word) => (unit ? `${word}${NO_BREAK}${/^[aeiouéh]/.test(unit) ? "d’" : "de "}${unit}s` : word);
  if (value >= 1e15) return `${scientific(value)}${unit && `${NO_BREAK}${unit}s`}`;
  for (const [scale, word] of [[1e9, "milliard"], [1e6, "million"]]) {
    if (value >= scale) return of(counted(value / scale, word));
  }
  if (unit) return counted(value >= 100 ? Math.round(value) : value, unit);
  return short(value >= 100 ? Math.round(value) : value);
}

/** La plus grande unité qui laisse au moins 1 ; sous la plus petite, `least`. */
function scaled(value, units, least) {
  const [scale, unit] = units.find(([size]) => value >= size) ?? [0];
  return scale ? `${short(value / scale)}${NO_BREAK}${unit}` : least;
}

export const bytes = (value) =>
  scaled(value, [[1e15, "Po"], [1e12, "To"], [1e9, "Go"], [1e6, "Mo"], [1e3, "ko"], [1, "octets"]], "0 octet");

/** Une énergie donnée en kilowattheures. */
export const energy = (value) =>
  scaled(value, [[1e9, "TWh"], [1e6, "GWh"], [1e3, "MWh"], [1, "kWh"], [1e-3, "Wh"]], "moins d’un wattheure");

/** Une masse donnée en kilogrammes. */
export function mass(value) {
  if (value >= 1000) return large(value / 1000, "tonne");
  return scaled(value, [[1, "kg"], [1e-3, "g"]], "moins d’un gramme");
}

export const price = (value) => (value < 0.01 ? "moins d’un centime" : large(value, "euro"));

const DAY = 86400;

/** Une durée donnée en secondes. */
export function duration(seconds) {
  if (seconds < 1) return "moins d’une seconde";
  if (seconds < 60) return counted(seconds, "seconde");
  if (seconds < 3600) return counted(seconds / 60, "minute");
  if (seconds < 2 * DAY) return counted(seconds / 3600, "heure");
  if (seconds < 730.5 * DAY) return counted(seconds / DAY, "jour");
  return large(seconds / DAY / 365.25, "année");
}

/** Un rapport en pour cent, à une décimale. */
export const percent = (ratio) => {
  const digits = (100 * ratio).toLocaleString("fr-FR", { maximumFractionDigits: 1 });
  return `${ratio > 0 && digits === "0" ? "< 0,1" : digits}${NO_BREAK}%`;
};
