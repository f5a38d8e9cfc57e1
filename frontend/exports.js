// Segments as text, subtitles or JSON, equal to those of sttlab/export.py. No DOM.

/**
 * @typedef {object} Segment
 * @property {number} start_s
 * @property {number} end_s
 * @property {string} text
 * @property {number} confidence
 * @property {string | null} [speaker]
 * @property {{session?: string, start_s: number, end_s: number, edited: boolean}} [kept] its place in
 *   a session that is kept on the server, and whether a person has changed its text
 * @typedef {(segments: Segment[], about?: object) => string} Write
 */

/** @type {Record<string, {type: string, write: Write}>} Media types and writers by file suffix. */
export const FORMATS = {
  txt: { type: "text/plain", write: toTxt },
  srt: { type: "application/x-subrip", write: toSrt },
  vtt: { type: "text/vtt", write: toVtt },
  json: { type: "application/json", write: toJson },
};

/** @type {Write} One line for each segment, which begins with the speaker if it is known. */
export function toTxt(segments) {
  return cues(segments)
    .map(({ text, speaker }) => `${saidBy(speaker)}${text}\n`)
    .join("");
}

/** @type {Write} SubRip has no escapes: the arrow, at which parsers split, is shortened. */
export function toSrt(segments) {
  return cues(segments)
    .map(({ startMs, endMs, text, speaker }, i) => {
      const times = `${clock(startMs, ",")} --> ${clock(endMs, ",")}`;
      return `${i + 1}\n${times}\n${withoutArrow(saidBy(speaker) + text)}\n`;
    })
    .join("\n");
}

/** @type {Write} WebVTT; &, < and > are escaped, so that a player shows them. */
export function toVtt(segments) {
  const parts = cues(segments).map(({ startMs, endMs, text, speaker }) => {
    const voice = speaker && `<v ${escaped(speaker)}>`;
    return `\n${clock(startMs, ".")} --> ${clock(endMs, ".")}\n${voice}${escaped(text)}\n`;
  });
  return `WEBVTT\n${parts.join("")}`;
}

/** @type {Write} One JSON object: `about`, then `segments` with times in seconds. */
export function toJson(segments, about = {}) {
  const parts = segments.map((segment) => ({
    start: thousandths(segment.start_s),
    end: thousandths(segment.end_s),
    text: segment.text.trim(),
    confidence: thousandths(segment.confidence),
    ...(segment.speaker ? { speaker: segment.speaker } : {}),
    ...(segment.kept ? { kept: placeOf(segment.kept) } : {}),
  }));
  return `${JSON.stringify({ ...about, segments: parts })}\n`;
}

/**
 * The place of a segment in a kept session, from which `load_labels` reads corrections.
 *
 * @param {NonNullable<Segment["kept"]>} kept
 */
function placeOf({ session, start_s, end_s, edited }) {
  return { session, start: thousandths(start_s), end: thousandths(end_s), edited };
}

/**
 * A time for people: 1:02:03, or 2:03.
 *
 * @param {number} seconds
 */
export function readableTime(seconds) {
  const whole = Math.floor(seconds);
  const minutes = Math.floor(whole / 60);
  const tail = `${two(whole % 60)}`;
  if (minutes < 60) return `${minutes}:${tail}`;
  return `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${tail}`;
}

/**
 * Times in ms, text and speaker, each on one line, since a blank line ends a cue.
 *
 * @param {Segment[]} segments
 */
function cues(segments) {
  return segments
    .map((segment) => {
      const startMs = Math.max(0, Math.round(segment.start_s * 1000));
      const endMs = Math.max(Math.round(segment.end_s * 1000), startMs + 1);
      return { startMs, endMs, text: oneLine(segment.text), speaker: oneLine(segment.speaker ?? "") };
    })
    .filter(({ text }) => text);
}

/** @param {string} text */
function oneLine(text) {
  return text.split(/\s+/).filter(Boolean).join(" ");
}

/** @param {string} speaker */
function saidBy(speaker) {
  return speaker && `${speaker}: `;
}

/** @param {string} text */
function escaped(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/** @param {number} timeMs @param {string} point */
function clock(timeMs, point) {
  const s = Math.floor(timeMs / 1000);
  const parts = [Math.floor(s / 3600), Math.floor(s / 60) % 60, s % 60].map(two).join(":");
  return `${parts}${point}${String(timeMs % 1000).padStart(3, "0")}`;
}

/** @param {string} text */
function withoutArrow(text) {
  let short = text;
  while (short.includes("-->")) short = short.replaceAll("-->", "->");
  return short;
}

/** @param {number} value */
function thousandths(value) {
  return Math.round(value * 1000) / 1000;
}

/** @param {number} number */
function two(number) {
  return String(number).padStart(2, "0");
}
