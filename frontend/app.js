// The page: what the server says goes to the transcript, the meter and the status line.

import { connect, socketUrl } from "./connection.js";
import { FORMATS } from "./exports.js";
import { createList } from "./list.js";
import { createMeter } from "./meter.js";
import { Outbox, explain, openMicrophone } from "./microphone.js";
import { createSettings } from "./settings.js";
import { START, afterLink, afterMessage, afterMicrophone, words } from "./status.js";
import { Transcript, timeline } from "./transcript.js";

const NEAR_END_PX = 60;
const SAID_LINES = 5; // kept for screen readers
const SILENT_S = 3; // of nothing but zeros

const $ = (id) => document.getElementById(id);
const storageName = `sttlab:${new URL(".", document.baseURI).pathname}`;

const transcript = new Transcript(localStorage, storageName);
const meter = createMeter($("meter"));
const list = createList($("transcript"), { edit, remove, copy: copyOne });
const settings = createSettings($("settings"), (request) => socket.send(request), meter.threshold, {
  chosen: () => microphone.deviceId ?? null,
  start: startMine,
  stop: stopMine,
});
let status = START;
let microphone = { state: "off" }; // this browser's: off, asking, on or ending
let following = true; // the newest line is kept in sight
let unread = 0;

// -- what the server says -----------------------------------------------------------------------

function onMessage(message) {
  status = afterMessage(status, message);
  const id = message.utterance_id;
  switch (message.event) {
    case "hello":
      settings.begin(message);
      begin(message);
      microphone.ready = microphone.state === "on";
      sendSound();
      break;
    case "state":
      settings.state(message);
      begin(message);
      break;
    case "config_changed":
      settings.setConfig(message.config);
      meter.setDetector(message.config.detector);
      break;
    case "refused":
      settings.refused(message.message);
      break;
    case "level":
      meter.add(message);
      $("level").textContent = `${Math.round(message.level_dbfs)} dBFS`;
      break;
    case "partial":
      list.draft(id, message.text, message.stable);
      showEmpty();
      break;
    case "transcript":
      addFinal(message);
      break;
    case "suppressed":
      dropDraft(id);
      if (page.held) list.note(`Held back: “${message.text}” (${message.reason})`);
      break;
    case "transcription_failed":
      dropDraft(id);
      list.note(`What was said here was not transcribed: ${message.message}`);
      break;
    case "samples_lost":
      list.note("Some sound was lost here: the computer was too busy to take it.");
      break;
  }
  showStatus();
}

/** How the server stands; a new stream counts utterances from 0 again. */
function begin({ event, stream = null, time_s = 0, config }) {
  const before = transcript.stream;
  meter.setDetector(config.detector);
  transcript.setStream(stream ?? String(Date.now()), time_s, Date.now());
  if (event === "hello" || stream !== before) list.dropDrafts();
  showEmpty();
}

function addFinal(message) {
  const entry = transcript.add(message, Date.now());
  if (!entry) return dropDraft(message.utterance_id);
  list.settle(message.utterance_id, entry);
  const said = document.createElement("p");
  said.textContent = entry.text;
  $("said").append(said);
  while ($("said").childElementCount > SAID_LINES) $("said").firstElementChild.remove();
  if (!following) unread += 1;
  showCount();
}

function onLink(link) {
  const { state, wanted, problem } = microphone;
  if (state === "ending" && link.state === "connecting") setMine({ state: "off", wanted, problem });
  const broke = microphone.ready && link.state === "waiting";
  if (broke) list.note("The connection broke here: of what was said just before, some may be missing.");
  microphone.ready = false;
  status = afterLink(status, link);
  if (link.state !== "open") {
    list.dropDrafts();
    meter.clear();
    $("level").textContent = "";
  }
  showStatus();
}

// -- status -------------------------------------------------------------------------------------

function showStatus() {
  const { tone, text, problem } = words(status);
  setText($("state"), text);
  $("state").dataset.tone = tone;
  $("problem").hidden = !problem;
  setText($("problem").querySelector("strong"), problem?.title ?? "");
  setText($("problem").querySelector(".advice"), problem?.advice ?? "");
  $("retry").hidden = !problem?.retry;
  $("dismiss").hidden = problem?.retry !== "microphone";
  const source = microphone.label ? `${microphone.label} in this browser` : status.source;
  setText($("about"), [source, status.model].filter(Boolean).join(" · "));
  showMine();
}

function showMine() {
  const { state } = microphone;
  const on = state === "on";
  const label = { on: "Stop my microphone", ending: "Finishing" }[state] ?? "Use my microphone";
  $("mine").setAttribute("aria-pressed", String(on));
  $("mine").disabled = state === "asking" || state === "ending";
  $("mine").querySelector("use").setAttribute("href", on ? "#i-stop" : "#i-mic");
  setText($("mine").querySelector("span"), label);
}

/** Only a change is written, so that a screen reader doesn't hear the same again. */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

$("retry").addEventListener("click", () => {
  const { retry } = words(status).problem ?? {};
  if (retry === "capture") socket.send({ use: {} });
  else if (retry === "microphone") startMine(microphone.wanted);
  else socket.retry();
});
$("dismiss").addEventListener("click", () => setMine({ state: "off" }));

// -- this browser's microphone ------------------------------------------------------------------

/** Take this, and show it. */
function setMine(changed) {
  microphone = changed;
  status = afterMicrophone(status, microphone);
  showStatus();
  settings.showMicrophones();
}

async function startMine(deviceId) {
  if (microphone.state === "asking" || microphone.state === "ending") return;
  const before = microphone;
  before.stop?.();
  setMine({ state: "asking", wanted: deviceId });
  const mine = { state: "on", wanted: deviceId, silent: false, silent_s: 0 };
  try {
    const secure = isSecureContext && navigator.mediaDevices;
    if (!secure) throw new Error();
    const gone = () => microphone === mine && lostMine({ name: "OverconstrainedError" });
    Object.assign(mine, await openMicrophone(deviceId, (pcm) => takeSound(mine, pcm), gone));
    mine.outbox = new Outbox(mine.rate);
    setMine(mine);
    settings.load();
    socket.restart();
  } catch (error) {
    const problem = explain(error, isSecureContext && navigator.mediaDevices);
    setMine({ state: "off", wanted: deviceId, problem });
    if (before.state === "on") socket.restart();
  }
}

function takeSound(mine, pcm) {
  if (mine !== microphone || mine.state !== "on") return;
  mine.silent_s = pcm.some((sample) => sample) ? 0 : mine.silent_s + pcm.length / mine.rate;
  const silent = mine.silent_s > SILENT_S;
  mine.outbox.add(pcm);
  sendSound();
  if (silent !== mine.silent) setMine(Object.assign(mine, { silent }));
}

function sendSound() {
  const { outbox, ready } = microphone;
  if (!outbox || !ready) return;
  outbox.flush(socket.send);
  if (!outbox.lost_s) return;
  list.note(`${outbox.lost_s.toFixed(1)} s of sound were lost here: they could not be sent in time.`);
  outbox.lost_s = 0;
}

/** Stop listening; the server transcribes what was said, and then closes the socket. */
function stopMine() {
  if (microphone.state !== "on") return;
  microphone.stop();
  sendSound();
  const { ready, label, wanted } = microphone;
  if (ready && socket.send({ end: true })) {
    setMine({ state: "ending", label, wanted });
  } else {
    setMine({ state: "off" });
    socket.restart();
  }
}

function lostMine(error) {
  const { wanted } = microphone;
  stopMine();
  setMine({ ...microphone, wanted, problem: explain(error, true) });
}

$("mine").addEventListener("click", () => {
  if (microphone.state === "on") stopMine();
  else startMine(microphone.wanted ?? "");
});

// -- the transcript -----------------------------------------------------------------------------

function showAll() {
  list.show(transcript.entries);
  showCount();
}

function showCount() {
  const count = transcript.entries.length;
  for (const id of ["copy", "download", "clear", "search"]) $(id).disabled = !count;
  showEmpty();
  $("kept").hidden = !count;
  $("kept").textContent = transcript.saved
    ? "Kept in this browser, also when you reload, until you clear it."
    : "This browser's storage is full: a reload loses the newest lines. Download them.";
  $("newest").hidden = following;
  $("newest").querySelector("span").textContent = unread ? `${unread} new` : "Newest";
  search();
}

function dropDraft(utteranceId) {
  list.dropDraft(utteranceId);
  showEmpty();
}

function showEmpty() {
  $("empty").hidden = $("transcript").childElementCount > 0;
}

function edit(key, text) {
  transcript.edit(key, text);
  list.replace(transcript.find(key));
}

function remove(key) {
  transcript.remove([key]);
  showAll();
  toast("Removed one line.", true);
}

$("clear").addEventListener("click", () => {
  const count = transcript.remove();
  showAll();
  toast(`Cleared ${lines(count)}.`, true);
});

function undo() {
  const count = transcript.undo();
  showAll();
  if (count) toast(`Brought back ${lines(count)}.`);
}

function lines(count) {
  return count === 1 ? "one line" : `${count} lines`;
}

addEventListener("storage", (event) => {
  if (event.key !== storageName && event.key !== null) return;
  transcript.load();
  showAll();
});

// -- search -------------------------------------------------------------------------------------

function search() {
  const query = $("search").value.trim();
  const found = list.filter(query);
  setText($("found"), query ? `${found} of ${transcript.entries.length}` : "");
}

$("search").addEventListener("input", search);
$("search").addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  $("search").value = "";
  search();
  $("search").blur();
});

// -- copy and download --------------------------------------------------------------------------

$("copy").addEventListener("click", async () => {
  await copy(contents("txt"));
});

async function copyOne(key) {
  await copy(transcript.find(key).text);
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    copyBySelection(text); // over plain http there is no clipboard
  }
  toast("Copied.");
}

function copyBySelection(text) {
  const area = document.createElement("textarea");
  const before = document.activeElement;
  area.value = text;
  area.className = "unseen";
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
  before?.focus();
}

/** The lines of a text are those on the page; subtitles are better short, as the model cut them. */
function contents(format) {
  const { entries } = transcript;
  return FORMATS[format].write(format === "txt" ? entries : timeline(entries));
}

function download(format) {
  const blob = new Blob([contents(format)], { type: `${FORMATS[format].type};charset=utf-8` });
  const link = document.createElement("a");
  const now = new Date();
  const two = (number) => String(number).padStart(2, "0");
  const day = [now.getFullYear(), two(now.getMonth() + 1), two(now.getDate())].join("-");
  link.download = `transcript-${day}-${two(now.getHours())}${two(now.getMinutes())}.${format}`;
  link.href = URL.createObjectURL(blob);
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function openMenu(open) {
  $("formats").hidden = !open;
  $("download").setAttribute("aria-expanded", String(open));
  if (open) $("formats").querySelector("button").focus();
}

$("download").addEventListener("click", () => openMenu($("formats").hidden));
$("formats").addEventListener("click", (event) => {
  const format = event.target.closest("button")?.dataset.format;
  if (!format) return;
  download(format);
  openMenu(false);
  $("download").focus();
});
$("formats").addEventListener("keydown", (event) => {
  const buttons = [...$("formats").querySelectorAll("button")];
  const place = buttons.indexOf(document.activeElement);
  const step = { ArrowDown: 1, ArrowUp: buttons.length - 1 }[event.key];
  if (step) buttons[(place + step) % buttons.length].focus();
  else if (event.key === "Escape") {
    openMenu(false);
    $("download").focus();
  } else return;
  event.preventDefault();
});
document.addEventListener("focusin", closeMenu);
document.addEventListener("pointerdown", closeMenu);

function closeMenu(event) {
  if (!$("formats").hidden && !event.target.closest(".menu")) openMenu(false);
}

// -- settings -----------------------------------------------------------------------------------

function openSettings(open) {
  $("settings").hidden = !open;
  $("open-settings").setAttribute("aria-expanded", String(open));
  if (!open) return $("open-settings").focus();
  settings.load();
  $("close-settings").focus();
}

$("open-settings").addEventListener("click", () => openSettings($("settings").hidden));
$("close-settings").addEventListener("click", () => openSettings(false));
$("settings").addEventListener("keydown", (event) => {
  if (event.key === "Escape") openSettings(false);
});

/** What this page shows, and how: kept in this browser. */
const page = { times: "clock", theme: "system", held: false, ...stored(`${storageName}page`) };

function stored(name) {
  try {
    return JSON.parse(localStorage.getItem(name));
  } catch {
    return null;
  }
}

function showPage() {
  document.documentElement.dataset.theme = page.theme;
  document.documentElement.dataset.times = page.times;
  meter.recolor();
  list.setTimes(page.times);
  for (const name of ["times", "theme"]) $(name).value = page[name];
  $("held").checked = page.held;
}

for (const name of ["times", "theme", "held"]) {
  $(name).addEventListener("change", ({ target }) => {
    page[name] = target.type === "checkbox" ? target.checked : target.value;
    localStorage.setItem(`${storageName}page`, JSON.stringify(page));
    showPage();
    if (name === "times") showAll();
  });
}

// -- a word about what was done -----------------------------------------------------------------

function toast(text, canUndo = false) {
  const box = $("toast");
  box.hidden = false;
  box.querySelector("span").textContent = text;
  box.querySelector(".undo").hidden = !canUndo;
  clearTimeout(toast.timer);
  if (!canUndo) toast.timer = setTimeout(() => (box.hidden = true), 4000);
}

$("toast").querySelector(".undo").addEventListener("click", undo);
$("toast").querySelector(".close").addEventListener("click", () => ($("toast").hidden = true));

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select");
  if (typing || event.altKey) return;
  const command = event.ctrlKey || event.metaKey;
  if (command && event.key === "z" && !$("toast").querySelector(".undo").hidden) undo();
  else if (!command && event.key === "/") $("search").focus();
  else return;
  event.preventDefault();
});

// -- keeping the newest line in sight -----------------------------------------------------------

let lastTop = 0;

function toEnd() {
  scrollTo({ top: document.body.scrollHeight, behavior: "instant" });
}

function follow(yes) {
  if (yes) unread = 0;
  if (following === yes) return;
  following = yes;
  showCount();
}

addEventListener("scroll", () => {
  const away = document.body.scrollHeight - innerHeight - scrollY;
  if (away < NEAR_END_PX) follow(true);
  else if (scrollY < lastTop) follow(false);
  lastTop = scrollY;
});
new ResizeObserver(() => following && toEnd()).observe(document.body);

/** What is fixed at an edge must not cover what has the focus, nor the settings. */
function keepClear(element, name) {
  new ResizeObserver(() => {
    document.documentElement.style.setProperty(name, `${element.offsetHeight}px`);
  }).observe(element);
}

keepClear(document.querySelector("header"), "--top");
keepClear(document.querySelector("footer"), "--bottom");
$("newest").addEventListener("click", () => {
  follow(true);
  toEnd();
});

showPage();
showAll();
const socket = connect(ownSocketUrl, onMessage, onLink);

/** With this browser's own sound; or where it left off: the server sends what was missed since. */
function ownSocketUrl() {
  if (microphone.state === "on") {
    return socketUrl(document.baseURI, { source: "client", rate: microphone.rate });
  }
  const { stream, last } = transcript;
  return socketUrl(document.baseURI, stream ? { stream, after: last } : {});
}
