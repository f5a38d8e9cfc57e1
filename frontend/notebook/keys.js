// The keys of a timeline.

/**
 * What each key does.
 *
 * @param {import("./timeline.js").Timeline} timeline
 * @param {KeyboardEvent} event
 * @returns {Record<string, () => void>}
 */
export function timelineKeys(timeline, { altKey, shiftKey }) {
  const { viewport, player, cursor } = timeline;
  const { span } = viewport;
  const small = span / (altKey ? 1000 : 100);
  return {
    ArrowLeft: () => timeline.moveCursor(-small, shiftKey),
    ArrowRight: () => timeline.moveCursor(small, shiftKey),
    Home: () => timeline.moveCursor(viewport.begin - cursor, shiftKey),
    End: () => timeline.goToEnd(shiftKey),
    PageUp: () => timeline.pan(-span / 2),
    PageDown: () => timeline.pan(span / 2),
    Escape: () => timeline.select(null),
    " ": () => timeline.play(),
    l: () => player.toggleLoop(),
    f: () => player.toggleFollow(),
    "<": () => player.changeSpeed(-1),
    ",": () => player.changeSpeed(-1),
    ">": () => player.changeSpeed(1),
    ".": () => player.changeSpeed(1),
    "+": () => timeline.zoomIn(),
    "=": () => timeline.zoomIn(),
    "-": () => timeline.zoomOut(),
    "−": () => timeline.zoomOut(),
    0: () => timeline.zoomAll(),
    v: () => timeline.magnify(shiftKey ? 0.5 : 2),
  };
}

export const TIMELINE_KEYS = [
  ["← →", "move the cursor; with Shift, select from there; with Alt, in fine steps"],
  ["Space", "play the selection, what is chosen, or from the cursor; again to stop"],
  ["L, F", "loop; follow what is played"],
  ["&lt; &gt;", "slower, faster"],
  ["+ − 0", "zoom in, out, all; or turn the wheel, or pinch"],
  ["V", "make the waveform larger; with Shift, smaller; or Alt and the wheel"],
  ["Page up, down", "move along the recording; or Shift and the wheel, or drag the axis of time"],
  ["Home, End", "go to the start, the end"],
];

/**
 * The keys of a timeline, as HTML.
 *
 * @param {string[][]} keys and what they do
 */
export function keyList(keys) {
  const items = keys.map(([key, words]) => `<div><dt>${key}</dt><dd>${words}</dd></div>`);
  return `<details><summary>Keys</summary><dl>${items.join("")}</dl></details>`;
}
