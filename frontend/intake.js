// Recordings that a person opens or drops.

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

  byId("open").addEventListener("click", () => chooser.click());
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
