// "Why was this cut?" of a line that is kept on the server: what ended it, and the code that opens
// its tuner there.

/** @typedef {import("./transcript.js").Entry} Entry */

/**
 * The code for a notebook beside the server that shows why a line ends where it does.
 *
 * @param {Pick<Entry, "keptIn" | "end_s">} entry
 */
export function codeOf({ keptIn, end_s }) {
  const folder = JSON.stringify(keptIn); // which is a string of Python, too
  const at = Math.max(0, end_s - 0.01).toFixed(2); // where it ends, the next line may begin
  return `import sttlab as stt\nstt.VadTuner(stt.open_session(${folder}), at_s=${at})\n`;
}

/**
 * What ended a line, "" if that is not known.
 *
 * @param {Pick<Entry, "cut">} entry
 */
export function reasonOf({ cut }) {
  switch (cut?.reason) {
    case "silence":
      return `Nobody spoke for ${cut.pause_s.toFixed(2)} s. A longer silence timeout waits longer.`;
    case "longest":
      return "It was longer than the longest utterance may be, and was cut where it was quietest.";
    case "interrupted":
      return "The audio was interrupted there.";
    case "end":
      return "The audio ended there.";
  }
  return "";
}

/**
 * @param {any} dialog with the code and a button that copies it
 * @param {(text: string) => void} copy
 * @returns {(entry: Entry) => void} shows it for a line
 */
export function createWhy(dialog, copy) {
  const code = dialog.querySelector("code");
  const reason = dialog.querySelector(".reason");
  dialog.querySelector(".copy").addEventListener("click", () => {
    copy(code.textContent);
    dialog.close();
  });
  return (entry) => {
    reason.textContent = reasonOf(entry);
    reason.hidden = !reason.textContent;
    code.textContent = codeOf(entry);
    dialog.showModal();
  };
}
