/**
 * Planificateur d’échelle : on règle un modèle et des machines, on lit paramètres, octets,
 * opérations, durée, énergie et prix. Les comptes sont ceux de `course_lib.scaling`.
 */

import { plan } from "./scaling_arithmetic.js";
import { PlannerForm } from "./scaling_form.js";
import { bytes, counted, duration, energy, large, mass, percent, price, short } from "./scaling_numbers.js";
import { bar, button, format, h, menu } from "./nodes.js";

const HELP =
  "Choisissez un modèle publié\u00a0: ses tailles remplissent les champs. " +
  "Changez-en une, tout est recompté. Un champ grisé ne se règle pas dans cette architecture.";
const MEMORY = {
  weights: "poids",
  gradients: "gradients",
  optimizer: "optimiseur (AdamW)",
  activations: "activations (estimées)",
  cache: "cache (clés et valeurs)",
};

/** Ce qui est compté et ce qui est estimé, dit en toutes lettres. */
const reserves = ({ pue }) =>
  "Exact\u00a0: les paramètres, les octets des poids, des gradients, de l’optimiseur et du cache, les opérations " +
  "des produits de matrices. Estimé\u00a0: les activations, le rendement (la part de la vitesse de pointe vraiment atteinte), donc la durée, " +
  `l’énergie (salle comprise\u00a0: ×\u00a0${short(pue)}), le carbone et le prix\u202f; les vitesses d’écriture sont ` +
  "des bornes, fixées par la mémoire à relire\u202f; la loi de Chinchilla donne un ordre de grandeur.";

/** Une barre, son nom, sa valeur et sa part du tout. */
function part(label, value, total, write) {
  const number = h("span", { class: "cw-value" }, `${write(value)} · ${percent(value / total)}`);
  return h("li", { class: "cw-key" }, bar(value / total), h("span", { class: "cw-text" }, label), number);
}

/** Des barres, sans les postes nuls. */
function bars(label, labels, parts, total, write) {
  const present = Object.entries(parts).filter(([, value]) => value > 0);
  const items = present.map(([name, value]) => part(labels[name], value, total, write));
  return h("ul", { class: "cw-keys", "aria-label": label }, ...items);
}

/** Un titre, puis ce qu’il annonce. */
const panel = (title, ...children) =>
  h("div", { class: "cw-panel" }, h("p", { class: "cw-panel-title" }, title), ...children);

/** Un nombre mis en avant, puis ce qu’il compte. */
const figure = (value, ...rest) => h("p", { class: "cw-figure" }, h("strong", {}, value), " ", ...rest);

/** Des lignes « nom, valeur ». */
function pairs(rows) {
  const nodes = rows.map(([name, value]) => h("li", {}, `${name} `, h("strong", {}, value)));
  return h("ul", { class: "cw-pairs" }, ...nodes);
}

function parametersPanel({ parts, total, active }, labels) {
  const used = active < total ? h("p", {}, `dont ${format(active)} (${percent(active / total)}) servent pour un jeton`) : "";
  return panel("Paramètres", figure(format(total), "paramètres"), used, bars("Paramètres par partie", labels, parts, total, large));
}

/** Combien de machines il faut, et si l’on en a assez. */
function fitting(needed, { machines, machine }) {
  const enough = needed <= machines;
  const size = `${counted(needed, "machine")} de ${bytes(machine.memory)}`;
  const text = enough ? `Tient sur ${size}.` : `Il faut ${size}.`;
  return h("p", { class: "cw-fitting", "data-enough": enough }, text);
}

function memoryPanel(result, settings) {
  const group = (title, parts, total, needed) => [
    figure(bytes(total), title),
    bars(`Mémoire ${title}`, MEMORY, parts, total, bytes),
    fitting(needed, settings),
  ];
  const use = settings.shape.decoder ? "pour écrire (cache plein)" : "pour lire";
  return panel(
    "Mémoire",
    ...group("pour apprendre", result.training, result.trainingBytes, result.trainingMachines),
    ...group(use, result.writing, result.writingBytes, result.writingMachines),
  );
}

function costPanel({ forward, flops, cost, trainingMachines }, { machines, machine, format: numbers }) {
  const held = trainingMachines <= machines ? "" : ", si la mémoire y suffisait";
  const { hours } = cost;
  return panel(
    "Apprentissage",
    figure(duration(cost.seconds), `sur ${counted(machines, "machine")}${held}`),
    pairs([
      ["Opérations par jeton", large(3 * forward)],
      ["Opérations en tout", large(flops)],
      ["Vitesse de pointe", `${large(machine.peak_flops[numbers])}/s`],
      ["Temps de machine (estimé)", hours < 1 ? duration(3600 * hours) : large(hours, "heure")],
      ["Énergie (estimée)", energy(cost.energy)],
      ["CO₂ (estimé)", mass(cost.carbon)],
      ["Prix (estimé)", price(cost.price)],
    ]),
  );
}

/** Vitesse d’écriture, ou pourquoi il n’y en a pas. */
const speed = (value) => (value === null ? "ne tient pas" : `${large(value)}\u00a0jetons/s`);

function writingPanel({ firstSpeed, fullSpeed }, { shape, batch }) {
  if (!shape.decoder) return panel("Écriture", h("p", {}, "Un encodeur lit, mais n’écrit pas."));
  const rows = [["Au plus, début de texte", speed(firstSpeed)], ["Au plus, contexte plein", speed(fullSpeed)]];
  return panel(batch > 1 ? `Écriture de ${format(batch)} textes à la fois` : "Écriture", pairs(rows));
}

/** Ce que la loi prédit, là où elle a été mesurée : les décodeurs. */
function lawPanel({ tokensPerParameter, loss, best }, { shape, sizes }, { source }) {
  const title = "Loi de Chinchilla";
  const ratio = [sizes.experts ? "Jetons par paramètre actif" : "Jetons par paramètre", large(tokensPerParameter)];
  if (shape.encoder) {
    const why = "La loi a été mesurée sur des décodeurs\u00a0: elle ne dit rien d’un encodeur.";
    return panel(title, pairs([ratio]), h("p", { class: "cw-help" }, why));
  }
  const digits = { maximumFractionDigits: 2, minimumFractionDigits: 2 };
  const nats = (value) => `${value.toLocaleString("fr-FR", digits)}\u00a0nats/jeton`;
  const chosen = [ratio, ["Perte attendue", nats(loss)]];
  const better = [["Paramètres", large(best.parameters)], ["Jetons", large(best.tokens)], ["Perte attendue", nats(best.loss)]];
  const why = sizes.experts ? "\u202f; la loi ne sait rien des experts\u00a0: on lui donne les paramètres actifs" : "";
  const advice = h("p", { class: "cw-panel-title" }, "À calcul égal, le mieux");
  return panel(title, pairs(chosen), advice, pairs(better), h("p", { class: "cw-help" }, `${source}${why}.`));
}

/** Les résultats, en deux colonnes. */
function resultColumns(result, settings, data) {
  const column = (...panels) => h("div", { class: "cw-column" }, ...panels);
  return [
    column(parametersPanel(result, data.parts), costPanel(result, settings), writingPanel(result, settings)),
    column(memoryPanel(result, settings), lawPanel(result, settings, data.law)),
  ];
}

/** Une phrase, pour le lecteur d’écran. */
function summary(result, { machines, machine }) {
  const { total, trainingBytes, flops, cost } = result;
  return (
    `${large(total, "paramètre")}\u202f; pour apprendre, ${bytes(trainingBytes)} de mémoire et ${large(flops, "opération")}\u00a0: ` +
    `${duration(cost.seconds)} sur ${counted(machines, "machine")} (${machine.name}), ${energy(cost.energy)}, ${price(cost.price)}.`
  );
}

/** D’où viennent les nombres affichés. */
function origin({ name, year, source, shape, published }, experts, modified) {
  const kind = `${shape.kind}${experts ? ", à experts" : ""}`;
  const tokens = published ? "" : " Jetons non publiés\u00a0: supposés, vingt par paramètre actif.";
  return `${name} (${year}), ${kind}. Source\u00a0: ${source}.${tokens}${modified ? " Réglages modifiés." : ""}`;
}

/** Le choix du modèle publié, et le retour à ses tailles. */
function presetBar(presets, onChoose, onReset) {
  const options = presets.map(({ name, year }) => [name, `${name} (${year})`]);
  const { node, select } = menu("Modèle publié", options, () => onChoose(select.value));
  return { select, node: h("div", { class: "cw-controls" }, node, button("Rétablir", onReset, true)) };
}

/** Assez grand pour que les comptes d’un navigateur cessent d’être exacts. */
function tooLarge(total) {
  if (total <= Number.MAX_SAFE_INTEGER) return "";
  return `Ce modèle aurait ${large(total, "paramètre")}\u202f; la page compte juste jusqu’à ${large(Number.MAX_SAFE_INTEGER)}. Réduisez la largeur, les blocs ou les experts.`;
}

function render({ model, el }) {
  const [title, data] = [model.get("title"), model.get("data")];
  const form = new PlannerForm(data, model.get("machine"), () => {
    modified = true;
    if (form.fields.machine.read() !== model.get("machine")) {
      model.set("machine", form.fields.machine.read());
      model.save_changes();
    }
    draw();
  });
  const change = (name) => {
    model.set("preset", name);
    model.save_changes();
  };
  const presetChoice = presetBar(data.presets, change, () => {
    form.reset();
    choose();
  });
  const source = h("p", { class: "cw-help" });
  const notice = h("p", { class: "cw-error" });
  const results = h("div", { class: "cw-panels" });
  const live = h("p", { class: "cw-visually-hidden", "aria-live": "polite" });
  let [preset, modified, pending] = [null, false, null];

  const draw = () => {
    const { settings, errors } = form.read();
    const result = errors.size ? null : plan(settings, data);
    const problem = errors.size ? [...errors.values()].join(" ") : tooLarge(result.total);
    notice.hidden = !problem;
    notice.textContent = problem && `${errors.size ? "Un champ est à corriger." : problem} Ces résultats sont ceux du dernier réglage valide.`;
    source.textContent = origin(preset, settings.sizes.experts, modified);
    if (!problem) results.replaceChildren(...resultColumns(result, settings, data));
    // Le lecteur d’écran attend une pause dans la frappe : sinon il parlerait à chaque chiffre.
    clearTimeout(pending);
    pending = setTimeout(() => (live.textContent = problem || summary(result, settings)), 500);
  };
  const choose = () => {
    preset = data.presets.find(({ name }) => name === model.get("preset"));
    presetChoice.select.value = preset.name;
    form.fill(preset);
    modified = false;
    draw();
  };
  const changeMachine = () => form.setMachine(model.get("machine"));

  model.on("change:preset", choose);
  model.on("change:machine", changeMachine);
  const parts = [h("p", { class: "cw-title" }, title), h("p", { class: "cw-help" }, HELP), presetChoice.node, source, form.node];
  const end = h("p", { class: "cw-help cw-reserves" }, reserves(data));
  el.append(h("section", { class: "cw cw-planner", "aria-label": title }, ...parts, notice, results, end, live));
  choose();
  return () => {
    clearTimeout(pending);
    model.off("change:preset", choose);
    model.off("change:machine", changeMachine);
  };
}

export default { render };
