/**
 * Les comptes de `course_lib.scaling`, refaits dans la page : paramètres, opérations, octets, coûts.
 * `sizes` et `shape` viennent de Python (planner.py, `describe`). Rien ici ne touche à la page.
 */

/** Lit les tailles d’un modèle une fois pour tous les comptes (anatomy.py). */
export function anatomy(sizes, shape) {
  const { width, heads, kvHeads, headSize, innerWidth, vocabulary, context, experts, active, tied } = sizes;
  const table = vocabulary * width;
  const dense = shape.denseHead ? width * width : 0;
  const both = shape.encoder && shape.decoder;
  const stack = (cross) => ({ ...sizes, ...shape, cross });
  return {
    ...sizes,
    decoder: shape.decoder ? stack(both) : null,
    stacks: [...(shape.encoder ? [stack(false)] : []), ...(shape.decoder ? [stack(both)] : [])],
    attention: 2 * width * headSize * (heads + kvHeads), // matrices d’une attention, sans biais
    network: (shape.gated ? 3 : 2) * width * innerWidth, // matrices d’un réseau, sans biais
    networksRead: experts ? active : 1,
    embeddings: shape.tables * table + shape.segments * width,
    positions: shape.learnedPositions ? context * width : 0,
    embeddingNorm: shape.embeddingNorm * width,
    head: shape.denseHead ? dense + 3 * width + vocabulary : tied ? 0 : table,
    headMatrices: dense + table,
  };
}

/** Paramètres de chaque partie, exacts sous 2⁵³ (parameters.py). */
export function parameterBreakdown(model) {
  const parts = { embeddings: model.embeddings, positions: model.positions, attention: 0, feed_forward: 0 };
  Object.assign(parts, { experts: 0, router: 0, norms: model.embeddingNorm, head: model.head });
  for (const stack of model.stacks) {
    const { layers, width, heads, kvHeads, headSize, innerWidth, experts } = stack;
    const attentions = stack.cross ? 2 : 1;
    const attentionBiases = stack.bias ? headSize * (heads + 2 * kvHeads) + width : 0;
    const network = model.network + (stack.bias ? innerWidth + width : 0);
    parts.attention += layers * attentions * (model.attention + attentionBiases);
    parts[experts ? "experts" : "feed_forward"] += layers * Math.max(experts, 1) * network;
    parts.router += layers * width * experts;
    parts.norms += (layers * (attentions + 1) + (stack.finalNorm ? 1 : 0)) * stack.norm * width;
  }
  return parts;
}

/** Paramètres qui servent pour un jeton : tous, sauf les experts non choisis. */
function idleParameters(model) {
  const idle = model.experts ? model.layers * (model.experts - model.active) * model.network : 0;
  return idle * model.stacks.length;
}

/** Opérations par jeton lu, en moyenne sur un texte de `length` jetons (flops.py). */
export function forwardFlopsPerToken(model, length) {
  let total = 2 * length * model.headMatrices;
  for (const stack of model.stacks) {
    const width = stack.heads * stack.headSize;
    const scores = 4 * length * length * width;
    const networks = model.networksRead * model.network + stack.width * stack.experts;
    let block = 2 * length * (model.attention + networks) + scores;
    if (stack.cross) block += 2 * length * model.attention + scores;
    total += stack.layers * block;
  }
  return total / (length * model.stacks.length);
}

/** Nombres gardés pour le retour : une estimation (memory.py). */
function activationNumbers(model, length, batch) {
  const head = model.vocabulary + 2 * model.width + Math.floor(model.head / model.vocabulary);
  const perToken = model.stacks.reduce((sum, stack) => sum + stack.layers * blockActivations(stack), head);
  return batch * length * perToken;
}

function blockActivations(stack) {
  const norm = 2 * stack.width;
  const attention = norm + 2 * stack.headSize * (stack.heads + stack.kvHeads) + stack.heads;
  let network = (stack.gated ? 4 : 2) * stack.innerWidth;
  if (stack.experts) network = stack.active * (network + 3 * stack.width) + 2 * stack.experts;
  return (stack.cross ? 2 : 1) * attention + norm + network;
}

/** Octets d’un entraînement avec AdamW, poste par poste. */
export function trainingMemory(model, count, { length, batch, bytes }) {
  const optimizer = (bytes < 4 ? 12 : 8) * count; // deux moments et, en demi-précision, une copie
  const activations = activationNumbers(model, length, batch) * bytes;
  return { weights: count * bytes, gradients: count * bytes, optimizer, activations };
}

/** Octets de la mémoire cache, en bfloat16 ; rien pour un encodeur seul. */
export function cacheBytes(model, length, batch) {
  if (!model.decoder) return 0;
  const positions = model.decoder.cross ? 2 * length : length;
  return batch * positions * 2 * model.layers * model.kvHeads * model.headSize * 2;
}

/** Jetons par seconde, au mieux ; null si le modèle n’écrit pas ou ne tient pas (machines.py). */
function decodingSpeed(model, { total, active }, length, { batch, machines, machine, weightBytes }) {
  const cache = cacheBytes(model, length, batch);
  if (!model.decoder || total * weightBytes + cache > machines * machine.memory) return null;
  const read = (batch === 1 ? active : total) * weightBytes + cache;
  return (batch * machines * machine.bandwidth) / read;
}

/** La loi de Chinchilla (chinchilla.py) : la perte, et le meilleur modèle pour ce calcul. */
export const expectedLoss = (law, parameters, tokens) =>
  law.entropy + law.a / parameters ** law.alpha + law.b / tokens ** law.beta;

export function optimal(law, compute) {
  const product = compute / law.flops;
  const sum = law.alpha + law.beta;
  const scale = ((law.alpha * law.a) / (law.beta * law.b)) ** (1 / sum);
  const parameters = scale * product ** (law.beta / sum);
  const tokens = product / parameters;
  return { parameters, tokens, loss: expectedLoss(law, parameters, tokens) };
}

const sum = (parts) => Object.values(parts).reduce((all, one) => all + one, 0);

/** Durée, énergie, carbone et prix d’un entraînement : des estimations (machines.py). */
function trainingCost(flops, { machine, machines, format, share, carbon }, pue) {
  const seconds = flops / (machine.peak_flops[format] * share);
  const hours = seconds / 3600;
  const energy = ((hours * machine.power) / 1000) * pue;
  const price = hours * machine.price_per_hour;
  return { seconds: seconds / machines, hours, energy, carbon: (energy * carbon) / 1000, price };
}

/** Tout ce que la page montre, pour des réglages valides. */
export function plan(settings, data) {
  const { sizes, shape, tokens, length, batch, machine, format, weightsFormat } = settings;
  const model = anatomy(sizes, shape);
  const parts = parameterBreakdown(model);
  const total = sum(parts);
  const active = total - idleParameters(model);
  const weightBytes = data.bytes[weightsFormat];
  const training = trainingMemory(model, total, { length, batch, bytes: data.bytes[format] });
  const writing = { weights: total * weightBytes, cache: cacheBytes(model, sizes.context, batch) };
  const forward = forwardFlopsPerToken(model, length);
  const flops = tokens * 3 * forward;
  const held = { ...settings, weightBytes };
  return {
    parts, total, active, training, writing, forward, flops,
    trainingBytes: sum(training),
    writingBytes: sum(writing),
    trainingMachines: Math.ceil(sum(training) / machine.memory),
    writingMachines: Math.ceil(sum(writing) / machine.memory),
    cost: trainingCost(flops, settings, data.pue),
    firstSpeed: decodingSpeed(model, { total, active }, 1, held),
    fullSpeed: decodingSpeed(model, { total, active }, sizes.context, held),
    tokensPerParameter: tokens / active,
    loss: expectedLoss(data.law, active, tokens),
    best: optimal(data.law, flops),
  };
}
