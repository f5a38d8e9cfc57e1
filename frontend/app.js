// The page: it passes what the server sends to the transcript, the meter and the status.

import { createCaptions } from "./captions.js";
import { connect, socketUrl } from "./connection.js";
import { keepEdgesClear, showStatus } from "./dock.js";
import { byId, setText } from "./dom.js";
import { copyText, createDownloads } from "./downloads.js";
import { Files } from "./files.js";
import { createIntake } from "./intake.js";
import { createMeter } from "./meter.js";
import { createMicrophone } from "./microphone.js";
import { createPlayer } from "./player.js";
import { createPreferences } from "./preferences.js";
import { createSettings } from "./settings.js";
import { createSheet } from "./sheet.js";
import { START, afterLink, afterMessage, afterMicrophone, hears, words } from "./status.js";
import { openSettingsStorage, openStore } from "./storage.js";
import { createTabs } from "./tabs.js";
import { createThreshold } from "./threshold.js";
import { createToast } from "./toast.js";
import { Transcript } from "./transcript.js";
import { createWho } from "./who.js";
import { createWhy } from "./why.js";

/**
 * @typedef {any} Message JSON of the server
 * @typedef {{name: string, transcript: Transcript}} Live what is heard live
 * @typedef {import("./files.js").Recording} Recording
 */

const keptAs = `sttlab:${new URL(".", document.baseURI).pathname}`;
const kept = openSettingsStorage();
const preferences = createPreferences(kept, `${keptAs}page`, onPreference);
const store = await openStore(keptAs, kept);

/** @type {Live} */
const live = { name: "Live", transcript: new Transcript(store, keptAs, () => sheet.sync()) };
const files = new Files(store, `${keptAs}files`, "files", onFile);
const toast = createToast(byId("toast"));
const why = createWhy(byId("why"), copy);
const who = createWho(byId("who"));
const sheet = createSheet(live, toast, {
  copy,
  why,
  who: askWho,
  play: (time_s) => player.play(time_s),
});
const tabs = createTabs(byId("tabs"), byId("tab"), show, closeFile);
const player = createPlayer(byId("player"), onTime);
const meter = createMeter(byId("meter"));
const mine = createMicrophone({
  onChange: onMicrophone,
  note,
  restart: () => socket.restart(),
  send: (data) => socket.send(data),
});
const settings = createSettings(
  byId("settings"),
  (request) => socket.send(request),
  meter.threshold,
  mine,
);
const threshold = createThreshold(byId("threshold"), settings.move);
const captions = createCaptions(byId("captions"));
let status = START;

/** Not after another stream, that of this microphone: lines that were removed would come back. */
let asksHistory = true;

// -- what the server says -----------------------------------------------------------------------

/** @param {Message} message */
function onMessage(message) {
  const before = status;
  status = afterMessage(status, message);
  switch (message.event) {
    case "hello":
      settings.begin(message);
      files.maxBytes = message.max_file_bytes;
      begin(message);
      if (message.speaker_names) callSpeakers(message.speaker_names, message.speakers_merged);
      mine.onHello();
      break;
    case "state":
      settings.state(message);
      begin(message);
      break;
    case "config_changed":
      settings.setConfig(message.config);
      showScale(message.config.detector);
      break;
    case "refused":
      settings.refused(message.message, message.request);
      if (byId("settings").hidden) toast.say(message.message);
      break;
    case "level":
      meter.add(message);
      threshold.set(message.threshold);
      setText(byId("level"), `${Math.round(meter.levelOf(message))} dBFS`);
      break;
    case "utterance":
      if (message.reason === "longest") meter.cut(message.end_s);
      live.transcript.setReason(/** @type {any} */ (message));
      break;
    case "partial":
      sheet.partial(message);
      captions.update((last) => last.partial(message.utterance_id, message.text));
      break;
    case "transcript":
      addFinal(message);
      break;
    case "speakers":
      live.transcript.setTurns(/** @type {any} */ (message));
      if (sheet.shown() === live) sheet.sync();
      break;
    case "speaker_names":
      callSpeakers(message.names, message.merged);
      break;
    case "suppressed":
    case "transcription_failed":
      dropPartial(message.utterance_id);
      note(lineOf(message));
      break;
    case "notice":
      if (message.about === "model") note(`${message.message}.`);
      break;
    case "samples_lost":
      note("Some sound was lost here: the computer was too busy to take it.");
      break;
  }
  if (status !== before) tellStatus();
}

function tellStatus() {
  showStatus(status);
  captions.setStatus(words(status));
  sheet.setHearing(hears(status), status.microphone.state === "on");
}

/**
 * Follow the server's stream; a new stream counts utterances from 0 again.
 *
 * @param {Message} message
 */
function begin({ event, stream = null, time_s = 0, kept_in, config }) {
  const { transcript } = live;
  const before = transcript.stream;
  showScale(config.detector);
  transcript.setStream(stream ?? String(Date.now()), time_s, Date.now(), kept_in);
  if (event === "hello" || stream !== before) dropPartials();
}

/** @param {string} detector */
function showScale(detector) {
  meter.setDetector(detector, settings.scale());
  threshold.judge(settings.judging());
}

/** @param {Record<string, string>} names @param {Record<string, string>} merged */
function callSpeakers(names, merged) {
  live.transcript.speakers.set(names, merged);
  live.transcript.nameSpeakers();
  if (sheet.shown() === live) sheet.sync();
}

/**
 * Ask who a speaker is, and tell the server.
 *
 * @param {string} speaker
 * @param {import("./transcript.js").Entry} entry in which a person clicked on the speaker
 */
function askWho(speaker, { key, stream, turns = [] }) {
  const { transcript } = live;
  const name = turns.find((turn) => turn.speaker === speaker)?.name ?? speaker;
  who({
    name,
    canSplit: sheet.shown() === live && stream === transcript.stream,
    rename: (to) => {
      const all = transcript.entries.flatMap((entry) => entry.turns ?? []);
      socket.send({ speaker: transcript.speakers.request(speaker, to, all) });
    },
    only: () => sheet.showOnly(name),
    split: () => socket.send({ speaker: { split: Number(key.slice(stream.length + 1)) } }),
  });
}

/** @param {Message} message */
function addFinal(message) {
  const entry = live.transcript.add(message, Date.now());
  if (!entry) return dropPartial(message.utterance_id);
  sheet.final(message.utterance_id, entry);
  captions.update((last) => last.final(message.utterance_id, entry.text));
}

/** @param {number} id of an utterance that has no text after all */
function dropPartial(id) {
  sheet.dropPartial(id);
  captions.update((last) => last.drop(id));
}

function dropPartials() {
  sheet.dropPartials();
  captions.update((last) => last.dropPartials());
}

/**
 * The remark about an utterance without text, or "" where the page makes none.
 *
 * @param {Message} message
 */
function lineOf({ event, text, reason, message }) {
  if (event === "transcription_failed") return `What was said here was not transcribed: ${message}`;
  return preferences.held ? `Held back: “${text}” (${reason})` : "";
}

/**
 * Add a remark to the live transcript, if it is shown.
 *
 * @param {string} text
 */
function note(text) {
  if (text && sheet.shown() === live) sheet.note(text);
}

/** @param {import("./status.js").Link} link */
function onLink(link) {
  mine.onLink(link);
  status = afterLink(status, link);
  if (link.state !== "open") {
    dropPartials();
    meter.clear();
    threshold.set(null);
    byId("level").textContent = "";
  }
  tellStatus();
}

/** With this browser's audio, or with the last utterance: the server sends those after it. */
function ownSocketUrl() {
  const { state, rate } = mine.now();
  if (state === "on") {
    const keep = byId("keep").checked ? { keep: "yes" } : {};
    return socketUrl(document.baseURI, { source: "client", rate, ...keep });
  }
  const { stream, last } = live.transcript;
  const query = asksHistory ? { history: 1000 } : {};
  return socketUrl(document.baseURI, stream ? { ...query, stream, after: last } : query);
}

byId("retry").addEventListener("click", () => {
  const { retry } = words(status).problem ?? {};
  if (retry === "capture" || retry === "play") socket.send({ use: {} });
  else if (retry === "microphone") mine.start(mine.now().wanted ?? "");
  else socket.retry();
});

// -- this browser's microphone ------------------------------------------------------------------

/** @param {import("./microphone.js").Now} now */
function onMicrophone(now) {
  if (now.state === "on") asksHistory = false;
  // Devices have names once one of them is open.
  if (now.state === "on" && status.microphone.state !== "on") settings.load();
  status = afterMicrophone(status, now);
  tellStatus();
  settings.showMicrophones();
}

byId("dismiss").addEventListener("click", () => mine.dismiss());
for (const id of ["mine", "start-speak"]) {
  byId(id).addEventListener("click", () => {
    if (mine.now().state === "on") mine.stop();
    else mine.start(mine.now().wanted ?? "");
  });
}

// -- recordings ---------------------------------------------------------------------------------

/** The recording that is shown, null while the live transcript is. */
function shownRecording() {
  const shown = sheet.shown();
  return shown === live ? null : /** @type {Recording} */ (shown);
}

/** @param {Recording} recording @param {?Message} message */
function onFile(recording, message) {
  showTabs();
  if (recording !== sheet.shown()) return;
  player.show(recording);
  if (message?.entry) {
    sheet.add(message.entry);
  } else if (message?.event === "suppressed" || message?.event === "transcription_failed") {
    const line = lineOf(message);
    if (line) sheet.note(line);
  } else if (message?.event === "added") {
    showTimes();
    sheet.showAll();
  } else if (message?.event === "kept") {
    sheet.sync();
  }
  sheet.showEmpty();
}

/**
 * Show the live transcript, or a recording.
 *
 * @param {Live | Recording} one
 */
function show(one) {
  const recording = one === live ? null : /** @type {Recording} */ (one);
  toast.forget();
  document.documentElement.dataset.shows = recording ? "recording" : "live";
  player.show(recording);
  showTimes(recording);
  sheet.show(one);
  showTabs();
}

/**
 * How times are shown: of a recording from its start, and as buttons while its file is here.
 *
 * @param {?Recording} recording
 */
function showTimes(recording = shownRecording()) {
  if (recording) sheet.setTimes("stream", recording.file !== null);
  else sheet.setTimes(preferences.times, false);
}

function showTabs() {
  tabs.show([live, ...files.open], shownRecording() ?? live);
}

/** @param {Recording} recording */
function closeFile(recording) {
  files.close(recording);
  if (sheet.shown() === recording) show(live);
  showTabs();
  tabs.focus();
  toast.say(`Closed ${recording.name}.`, async () => {
    const restored = files.restore(recording);
    show(recording);
    await restored;
    toast.say(`Brought back ${recording.name}.`);
  });
}

/** @param {File[]} chosen */
function addFiles(chosen) {
  const added = chosen.map((file) => files.add(file));
  if (added.length) show(added[0]);
}

/** @param {number} time_s */
function onTime(time_s) {
  const { entries } = sheet.shown().transcript;
  sheet.setHeard(entries.find((e) => e.start_s <= time_s && time_s < e.end_s)?.key);
}

createIntake(addFiles, toast.say);
byId("cancel").addEventListener("click", () => {
  const recording = shownRecording();
  if (recording) files.cancel(recording);
});
byId("again").addEventListener("click", () => {
  const file = shownRecording()?.file;
  if (file) files.add(file);
});

/**
 * Take over a change that another page of this browser has stored.
 *
 * @param {import("./storage.js").Change} change
 */
function onStored(change) {
  if (change.name === keptAs && !live.transcript.take(change)) return;
  files.take(change);
  const recording = shownRecording();
  if (recording && !files.open.includes(recording)) return show(live);
  sheet.sync();
  showTabs();
}

// -- copy, settings, keys -----------------------------------------------------------------------

/** @param {string} text */
async function copy(text) {
  await copyText(text);
  toast.say("Copied.");
}

createDownloads(() => {
  return { entries: sheet.shown().transcript.entries, recording: shownRecording() };
}, copy);

/** @param {string} name */
function onPreference(name) {
  meter.recolor();
  if (name !== "times") return;
  showTimes();
  sheet.showAll();
}

/** @param {boolean} open */
function openSettings(open) {
  byId("settings").hidden = !open;
  byId("open-settings").setAttribute("aria-expanded", String(open));
  // The header sticks while the page scrolls: without `preventScroll`, a browser scrolls to the place
  // that a sticky element would have without sticking, and the reader loses theirs.
  const next = byId(open ? "close-settings" : "open-settings");
  next.focus({ preventScroll: true });
  if (open) settings.load();
}

byId("open-settings").addEventListener("click", () => openSettings(byId("settings").hidden));
byId("close-settings").addEventListener("click", () => openSettings(false));
byId("settings").addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
  if (event.key === "Escape") openSettings(false);
});

byId("open-captions").addEventListener("click", captions.open);
byId("open-keys").addEventListener("click", () => byId("keys").showModal());

document.addEventListener("keydown", (event) => {
  const typing = /** @type {Element} */ (event.target).closest("input, textarea, select");
  if (event.altKey || document.querySelector("dialog[open]")) return;
  const command = event.ctrlKey || event.metaKey;
  if (command && event.key === "f" && sheet.startSearch()) return event.preventDefault();
  if (typing) return;
  if (command && event.key === "z") {
    if (!toast.undo()) return;
  } else if (!command && event.key === "/") sheet.startSearch();
  else if (!command && event.key === "c") captions.open();
  else if (!command && event.key === "?") byId("keys").showModal();
  else return;
  event.preventDefault();
});

keepEdgesClear();
await Promise.all([live.transcript.load(), files.load()]);
store.listen(onStored);
show(live);
const socket = connect(ownSocketUrl, onMessage, onLink);
