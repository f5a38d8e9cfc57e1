// Recordings that a person opens or drops, and the sample.

import { byId } from "./dom.js";

/**
 * Take files from the chooser, and from drag and drop.
 *
 * @param {(files: File[]) => void} onFiles
 * @param {(text: string) => void} onRefused
 */
export function createIntake(onFiles, onRefused) {
  const chooser = byId("choose");
  const area = byId("drop");

  for (const id of ["open", "start-choose"]) {
    byId(id).addEventListener("click", () => chooser.click());
  }
  byId("start-sample").addEventListener("click", async () => {
    const sample = await fetchSample();
    if (sample) onFiles([sample]);
    else onRefused("The sample can't be had from the server now.");
  });
  chooser.addEventListener("change", () => {
    onFiles([...chooser.files]);
    chooser.value = "";
  });
  addEventListener("dragover", (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    area.hidden = false;
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) area.hidden = true;
  });
  addEventListener("drop", (event) => {
    area.hidden = true;
    const items = [...(event.dataTransfer?.items ?? [])].filter(({ kind }) => kind === "file");
    if (!items.length) return;
    event.preventDefault();
    const recordings = items.filter((item) => !item.webkitGetAsEntry()?.isDirectory);
    onFiles(recordings.map((item) => /** @type {File} */ (item.getAsFile())));
    if (recordings.length < items.length) {
      onRefused("A folder can't be opened: drop the recordings that are in it.");
    }
  });
}

/** The server's own recording. It is the same file each time: a second one shows its text again. */
async function fetchSample() {
  try {
    const answer = await fetch("demo.flac");
    if (!answer.ok) return null;
    const blob = await answer.blob();
    return new File([blob], "demo.flac", { type: blob.type, lastModified: 0 });
  } catch {
    return null; // no connection: the status line says so
  }
}
