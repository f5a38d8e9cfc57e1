// The drawer of settings: the server's, which all pages and the notebook share, and this page's.

import { listMicrophones } from "./microphone.js";

const SEND_EVERY_MS = 60;
const SETTLED_MS = 500; // after the last touch a control shows what the server says again

// What is asked for first; the server's other settings follow, as it describes them.
const FIRST = ["threshold_dbfs", "margin_db", "probability", "silence_timeout_s"];

/**
 * Fill the drawer and keep it in step with the server.
 *
 * @param {HTMLElement} root
 * @param {(request: object) => boolean} send
 * @param {() => number} threshold where it lies now, wherever it comes from
 * @param {{chosen: () => ?string, start: (deviceId: string) => void, stop: () => void}} mine this
 *   browser's microphone; `chosen` gives null while it is off
 */
export function createSettings(root, send, threshold, mine) {
  const $ = (selector) => root.querySelector(selector);
  const sliders = new Map();
  let config = {};
  let using = {};
  let source = ""; // what the server calls it
  let mayChoose = false; // another microphone of the server
  let known = {}; // what the server says of each setting
  let changes = {}; // not sent yet
  let timer = 0;
  let touchedAt = 0;

  // -- from the server ----------------------------------------------------------------------------

  function begin(hello) {
    known = hello.settings;
    sliders.clear();
    const names = Object.keys(known).filter((name) => known[name].min !== null);
    $("#first").replaceChildren(...FIRST.filter((name) => names.includes(name)).map(makeField));
    $("#others").replaceChildren(...names.filter((name) => !FIRST.includes(name)).map(makeField));
    const { detectors } = hello;
    fillSelect($("#detector"), Object.keys(detectors), (name) => capital(detectors[name].label));
    for (const part of root.querySelectorAll(".shared")) part.hidden = hello.locked;
    $("#locked").hidden = !hello.locked;
    state(hello);
  }

  function state(message) {
    using = message.using;
    source = message.source;
    mayChoose = message.may_use.includes("device");
    for (const name of ["model", "language", "partials"]) {
      $(`#${name}`).closest(".field").hidden = !message.may_use.includes(name);
    }
    $("#partials").checked = using.partials;
    showChoices();
    setConfig(message.config);
  }

  function setConfig(now) {
    config = now;
    const wait = touchedAt + SETTLED_MS - Date.now();
    clearTimeout(setConfig.timer);
    if (wait > 0) setConfig.timer = setTimeout(show, wait);
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

  /** Whether a setting decides something, as the others stand. */
  function matters(name) {
    const { detectors, unless } = known[name];
    return detectors.includes(config.detector) && (unless === null || config[unless] === null);
  }

  function refused(message) {
    touchedAt = 0;
    changes = {};
    $("#refused").textContent = message;
    $("#refused").hidden = false;
    show();
    showChoices();
  }

  // -- to the server ------------------------------------------------------------------------------

  function change(name, value) {
    $("#refused").hidden = true;
    touchedAt = Date.now();
    changes[name] = value;
    timer ||= setTimeout(flush, SEND_EVERY_MS);
  }

  function flush() {
    timer = 0;
    const asked = changes;
    changes = {};
    if (Object.keys(asked).length) ask({ set: asked });
  }

  function ask(request) {
    if (!send(request)) refused("There is no connection to the server now: nothing was changed.");
  }

  function use(name, value) {
    $("#refused").hidden = true;
    ask({ use: { [name]: value } });
  }

  function makeField(name) {
    const slider = makeSlider(name, known[name], (value) => change(name, value));
    sliders.set(name, slider);
    return slider.field;
  }

  // -- device, model, language --------------------------------------------------------------------

  let devices = [];
  let here = []; // this browser's microphones
  let models = [];
  let languages = {};

  async function load() {
    const asked = [read("devices"), read("models"), listMicrophones()];
    const [heard, known, found] = await Promise.all(asked);
    devices = heard.devices ?? [];
    here = found;
    models = known.models ?? [];
    languages = known.languages ?? {};
    showChoices();
  }

  function showMicrophones() {
    const own = mine.chosen();
    const named = new Map(devices.map(({ index, name }) => [String(index), name]));
    let ofServer = [["server:", own === null ? source : "Back to the server's"]];
    if (mayChoose && own === null) {
      ofServer = withCurrent(["", ...named.keys()], using.device).map((index) => [
        `server:${index}`,
        index === "" ? "The system's default" : (named.get(index) ?? index),
      ]);
    }
    const ofBrowser = here.map(({ deviceId, label }) => [`browser:${deviceId}`, label]);
    if (!ofBrowser.length) ofBrowser.push([`browser:${own ?? ""}`, "My microphone"]);
    $("#device").replaceChildren(
      group("Of the server", ofServer),
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

  $("#device").addEventListener("change", ({ target }) => {
    const [, place, id] = target.value.match(/^(\w+):(.*)$/);
    if (place === "browser") mine.start(id);
    else if (mine.chosen() !== null) mine.stop();
    else if (mayChoose) use("device", id === "" ? null : /^\d+$/.test(id) ? Number(id) : id);
  });
  $("#model").addEventListener("change", ({ target }) => use("model", target.value));
  $("#language").addEventListener("change", ({ target }) => use("language", target.value || null));
  $("#partials").addEventListener("change", ({ target }) => use("partials", target.checked));
  $("#detector").addEventListener("change", ({ target }) => {
    change("detector", target.value);
    touchedAt = 0;
  });
  $("#follow").addEventListener("change", ({ target }) => {
    change("threshold_dbfs", target.checked ? null : Math.round(threshold()));
    touchedAt = 0;
  });
  $("#defaults").addEventListener("click", () => {
    changes = Object.fromEntries(Object.entries(known).map(([name, about]) => [name, about.default]));
    touchedAt = 0;
    flush();
  });

  return { begin, state, setConfig, refused, load, showMicrophones };
}

function makeSlider(name, { label, min, max, unit, doc }, onInput) {
  const field = document.createElement("div");
  const title = document.createElement("label");
  const input = document.createElement("input");
  const shown = document.createElement("output");
  const hint = document.createElement("p");
  field.className = "field slider";
  input.type = "range";
  input.id = name;
  input.min = min;
  input.max = max;
  input.step = { dB: 0.5, dBFS: 0.5, s: 0.05 }[unit] ?? 0.01;
  input.setAttribute("aria-describedby", `${name}-doc`);
  title.htmlFor = shown.htmlFor = name;
  title.textContent = label;
  hint.id = `${name}-doc`;
  hint.textContent = `${capital(doc)}.`;
  field.append(title, shown, input, hint);

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
      input.value = value;
      say(value);
    },
  };
}

function fillSelect(select, values, label = (value) => value) {
  select.replaceChildren(...values.map((value) => new Option(label(value), value)));
}

function group(label, options) {
  const made = document.createElement("optgroup");
  made.label = label;
  made.append(...options.map(([value, text]) => new Option(text, value)));
  return made;
}

/** What is in use may be none of those offered, such as a path. */
function withCurrent(values, current) {
  const value = current === null || current === undefined ? "" : String(current);
  return values.includes(value) ? values : [...values, value];
}

async function read(path) {
  try {
    const answer = await fetch(path);
    return answer.ok ? await answer.json() : {};
  } catch {
    return {}; // no connection: the status line says so
  }
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
