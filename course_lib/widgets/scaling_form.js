/**
 * Le formulaire du planificateur : des champs, leurs bornes, et ce qui doit s’accorder entre eux.
 * `read()` rend des réglages complets, ou les erreurs, en français, champ par champ.
 */

import { format, h } from "./nodes.js";

const LARGEST = 1e7;
const MODEL = [
  { name: "layers", label: "Blocs" },
  { name: "width", label: "Largeur (d)" },
  { name: "heads", label: "Têtes" },
  { name: "kvHeads", label: "Têtes de clés" },
  { name: "headSize", label: "Taille d’une tête" },
  { name: "innerWidth", label: "Largeur du réseau" },
  { name: "vocabulary", label: "Vocabulaire" },
  { name: "context", label: "Contexte (jetons)", max: 1e9 },
  { name: "experts", label: "Experts par bloc", min: 0 },
  { name: "active", label: "Experts actifs", min: 0 },
];
const TRAINING = [
  { name: "tokens", label: "Jetons lus (milliards)", min: 1e-9, max: 1e9, whole: false },
  { name: "length", label: "Jetons par texte", max: 1e9 },
  { name: "batch", label: "Textes à la fois" },
  { name: "share", label: "Rendement (%)", min: 0.001, max: 100, whole: false },
];
const MACHINES = [
  { name: "machines", label: "Nombre de machines" },
  { name: "carbon", label: "g de CO₂ par kWh", min: 0, max: 1e4, whole: false },
];
let forms = 0; // chaque formulaire de la page a ses identifiants

/** Un nombre tel qu’on le retape : « 50 257 », « 0,4 ». */
const written = (value) => value.toLocaleString("fr-FR", { maximumSignificantDigits: 15 });

/** Lit « 50 257 », « 0,4 » ou « 2e12 » ; NaN si ce n’est pas un nombre. */
export function parse(text) {
  const plain = text.replace(/\s/g, "").replace(",", ".");
  return /^\d+(\.\d+)?(e\d+)?$/i.test(plain) ? Number(plain) : NaN;
}

/** Un champ : son étiquette, sa saisie, son message. */
function field(prefix, { name, label }, input) {
  const id = `${prefix}-${name}`;
  input.id = id;
  const title = h("label", { for: id }, label);
  const message = h("span", { class: "cw-message", id: `${id}-message` });
  const complain = (text) => {
    message.textContent = text;
    for (const [key, value] of [["aria-invalid", "true"], ["aria-describedby", message.id]]) {
      if (text) input.setAttribute(key, value);
      else input.removeAttribute(key);
    }
  };
  return { name, label, input, title, complain, node: h("div", { class: "cw-setting" }, title, input, message) };
}

/** Un champ où l’on tape un nombre ; `check` rend son erreur, ou rien. */
function numberField(prefix, { min = 1, max = LARGEST, whole = true, ...spec }) {
  const input = h("input", { class: "cw-select", type: "text", inputmode: whole ? "numeric" : "decimal", autocomplete: "off" });
  const one = field(prefix, spec, input);
  let example = min;
  const read = () => parse(input.value);
  const write = (value) => {
    example = value;
    input.value = written(value);
  };
  const check = (least = min) => {
    const value = read();
    const valid = value >= least && value <= max && (!whole || Number.isInteger(value));
    const kind = whole ? "un entier" : "un nombre";
    const range = `${kind} de ${written(least)} à ${written(max)}`;
    if (valid) example = value;
    const given = input.value.trim() ? `«\u00a0${input.value.trim()}\u00a0»` : "Champ vide";
    return valid ? "" : `${given}\u00a0: il faut ${range}. Écrivez par exemple ${written(Math.max(example, least))}.`;
  };
  return { ...one, read, write, check };
}

/** Un menu ; `options` : [valeur, texte]. */
function menuField(prefix, spec, options) {
  const one = field(prefix, spec, h("select", { class: "cw-select" }));
  const offer = (choices) => {
    const before = one.input.value;
    one.input.replaceChildren(...choices.map(([value, text]) => h("option", { value }, text)));
    const kept = choices.some(([value]) => value === before);
    one.input.value = kept ? before : choices.at(-1)[0];
  };
  offer(options);
  return { ...one, offer, read: () => one.input.value, write: (value) => (one.input.value = value) };
}

/** « a, b ou c ». */
const either = (values) => {
  const texts = values.map((value) => format(value));
  return texts.length > 1 ? `${texts.slice(0, -1).join(", ")} ou ${texts.at(-1)}` : texts[0];
};

/** Les multiples de `step` qui entourent `value`. */
const multiplesNear = (value, step) =>
  [...new Set([Math.floor(value / step) * step, Math.ceil(value / step) * step])].filter((one) => one > 0);

/** Les diviseurs de `total` qui entourent `value`. */
function divisorsNear(value, total) {
  const found = [];
  for (let one = Math.min(value - 1, total); one >= 1 && !found.length; one -= 1) if (total % one === 0) found.push(one);
  for (let one = value + 1; one <= total; one += 1) if (total % one === 0) return [...found, one];
  return found;
}

/** Ce qui ne s’accorde pas : `[champs en cause, message]`. */
function* disagreements(sizes, shape, length, headIsFree) {
  const { width, heads, kvHeads, headSize, experts, active, context } = sizes;
  const step = shape.rotary ? 2 * heads : heads;
  const widths = () => `une largeur de ${either(multiplesNear(width, step))}`;
  if (!headIsFree && width % heads) {
    const counts = divisorsNear(heads, width);
    const other = counts.length ? `, ou ${either(counts)} tête${counts.at(-1) > 1 ? "s" : ""}` : "";
    yield [["width", "heads"], `${format(width)} ne se partage pas entre ${format(heads)} têtes\u00a0: prenez ${widths()}${other}.`];
  } else if (shape.rotary && headSize % 2) {
    yield [["width", "heads"], `${format(headSize)} coordonnées par tête, un nombre impair\u00a0: les positions rotatives tournent des paires. Prenez ${widths()}.`];
  }
  if (heads % kvHeads) {
    yield [["kvHeads", "heads"], `${format(kvHeads)} têtes de clés ne se partagent pas ${format(heads)} têtes\u00a0: prenez ${either(divisorsNear(kvHeads, heads))} têtes de clés.`];
  }
  if (experts && !(active >= 1 && active <= experts)) {
    yield [["active", "experts"], `${format(active)} actifs sur ${format(experts)}\u00a0: un jeton traverse au moins un expert et au plus tous. Prenez de 1 à ${format(experts)}.`];
  }
  if (length > context) {
    yield [["length", "context"], `${format(length)} jetons dépassent le contexte\u00a0: prenez ${format(context)} au plus, ou agrandissez le contexte.`];
  }
}

/** Le formulaire entier. `onChange` est appelé à chaque modification. */
export class PlannerForm {
  constructor(data, machine, onChange) {
    this.data = data;
    this.onChange = onChange;
    const prefix = `cw-planner-${(forms += 1)}`;
    const numbers = [...MODEL, ...TRAINING, ...MACHINES].map((spec) => numberField(prefix, spec));
    const tied = field(prefix, { name: "tied", label: "Tête de sortie liée à la table de plongement" }, h("input", { type: "checkbox" }));
    Object.assign(tied, { read: () => tied.input.checked, write: (value) => (tied.input.checked = value) });
    const menu = (name, label, options) => menuField(prefix, { name, label }, options);
    const all = this.#formats(Object.keys(data.bytes));
    const menus = [
      menu("machine", "Machine", data.machines.map(({ name }) => [name, name])),
      menu("format", "Apprendre en", all),
      menu("weightsFormat", "Écrire en", all),
    ];
    this.numbers = numbers;
    this.fields = Object.fromEntries([...numbers, tied, ...menus].map((one) => [one.name, one]));
    this.write({ machine });
    this.reset();
    this.node = this.#layout(tied);
    for (const one of Object.values(this.fields)) one.input.addEventListener("input", () => this.#edited(one.name));
  }

  #layout(tied) {
    tied.node.classList.add("cw-check");
    const group = (legend, names) => {
      const nodes = names.map((name) => this.fields[name].node);
      return h("fieldset", { class: "cw-fieldset" }, h("legend", {}, legend), h("div", { class: "cw-settings" }, ...nodes));
    };
    const model = group("Le modèle", [...MODEL.map(({ name }) => name), "tied"]);
    const training = group("L’apprentissage", ["tokens", "length", "batch", "share"]);
    const machines = group("Les machines", ["machine", "machines", "format", "weightsFormat", "carbon"]);
    return h("div", { class: "cw-form" }, model, h("div", {}, training, machines));
  }

  /** Remet l’apprentissage et les machines à leurs valeurs de départ ; la machine reste. */
  reset() {
    this.write({ machines: 1, batch: 1, share: 100 * this.data.share, carbon: this.data.carbon });
    this.#offerFormats();
    this.write({ format: "bfloat16", weightsFormat: "bfloat16" });
  }

  /** Remplit tous les champs du modèle et de son apprentissage. */
  fill(preset) {
    const { shape, sizes, tokens } = preset;
    this.shape = shape;
    const both = shape.encoder && shape.decoder;
    this.fields.layers.title.textContent = both ? "Blocs (par pile)" : "Blocs";
    for (const name of ["kvHeads", "headSize", "experts", "active", "tied"]) {
      this.fields[name].input.disabled = !shape.editable.includes(name);
    }
    this.write({ ...sizes, tokens: tokens / 1e9, length: Math.min(sizes.context, this.data.longest) });
    this.last = null;
    this.#follow();
  }

  /** Écrit des valeurs, par nom de champ. */
  write(values) {
    for (const [name, value] of Object.entries(values)) this.fields[name].write(value);
  }

  /** Change de machine, comme si le lecteur l’avait choisie. */
  setMachine(name) {
    if (this.fields.machine.read() === name) return;
    this.write({ machine: name });
    this.#edited("machine");
  }

  /** Les formats, du plus précis au plus court : JSON n’en garde pas l’ordre. */
  #formats(names) {
    const { bytes } = this.data;
    return names.sort((a, b) => bytes[b] - bytes[a] || a.localeCompare(b)).map((name) => [name, name]);
  }

  #offerFormats() {
    this.fields.format.offer(this.#formats(Object.keys(this.#machine().peak_flops)));
  }

  #machine() {
    return this.data.machines.find(({ name }) => name === this.fields.machine.read());
  }

  #edited(name) {
    this.last = name;
    if (name === "machine") this.#offerFormats();
    const context = this.fields.context.read();
    if (name === "context" && context >= 1) this.write({ length: Math.min(context, this.data.longest) });
    this.#follow();
    this.onChange();
  }

  /** Les champs que l’architecture fixe suivent ceux dont ils dépendent. */
  #follow() {
    const { heads, kvHeads, headSize, width, experts, active } = this.fields;
    const size = width.read() / heads.read();
    if (kvHeads.input.disabled && heads.read() >= 1) kvHeads.write(heads.read());
    if (headSize.input.disabled && Number.isInteger(size)) headSize.write(size);
    if (this.shape.editable.includes("active")) active.input.disabled = !experts.read();
    if (this.last === "experts" && experts.read() >= 1 && !active.read()) active.write(Math.min(2, experts.read()));
  }

  /** Les réglages, et les erreurs par nom de champ ; chaque champ montre la sienne. */
  read() {
    const errors = new Map();
    for (const one of this.numbers.filter(({ input }) => !input.disabled)) {
      const least = one.name === "experts" ? this.shape.leastExperts : undefined;
      const problem = one.check(least);
      if (problem) errors.set(one.name, problem);
    }
    const settings = this.#settings();
    if (!errors.size) {
      const headIsFree = this.shape.editable.includes("headSize");
      for (const [names, problem] of disagreements(settings.sizes, this.shape, settings.length, headIsFree)) {
        errors.set(names.includes(this.last) ? this.last : names[0], problem);
      }
    }
    for (const { name, complain } of Object.values(this.fields)) complain(errors.get(name) ?? "");
    return { settings, errors };
  }

  #settings() {
    const value = (name) => this.fields[name].read();
    const names = [...MODEL.map(({ name }) => name), "tied"];
    const sizes = Object.fromEntries(names.map((name) => [name, value(name)]));
    if (!sizes.experts) sizes.active = 0;
    return {
      sizes,
      shape: this.shape,
      tokens: 1e9 * value("tokens"),
      length: value("length"),
      batch: value("batch"),
      share: value("share") / 100,
      machine: this.#machine(),
      machines: value("machines"),
      format: value("format"),
      weightsFormat: value("weightsFormat"),
      carbon: value("carbon"),
    };
  }
}
