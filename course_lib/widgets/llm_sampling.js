/** Choisir le jeton suivant : les mêmes définitions, dans le même ordre, que `transformers`. */

/** Probabilités (softmax) d’un tableau de scores ; −∞ donne 0. */
export function softmax(scores) {
  const largest = scores[mostLikely(scores)];
  const weights = new Float64Array(scores.length);
  let total = 0;
  for (let id = 0; id < weights.length; id += 1) {
    if (scores[id] !== -Infinity) total += weights[id] = Math.exp(scores[id] - largest);
  }
  for (let id = 0; id < weights.length; id += 1) weights[id] /= total;
  return weights;
}

/** La position du plus grand score ; la première, à égalité. */
function mostLikely(scores) {
  let best = 0;
  for (let id = 1; id < scores.length; id += 1) if (scores[id] > scores[best]) best = id;
  return best;
}

/** Les `count` jetons les plus probables. @returns {{id: number, probability: number}[]} */
export function mostProbable(probabilities, count) {
  const best = []; // rangé ; à probabilité égale, le plus petit identifiant devant
  for (let id = 0; id < probabilities.length; id += 1) {
    const probability = probabilities[id];
    if (best.length === count && probability <= best[count - 1].probability) continue;
    let place = best.length;
    while (place && best[place - 1].probability < probability) place -= 1;
    best.splice(place, 0, { id, probability });
    if (best.length > count) best.pop();
  }
  return best;
}

/** Rend moins probables les jetons déjà écrits (Keskar et al. 2019). */
function penalize(scores, previousIds, penalty) {
  for (const id of new Set(previousIds)) scores[id] *= scores[id] < 0 ? penalty : 1 / penalty;
}

/** Écarte tout ce qui vient après les k meilleurs scores ; les ex æquo du k-ième restent. */
function keepBest(scores, k) {
  if (k >= scores.length) return;
  const threshold = Float64Array.from(scores).sort().at(-k);
  for (let id = 0; id < scores.length; id += 1) if (scores[id] < threshold) scores[id] = -Infinity;
}

/** Garde le plus petit noyau de jetons dont la probabilité atteint p (Holtzman et al. 2020). */
function keepNucleus(scores, p) {
  const probabilities = softmax(scores);
  // Sous ce seuil, tous les jetons ensemble pèsent moins de 1 − p : aucun n’est du noyau.
  const least = (1 - p) / scores.length;
  const ids = Array.from(scores.keys()).filter((id) => probabilities[id] >= least);
  const kept = new Set();
  let before = 0;
  for (const id of ids.sort((a, b) => scores[b] - scores[a] || a - b)) {
    if (before >= p) break;
    kept.add(id);
    before += probabilities[id];
  }
  for (let id = 0; id < scores.length; id += 1) if (!kept.has(id)) scores[id] = -Infinity;
}

/** Écarte les jetons moins probables que p × le plus probable (Nguyen et al. 2025). */
function keepRelative(scores, p) {
  const threshold = scores[mostLikely(scores)] + Math.log(p); // un rapport de probabilités : un écart de scores
  for (let id = 0; id < scores.length; id += 1) if (scores[id] < threshold) scores[id] = -Infinity;
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
    const best = mostLikely(scores);
    return scores.map((_, id) => (id === best ? 1 : 0));
  }
  for (let id = 0; id < scores.length; id += 1) scores[id] /= temperature;
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
