// "Why was this cut?" of a line that is kept on the server: the code that opens its tuner there.

/** @typedef {import("./transcript.js").Entry} Entry */

/**
 * The code for a notebook beside the server that shows why a line ends where it does.
 *
 * @param {Pick<Entry, "keptIn" | "end_s">} entry
 */
export function codeOf({ keptIn, end_s }) {
  const folder = JSON.stringify(keptIn); // which is a string of Python, too
  return `import sttlab as stt\nstt.VadTuner(stt.open_session(${folder}), at_s=${end_s.toFixed(1)})\n`;
}

/**
 * @param {any} dialog with the code and a button that copies it
 * @param {(text: string) => void} copy
 * @returns {(entry: Entry) => void} shows it for a line
 */
export function createWhy(dialog, copy) {
  const code = dialog.querySelector("code");
  dialog.querySelector(".copy").addEventListener("click", () => {
    copy(code.textContent);
    dialog.close();
  });
  return (entry) => {
    code.textContent = codeOf(entry);
    dialog.showModal();
  };
}
