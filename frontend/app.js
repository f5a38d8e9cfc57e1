// The page: what the server says goes to the transcript, the meter and the status line.

import { connect, socketUrl } from "./connection.js";
import { FORMATS } from "./exports.js";
import { Files } from "./files.js";
import { createList } from "./list.js";
import { createMeter } from "./meter.js";
import { createMicrophone } from "./microphone.js";
import { createPlayer } from "./player.js";
import { createSettings } from "./settings.js";
import { START, afterLink, afterMessage, afterMicrophone, words } from "./status.js";
import { openStorage } from "./storage.js";
import { Transcript, timeline } from "./transcript.js";

const NEAR_END_PX = 60;
const SAID_LINES = 5; // kept for screen readers
const TYPING_MS = 150; // between keys

const $ = (id) => document.getElementById(id);
const storage = openStorage();
const storageName = `sttlab:${new URL(".", document.baseURI).pathname}`;

const live = { name: "Live", transcript: new Transcript(storage, storageName) };
const files = new Files(storage, `${storageName}files`, "files", onFile);
let shown = live; // or a recording
const meter = createMeter($("meter"));
const list = createList($("transcript"), { edit, remove, copy: copyOne, play });
const player = createPlayer($("player"), onTime);
const mine = createMicrophone({
  onChange: onMicrophone,
  note,
  restart: () => socket.restart(),
  send: (data) => socket.send(data),
});
const settings = createSettings($("settings"), (request) => socket.send(request), meter.threshold, mine);
let status = START;
let following = true; // the newest line is kept in sight
let unread = 0;
let searching = 0; // a timer

// -- what the server says -----------------------------------------------------------------------

function onMessage(message) {
  status = afterMessage(status, message);
  const id = message.utterance_id;
  switch (message.event) {
    case "hello":
      settings.begin(message);
      files.maxBytes = message.max_file_bytes;
      begin(message);
      mine.onHello();
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
      if (shown === live) list.draft(id, message.text, message.stable);
      showEmpty();
      break;
    case "transcript":
      addFinal(message);
      break;
    case "suppressed":
      dropDraft(id);
      if (page.held) note(`Held back: “${message.text}” (${message.reason})`);
      break;
    case "transcription_failed":
      dropDraft(id);
      note(`What was said here was not transcribed: ${message.message}`);
      break;
    case "samples_lost":
      note("Some sound was lost here: the computer was too busy to take it.");
      break;
  }
  showStatus();
}

/** How the server stands; a new stream counts utterances from 0 again. */
function begin({ event, stream = null, time_s = 0, config }) {
  const { transcript } = live;
  const before = transcript.stream;
  meter.setDetector(config.detector);
  transcript.setStream(stream ?? String(Date.now()), time_s, Date.now());
  if (event === "hello" || stream !== before) list.dropDrafts();
  showEmpty();
}

function addFinal(message) {
  const entry = live.transcript.add(message, Date.now());
  if (!entry) return dropDraft(message.utterance_id);
  if (shown === live) list.settle(message.utterance_id, entry);
  const said = document.createElement("p");
  said.textContent = entry.text;
  $("said").append(said);
  while ($("said").childElementCount > SAID_LINES) $("said").firstElementChild.remove();
  if (shown !== live) return;
  if (!following) unread += 1;
  showCount();
}

/** A remark between the lines of what is heard now. */
function note(text) {
  if (shown === live) list.note(text);
}

function onLink(link) {
  mine.onLink(link);
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
  const { label } = status.microphone;
  const source = label ? `${label} in this browser` : status.source;
  setText($("about"), [source, status.model].filter(Boolean).join(" · "));
  showMine();
}

function showMine() {
  const { state } = status.microphone;
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
  else if (retry === "microphone") mine.start(mine.now().wanted);
  else socket.retry();
});
$("dismiss").addEventListener("click", () => mine.dismiss());

// -- this browser's microphone ------------------------------------------------------------------

function onMicrophone(now) {
  if (now.state === "on" && status.microphone.state !== "on") settings.load(); // it has a name now
  status = afterMicrophone(status, now);
  showStatus();
  settings.showMicrophones();
}

$("mine").addEventListener("click", () => {
  if (mine.now().state === "on") mine.stop();
  else mine.start(mine.now().wanted ?? "");
});

// -- recordings ---------------------------------------------------------------------------------

function onFile(recording, message) {
  showTabs();
  if (recording !== shown) return;
  player.show(recording);
  if (message?.entry) {
    list.settle(message.entry.key, message.entry);
    showCount();
  } else if (message?.event === "suppressed" && page.held) {
    list.note(`Held back: “${message.text}” (${message.reason})`);
  } else if (message?.event === "transcription_failed") {
    list.note(`What was said here was not transcribed: ${message.message}`);
  } else if (message?.event === "added") {
    showPage();
    showAll();
  }
  showEmpty();
}

/** Show what is heard live, or a recording. */
function show(one) {
  shown = one;
  following = one === live;
  $("toast").hidden = true;
  toast.takeBack = null;
  document.documentElement.dataset.shows = one === live ? "live" : "recording";
  player.show(one === live ? null : one);
  showPage();
  showTabs();
  showAll();
  if (following) toEnd();
  else scrollTo(0, 0);
}

function showTabs() {
  const all = [live, ...files.open];
  const now = JSON.stringify(all.map((one) => [one.id, one.phase, one === shown]));
  if (now === showTabs.before) return; // what is being clicked must stay
  showTabs.before = now;
  const focused = document.activeElement?.closest("#tabs button");
  const place = [...$("tabs").querySelectorAll("button")].indexOf(focused);
  $("tabs").hidden = all.length === 1;
  $("tabs").replaceChildren(...all.map(tab));
  $("tabs").querySelectorAll("button")[place]?.focus();
}

function tab(one) {
  const made = $("tab").content.cloneNode(true);
  const [open, close] = made.querySelectorAll("button");
  open.querySelector("span").textContent = one.name;
  open.title = one.name;
  open.dataset.phase = one.phase ?? "";
  if (one === shown) open.setAttribute("aria-current", "true");
  open.addEventListener("click", () => show(one));
  close.setAttribute("aria-label", `Close ${one.name}`);
  close.addEventListener("click", () => closeFile(one));
  if (one === live) close.remove();
  return made;
}

function closeFile(recording) {
  files.close(recording);
  if (shown === recording) show(live);
  showTabs();
  $("tabs").querySelector("[aria-current]").focus();
  toast(`Closed ${recording.name}.`, () => {
    files.restore(recording);
    show(recording);
  });
}

function addFiles(chosen) {
  const added = [...chosen].map((file) => files.add(file));
  if (added.length) show(added[0]);
}

function play(key) {
  player.play(shown.transcript.find(key).start_s);
}

function onTime(time_s) {
  const heard = shown.transcript.entries.find((e) => e.start_s <= time_s && time_s < e.end_s);
  list.setHeard(heard?.key);
}

$("open").addEventListener("click", () => $("choose").click());
$("choose").addEventListener("change", () => {
  addFiles($("choose").files);
  $("choose").value = "";
});
$("cancel").addEventListener("click", () => files.cancel(shown));
$("again").addEventListener("click", () => files.add(shown.file));

addEventListener("dragover", (event) => {
  if (!event.dataTransfer.types.includes("Files")) return;
  event.preventDefault();
  $("drop").hidden = false;
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) $("drop").hidden = true;
});
addEventListener("drop", (event) => {
  $("drop").hidden = true;
  const items = [...event.dataTransfer.items].filter(({ kind }) => kind === "file");
  if (!items.length) return;
  event.preventDefault();
  const recordings = items.filter((item) => !item.webkitGetAsEntry()?.isDirectory);
  addFiles(recordings.map((item) => item.getAsFile()));
  if (recordings.length < items.length) toast("A folder can't be opened: drop the recordings that are in it.");
});

// -- the transcript -----------------------------------------------------------------------------

function showAll() {
  list.show(shown.transcript.entries);
  showCount();
}

function showChanged() {
  list.sync(shown.transcript.entries);
  showCount();
}

function showCount() {
  const count = shown.transcript.entries.length;
  for (const id of ["copy", "download", "clear", "search"]) $(id).disabled = !count;
  showEmpty();
  $("kept").hidden = !count;
  $("kept").textContent = shown.transcript.saved
    ? "Kept in this browser, also when you reload, until you clear it."
    : "This browser's storage is full or closed to this page: a reload loses the newest lines. Download them.";
  $("newest").hidden = following || shown !== live;
  $("newest").querySelector("span").textContent = unread ? `${unread} new` : "Newest";
  search();
}

function dropDraft(utteranceId) {
  list.dropDraft(utteranceId);
  showEmpty();
}

function showEmpty() {
  const words = { undefined: "Speak, and your words appear here. Recordings can be dropped here, too.", done: "Nothing was said in it." };
  setText($("empty"), words[shown.phase] ?? "");
  $("empty").hidden = !$("empty").textContent || $("transcript").childElementCount > 0;
}

function edit(key, text) {
  if (text !== null) shown.transcript.edit(key, text);
  showChanged();
}

function remove(key) {
  shown.transcript.remove([key]);
  showChanged();
  toast("Removed one line.", undo);
}

$("clear").addEventListener("click", () => {
  const count = shown.transcript.remove();
  showAll();
  toast(`Cleared ${lines(count)}.`, undo);
});

function undo() {
  const count = shown.transcript.undo();
  showChanged();
  if (count) toast(`Brought back ${lines(count)}.`);
}

function lines(count) {
  return count === 1 ? "one line" : `${count} lines`;
}

addEventListener("storage", (event) => {
  if (event.key === storageName || event.key === null) live.transcript.load();
  files.sync(event.key);
  if (shown !== live && !files.open.includes(shown)) return show(live);
  if (event.key === null || event.key.startsWith(storageName)) showChanged();
  showTabs();
});

// -- search -------------------------------------------------------------------------------------

function search() {
  const query = $("search").value.trim();
  list.filter(query);
  setText($("found"), query ? `${list.found()} of ${shown.transcript.entries.length}` : "");
}

$("search").addEventListener("input", () => {
  clearTimeout(searching);
  searching = setTimeout(search, TYPING_MS); // thousands of lines take a while
});
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
  await copy(shown.transcript.find(key).text);
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
  const { entries } = shown.transcript;
  const about = shown === live ? {} : { file: shown.name, duration_s: shown.duration_s };
  return FORMATS[format].write(format === "txt" ? entries : timeline(entries), about);
}

function download(format) {
  const blob = new Blob([contents(format)], { type: `${FORMATS[format].type};charset=utf-8` });
  const link = document.createElement("a");
  const now = new Date();
  const two = (number) => String(number).padStart(2, "0");
  const day = [now.getFullYear(), two(now.getMonth() + 1), two(now.getDate())].join("-");
  const when = `${day}-${two(now.getHours())}${two(now.getMinutes())}`;
  const name = shown === live ? `transcript-${when}` : shown.name.replace(/\.\w+$/, "");
  link.download = `${name}.${format}`;
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
    return JSON.parse(storage.getItem(name));
  } catch {
    return null;
  }
}

function showPage() {
  document.documentElement.dataset.theme = page.theme;
  document.documentElement.dataset.times = page.times;
  meter.recolor();
  const isLive = shown === live;
  list.setTimes(isLive ? page.times : "stream", !isLive && shown.file !== null);
  for (const name of ["times", "theme"]) $(name).value = page[name];
  $("held").checked = page.held;
}

for (const name of ["times", "theme", "held"]) {
  $(name).addEventListener("change", ({ target }) => {
    page[name] = target.type === "checkbox" ? target.checked : target.value;
    showPage();
    try {
      storage.setItem(`${storageName}page`, JSON.stringify(page));
    } catch {
      // it is full: a reload forgets
    }
    if (name === "times") showAll();
  });
}

// -- a word about what was done -----------------------------------------------------------------

function toast(text, takeBack = null) {
  const box = $("toast");
  box.hidden = false;
  box.querySelector("span").textContent = text;
  box.querySelector(".undo").hidden = !takeBack;
  toast.takeBack = takeBack;
  clearTimeout(toast.timer);
  if (!takeBack) toast.timer = setTimeout(() => (box.hidden = true), 4000);
}

$("toast").querySelector(".undo").addEventListener("click", () => toast.takeBack());
$("toast").querySelector(".close").addEventListener("click", () => ($("toast").hidden = true));

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select");
  if (typing || event.altKey) return;
  const command = event.ctrlKey || event.metaKey;
  if (command && event.key === "z" && toast.takeBack) toast.takeBack();
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

show(live);
const socket = connect(ownSocketUrl, onMessage, onLink);

/** With this browser's own sound; or where it left off: the server sends what was missed since. */
function ownSocketUrl() {
  const { state, rate } = mine.now();
  if (state === "on") {
    return socketUrl(document.baseURI, { source: "client", rate });
  }
  const { stream, last } = live.transcript;
  return socketUrl(document.baseURI, stream ? { stream, after: last } : {});
}
