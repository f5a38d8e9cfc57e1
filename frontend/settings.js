// The drawer of settings: the server's, which all pages and the notebook share, and this page's.

import { download } from "./downloads.js";
import { setText } from "./dom.js";
import { listMicrophones } from "./microphone.js";
import { toToml } from "./toml.js";

/**
 * @typedef {Record<string, any>} Message
 * @typedef {Record<string, any>} Values of the settings, by name
 *
 * @typedef {object} Setting what the server says of one, see protocol.py
 * @property {string} label
 * @property {string} doc
 * @property {string} unit
 * @property {?number} min null where the setting is not a slider's
 * @property {?number} max
 * @property {any} default
 * @property {string[]} detectors with which it matters
 * @property {?string} unless a setting that is null while this one matters
 *
 * @typedef {{field: HTMLElement, show: (value: number) => void}} Slider
 * @typedef {[value: string, text: string]} Choice
 */

/** Time over which changes are gathered into one request, in ms: a moving slider makes many. */
const SEND_EVERY_MS = 60;

/** Time after the last touch until controls show the server's values again, in ms. */
const SETTLED_MS = 500;

/** Settings at the top of the drawer; the others follow in the server's order. */
const FIRST = ["threshold_dbfs", "margin_db", "probability", "silence_timeout_s"];

const EVERYONE = "For everyone on this server: other pages, and the notebook.";
const PAGE_ALONE = "For the microphone of this page alone, while it is on.";

/** @type {Record<string, string>} Steps of a slider by the unit of its setting. */
const STEPS = { dB: "0.5", dBFS: "0.5", s: "0.05" };

/**
 * Fill the drawer and keep it in step with the server.
 *
 * @param {HTMLElement} root
 * @param {(request: object) => boolean} send
 * @param {() => number} threshold that is in use now, set by a person or by the noise
 * @param {{chosen: () => ?string, start: (deviceId: string) => void, stop: () => void}} mine this
 *   browser's microphone; `chosen` gives null while it is off
 */
export function createSettings(root, send, threshold, mine) {
  const $ = (/** @type {string} */ selector) => /** @type {any} */ (root.querySelector(selector));
  const told = $("#refused");
  /** @type {Map<string, Slider>} */
  const sliders = new Map();
  /** @type {Values} */
  let config = {};
  /** @type {Values} */
  let using = {};
  let locked = true; // until hello
  let source = ""; // the server's name for it
  let mayChoose = false; // whether clients may choose the server's microphone
  /** @type {Record<string, Setting>} */
  let known = {};
  /** @type {Record<string, {label: string, scale: import("./scale.js").Scale, fields: string[]}>} */
  let detectors = {};
  /** @type {Values} */
  let changes = {}; // not sent yet
  let sending = 0; // a timer
  let showing = 0; // a timer
  let touchedAt = 0;
  /** @type {Record<string, string[]>} */
  const asked = { set: [], use: [] }; // names in the last request
  /** @type {?{request: ?string, name: ?string}} */
  let refusal = null; // that is shown, and the name of its field

  // -- from the server ----------------------------------------------------------------------------

  /** @param {Message} hello */
  function begin(hello) {
    cure(); // the refusal was of a connection that has ended
    known = hello.settings;
    sliders.clear();
    const names = Object.keys(known).filter((name) => known[name].min !== null);
    $("#first").replaceChildren(...FIRST.filter((name) => names.includes(name)).map(makeField));
    $("#others").replaceChildren(...names.filter((name) => !FIRST.includes(name)).map(makeField));
    detectors = hello.detectors;
    fillSelect($("#detector"), Object.keys(detectors), (name) => capital(detectors[name].label));
    for (const part of root.querySelectorAll(".shared")) {
      /** @type {HTMLElement} */ (part).hidden = hello.locked;
    }
    $("#may-keep").hidden = !hello.may_keep;
    if (!hello.may_keep) /** @type {HTMLInputElement} */ ($("#keep")).checked = false;
    locked = hello.locked;
    $("#locked").hidden = !locked;
    state(hello);
  }

  /** @param {Message} message */
  function state(message) {
    const { language, model, device } = using;
    const changed = message.using;
    const isNew = changed.language !== language || changed.model !== model || changed.device !== device;
    if (refusal?.request === "use" && isNew) cure();
    using = changed;
    source = message.source;
    mayChoose = message.may_use.includes("device");
    for (const name of ["model", "language", "partials"]) {
      $(`#${name}`).closest(".field").hidden = !message.may_use.includes(name);
    }
    $("#partials").checked = using.partials;
    showChoices();
    setConfig(message.config);
  }

  /** @param {Values} now */
  function setConfig(now) {
    const { name, request } = refusal ?? {};
    const differs = (/** @type {string} */ one) => now[one] !== config[one];
    if (request === "set" && (name ? [name] : Object.keys(now)).some(differs)) cure();
    config = now;
    const wait = touchedAt + SETTLED_MS - Date.now();
    clearTimeout(showing);
    if (wait > 0) showing = setTimeout(show, wait);
    else show();
  }

  function show() {
    for (const [name, slider] of sliders) {
      slider.field.hidden = config[name] === null || !matters(name);
      if (config[name] !== null) slider.show(config[name]);
    }
    $("#detector").value = config.detector;
    $("#follow").closest(".field").hidden = !known.margin_db.detectors.includes(config.detector);
    $("#follow").checked = config.threshold_dbfs === null;
    const changed = Object.keys(known).some((name) => config[name] !== known[name].default);
    $("#defaults").disabled = !changed;
  }

  /**
   * Whether a setting has an effect, given the values of the others.
   *
   * @param {string} name
   */
  function matters(name) {
    const { detectors, unless } = known[name];
    return detectors.includes(config.detector) && (unless === null || config[unless] === null);
  }

  /**
   * Show a refusal beside the field that it is about.
   *
   * @param {string} message
   * @param {?string} request "set" or "use"
   * @param {string[]} names that it may be about
   */
  function refused(message, request, names = asked[request ?? ""] ?? []) {
    touchedAt = 0;
    changes = {};
    show();
    showChoices();
    const name = refusedName(message, names);
    const control = name ? $(`#${name}`) : null;
    const field = control?.closest(".field:not([hidden])");
    cure();
    refusal = { request, name: field ? name : null };
    told.textContent = message;
    told.hidden = false;
    if (!field) return;
    field.after(told);
    control.setAttribute("aria-invalid", "true");
    control.setAttribute("aria-errormessage", told.id);
    const folded = field.closest("details");
    if (folded) folded.open = true;
    told.scrollIntoView({ block: "nearest" });
  }

  /** The refusal holds no longer. */
  function cure() {
    if (!refusal) return;
    refusal = null;
    told.hidden = true;
    $("#close-settings").after(told);
    for (const control of root.querySelectorAll("[aria-invalid]")) {
      control.removeAttribute("aria-invalid");
      control.removeAttribute("aria-errormessage");
    }
  }

  // -- to the server ------------------------------------------------------------------------------

  /** @param {string} name @param {any} value */
  function change(name, value) {
    if (refusal?.name === name || !refusal?.name) cure();
    touchedAt = Date.now();
    changes[name] = value;
    sending ||= setTimeout(flush, SEND_EVERY_MS);
  }

  function flush() {
    sending = 0;
    const set = changes;
    changes = {};
    asked.set = Object.keys(set);
    if (asked.set.length) ask({ set });
  }

  /** @param {object} request */
  function ask(request) {
    const [kind] = Object.keys(request);
    if (!send(request)) refused("There is no connection to the server now: nothing was changed.", kind);
  }

  /** @param {string} name @param {any} value */
  function use(name, value) {
    cure();
    asked.use = [name];
    ask({ use: { [name]: value } });
  }

  /** @param {string} name */
  function makeField(name) {
    const slider = makeSlider(name, known[name], (value) => change(name, value));
    sliders.set(name, slider);
    return slider.field;
  }

  // -- device, model, language --------------------------------------------------------------------

  /** @type {{index: number, name: string}[]} */
  let devices = []; // the server's
  /** @type {MediaDeviceInfo[]} */
  let here = []; // this browser's microphones
  /** @type {{name: string}[]} */
  let models = [];
  /** @type {Record<string, string>} */
  let languages = {};

  async function load() {
    const [ofServer, ofEngine, ofBrowser] = await Promise.all([
      read("devices"),
      read("models"),
      listMicrophones(),
    ]);
    devices = ofServer.devices ?? [];
    here = ofBrowser;
    models = ofEngine.models ?? [];
    languages = ofEngine.languages ?? {};
    showChoices();
  }

  function showMicrophones() {
    const own = mine.chosen();
    setText($("#scope-speech"), own === null ? EVERYONE : PAGE_ALONE);
    const named = new Map(devices.map(({ index, name }) => [String(index), name]));
    /** @type {Choice[]} */
    let ofServer = [["server:", own === null ? source : "Back to the server's"]];
    if (mayChoose && own === null) {
      ofServer = withCurrent(["", ...named.keys()], using.device).map((index) => [
        `server:${index}`,
        index === "" ? "The system's default" : (named.get(index) ?? index),
      ]);
    }
    /** @type {Choice[]} */
    const ofBrowser = here.map(({ deviceId, label }) => [`browser:${deviceId}`, label]);
    if (!ofBrowser.length) ofBrowser.push([`browser:${own ?? ""}`, "My microphone"]);
    $("#device").replaceChildren(
      group("Of the server, for everyone", ofServer),
      group("Of this browser, for this page alone", ofBrowser),
    );
    const onServer = mayChoose ? (using.device ?? "") : "";
    $("#device").value = own === null ? `server:${onServer}` : `browser:${own}`;
  }

  function showChoices() {
    showMicrophones();
    fillSelect($("#model"), withCurrent(models.map(({ name }) => name), using.model));
    fillSelect($("#language"), withCurrent(["", ...Object.keys(languages)], using.language), (code) =>
      code === "" ? "Let the model decide" : capital(languages[code] ?? code),
    );
    $("#model").value = using.model ?? "";
    $("#language").value = using.language ?? "";
  }

  // -- controls -----------------------------------------------------------------------------------

  /** @param {string} selector @param {(control: any) => void} act */
  function onChange(selector, act) {
    $(selector).addEventListener("change", (/** @type {Event} */ { target }) => act(target));
  }

  onChange("#device", ({ value }) => {
    const [, place, id] = value.match(/^(\w+):(.*)$/);
    if (place === "browser") mine.start(id);
    else if (mine.chosen() !== null) mine.stop();
    else if (mayChoose) use("device", id === "" ? null : /^\d+$/.test(id) ? Number(id) : id);
  });
  onChange("#model", ({ value }) => use("model", value));
  onChange("#language", ({ value }) => use("language", value || null));
  onChange("#partials", ({ checked }) => use("partials", checked));
  onChange("#detector", ({ value }) => {
    change("detector", value);
    touchedAt = 0;
  });
  onChange("#follow", ({ checked }) => {
    change("threshold_dbfs", checked ? null : Math.round(threshold()));
    touchedAt = 0;
  });
  $("#defaults").addEventListener("click", () => {
    changes = Object.fromEntries(Object.entries(known).map(([name, about]) => [name, about.default]));
    touchedAt = 0;
    flush();
  });

  $("#save-config").addEventListener("click", async () => {
    cure();
    const { version, vad, transcribe } = await read("config");
    // This page's microphone has settings of its own.
    const tables = vad && { version, vad: { ...vad, ...config }, transcribe };
    if (tables) download("sttlab.toml", toToml(tables), "application/toml");
    else refused("There is no connection to the server now: nothing was saved.", null, ["save-config"]);
  });

  /**
   * Change a setting outside the drawer.
   *
   * @param {string} name
   * @param {number} value
   */
  function move(name, value) {
    sliders.get(name)?.show(value);
    change(name, value);
  }

  /**
   * What judges a score now; null while nobody may change it.
   *
   * @returns {?import("./scale.js").Judging}
   */
  function judging() {
    const settings = /** @type {any} */ (known);
    return locked ? null : { config, settings, ...detectors[config.detector] };
  }

  /** The scale of the detector. */
  function scale() {
    return detectors[config.detector].scale;
  }

  return { begin, move, judging, scale, state, setConfig, refused, load, showMicrophones };
}

/**
 * The name of the setting that a refusal is about: the message begins with it, or only one was asked.
 *
 * @param {string} message
 * @param {string[]} asked
 */
export function refusedName(message, asked) {
  const [first] = message.match(/^\w+/) ?? [""];
  if (asked.includes(first)) return first;
  return asked.length === 1 ? asked[0] : null;
}

/**
 * @param {string} name
 * @param {Setting} setting
 * @param {(value: number) => void} onInput
 * @returns {Slider}
 */
function makeSlider(name, { label, min, max, unit, doc }, onInput) {
  const field = document.createElement("div");
  const title = document.createElement("label");
  const input = document.createElement("input");
  const shown = document.createElement("output");
  const hint = document.createElement("p");
  field.className = "field slider";
  input.type = "range";
  input.id = name;
  input.min = String(min);
  input.max = String(max);
  input.step = STEPS[unit] ?? "0.01";
  input.setAttribute("aria-describedby", `${name}-doc`);
  title.htmlFor = name;
  shown.htmlFor.value = name;
  title.textContent = label;
  hint.id = `${name}-doc`;
  hint.textContent = `${capital(doc)}.`;
  field.append(title, shown, input, hint);

  /** @param {number} value */
  function say(value) {
    const text = `${Number(value.toFixed(2))} ${unit}`.trim();
    shown.textContent = text;
    input.setAttribute("aria-valuetext", text);
  }
  input.addEventListener("input", () => {
    say(Number(input.value));
    onInput(Number(input.value));
  });
  return {
    field,
    show(value) {
      input.value = String(value);
      say(value);
    },
  };
}

/**
 * @param {HTMLSelectElement} select
 * @param {string[]} values
 * @param {(value: string) => string} label
 */
function fillSelect(select, values, label = (value) => value) {
  select.replaceChildren(...values.map((value) => new Option(label(value), value)));
}

/** @param {string} label @param {Choice[]} options */
function group(label, options) {
  const made = document.createElement("optgroup");
  made.label = label;
  made.append(...options.map(([value, text]) => new Option(text, value)));
  return made;
}

/**
 * The values, and the current one behind them where it is not among them, such as a path.
 *
 * @param {string[]} values
 * @param {string | number | null | undefined} current
 */
function withCurrent(values, current) {
  const value = current === null || current === undefined ? "" : String(current);
  return values.includes(value) ? values : [...values, value];
}

/** @param {string} path @returns {Promise<Record<string, any>>} */
async function read(path) {
  try {
    const answer = await fetch(path);
    return answer.ok ? await answer.json() : {};
  } catch {
    return {}; // no connection: the status line says so
  }
}

/** @param {string} text */
function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
