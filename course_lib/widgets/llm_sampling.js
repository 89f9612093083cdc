/** Choisir le jeton suivant : les mêmes définitions, dans le même ordre, que `transformers`. */

/** Probabilités (softmax) d’un tableau de scores ; −∞ donne 0. */
export function softmax(scores) {
  const largest = scores.reduce((a, b) => Math.max(a, b), -Infinity);
  const weights = Float64Array.from(scores, (score) => Math.exp(score - largest));
  const total = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / total);
}

/** Les positions, du plus grand au plus petit score. */
const ranking = (scores) => Array.from(scores.keys()).sort((a, b) => scores[b] - scores[a] || a - b);

/** Les `count` jetons les plus probables. @returns {{id: number, probability: number}[]} */
export function mostProbable(probabilities, count) {
  const best = []; // rangé ; à probabilité égale, le plus petit identifiant devant
  probabilities.forEach((probability, id) => {
    if (best.length === count && probability <= best.at(-1).probability) return;
    let place = best.length;
    while (place && best[place - 1].probability < probability) place -= 1;
    best.splice(place, 0, { id, probability });
    if (best.length > count) best.pop();
  });
  return best;
}

/** Rend moins probables les jetons déjà écrits (Keskar et al. 2019). */
function penalize(scores, previousIds, penalty) {
  for (const id of new Set(previousIds)) scores[id] *= scores[id] < 0 ? penalty : 1 / penalty;
}

/** Écarte tout ce qui vient après les k meilleurs scores ; les ex æquo du k-ième restent. */
function keepBest(scores, k) {
  if (k >= scores.length) return;
  const threshold = scores.toSorted((a, b) => b - a)[k - 1];
  scores.forEach((score, id) => score < threshold && (scores[id] = -Infinity));
}

/** Garde le plus petit noyau de jetons dont la probabilité atteint p (Holtzman et al. 2020). */
function keepNucleus(scores, p) {
  const probabilities = softmax(scores);
  let before = 0;
  for (const id of ranking(scores)) {
    if (before >= p) scores[id] = -Infinity;
    before += probabilities[id];
  }
}

/** Écarte les jetons moins probables que p × le plus probable (Nguyen et al. 2025). */
function keepRelative(scores, p) {
  const probabilities = softmax(scores);
  const threshold = p * probabilities.reduce((a, b) => Math.max(a, b), 0);
  probabilities.forEach((probability, id) => probability < threshold && (scores[id] = -Infinity));
}

/**
 * La loi du jeton suivant, après tous les réglages. `temperature` = 0 : le meilleur, à coup sûr.
 * @param {Float32Array} logits
 * @param {{temperature?, topK?, topP?, minP?, repetitionPenalty?}} settings
 * @returns {Float64Array}
 */
export function nextDistribution(logits, settings = {}, previousIds = []) {
  const { temperature = 1, topK = null, topP = null, minP = null, repetitionPenalty = 1 } = settings;
  const scores = Float64Array.from(logits);
  if (repetitionPenalty !== 1) penalize(scores, previousIds, repetitionPenalty);
  if (temperature === 0) {
    const best = ranking(scores)[0];
    return scores.map((_, id) => (id === best ? 1 : 0));
  }
  scores.forEach((score, id) => (scores[id] = score / temperature));
  if (topK) keepBest(scores, topK);
  if (topP !== null && topP < 1) keepNucleus(scores, topP);
  if (minP) keepRelative(scores, minP);
  return softmax(scores);
}

/** Suite de nombres dans [0, 1) que la graine détermine (mulberry32). */
export function createRandom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Tire un jeton : le premier dont la probabilité cumulée dépasse le nombre tiré. */
export function draw(probabilities, random) {
  let remaining = random();
  let last = 0;
  for (let id = 0; id < probabilities.length; id += 1) {
    if (probabilities[id] === 0) continue;
    last = id;
    remaining -= probabilities[id];
    if (remaining < 0) break;
  }
  return last;
}
